"""Sources of the C runtime: ucrtbase, msvcrt and vcruntime140."""
