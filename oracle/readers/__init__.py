"""One reader a container: bytes to facts with spans. Readers never raise on content."""
