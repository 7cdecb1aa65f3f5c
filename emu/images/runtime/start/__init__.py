"""Sources of what is linked into every program of the user: start-up, and what the headers expect in a static library."""
