"""Models a user-mode process of Windows: address space, loader, threads, handles, system services."""
