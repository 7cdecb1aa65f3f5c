"""Rules for cabinets."""
