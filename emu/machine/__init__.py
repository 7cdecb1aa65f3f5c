"""The emulated machine: physical memory, page tables and an amd64 processor that reports exact faults."""
