"""The user-mode operating system model: address space, loader, threads, handles, services."""
