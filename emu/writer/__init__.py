"""Writes a planned dump: structures, layout engine, sinks, named fault points."""
