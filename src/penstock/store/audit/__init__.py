"""The invariants: what must hold of a journal, and of the files beside it, looked at without changing anything."""
