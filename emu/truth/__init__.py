"""Saves a snapshot as a truth directory, and loads it again (docs/truth-format.md)."""
