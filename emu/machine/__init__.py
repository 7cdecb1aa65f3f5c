"""The machine: one host buffer of RAM, page tables in it, and an amd64 processor that faults exactly."""
