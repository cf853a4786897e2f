"""What a `run` text says: where its values stand, what it writes, and where bash would evaluate one. See text.py."""
