"""The bill before the run: what of it is bought already, what the rest may cost and how long it may take."""
