"""Speed, memory and disk of Penstock beside peers and floors, measured in one run: `make bench`."""
