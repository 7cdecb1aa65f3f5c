"""Runs the named crashes: programs in user mode, machines in kernel mode."""
