"""Memory: the journal, the streams in, the records and logs out."""
