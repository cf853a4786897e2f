"""Replay: kept failures through the workflow as it is today."""
