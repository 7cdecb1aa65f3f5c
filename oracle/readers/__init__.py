"""Readers, one for each kind of file: they turn bytes into facts with spans, and never raise on content."""
