"""Named crashes: programs of user mode, machines of kernel mode."""
