"""Snapshots made by hand, without running a program."""
