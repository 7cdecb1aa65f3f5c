"""Rules for minidumps, by the format alone."""
