"""Finds the one cause of many failures: memory, a list or pointers that are all off by one amount."""
