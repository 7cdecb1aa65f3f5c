"""Holds the runtime system: images that run programs as people write them, and their further sources."""
