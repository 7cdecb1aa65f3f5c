"""Reads and writes plain registers by the library's own functions: the binding needs ten times as long for a call."""

import ctypes
from collections.abc import Callable, Collection
from typing import Any

from .register_file import Registers

Access = Callable[[int, object], int]
"""Takes a register's number and a pointer to its value. Returns 0, or an error."""


class DirectRegisters:
    """The registers of `binding`. Those of `plain` have at most 64 bits, and are accessed by `read` and `write`."""

    def __init__(self, binding: Registers, plain: Collection[int], read: Access, write: Access) -> None:
        self._plain = frozenset(plain)
        self._read, self._write = read, write
        self._value = ctypes.c_uint64()
        self._pointer = ctypes.byref(self._value)
        self._reg_read, self._reg_write = binding.reg_read, binding.reg_write
        self.msr_read, self.msr_write = binding.msr_read, binding.msr_write
        self.context_update, self.context_restore = binding.context_update, binding.context_restore

    def reg_read(self, reg_id: int) -> Any:
        """The value of a register."""
        if reg_id not in self._plain:
            return self._reg_read(reg_id)
        self._value.value = 0  # a short register fills a part of it
        if self._read(reg_id, self._pointer):
            raise RuntimeError(f"register {reg_id}: cannot be read")
        return self._value.value

    def reg_write(self, reg_id: int, value: Any) -> None:
        """Set a register."""
        if reg_id not in self._plain:
            self._reg_write(reg_id, value)
            return
        self._value.value = value
        if self._write(reg_id, self._pointer):
            raise RuntimeError(f"register {reg_id}: cannot be written")
