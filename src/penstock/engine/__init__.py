"""Running: the loop, and the backends that carry out its tasks."""
