"""Boots the synthetic kernel and runs it on a machine with one or more processors."""
