"""Compares two dumps by content."""
