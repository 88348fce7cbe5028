"""In: from bytes to columns, the log, the sources."""
