"""Captures snapshots of stopped processes and machines."""
