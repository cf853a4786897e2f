"""The simulated model: no network, any JSON Schema answered from the item, failures at set rates."""
