"""The command line: words to calls, values to text."""
