"""A snapshot saved as a truth directory, and loaded again."""
