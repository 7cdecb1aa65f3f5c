"""Rules for minidumps, against truth and request."""
