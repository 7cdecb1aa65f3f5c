"""Rules for kernel dumps."""
