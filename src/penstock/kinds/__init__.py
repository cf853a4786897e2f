"""Doing: one file a kind of step, all with one signature."""
