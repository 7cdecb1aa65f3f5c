"""The CPU, its page tables, its traps, and the one buffer that is guest RAM."""
