"""Rules for full user dumps in the old format."""
