"""Tells whether a basic block ends with a call or a return. Intel SDM vol. 2: CALL, RET, IRET, tables 2-2 and 2-3.

A block's last bytes can look like another instruction. So whoever uses an `Ending` compares it with where the processor
went: `target` and `jump` are for that.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass

_LONGEST = 7
"""CALL with a SIB byte and a displacement of 32 bits; a prefix before it changes nothing here."""
_CALL, _JUMP, _GROUP_5 = 0xE8, 0xEB, b"\xff"
_RETURNS = {0xC3, 0xCB, 0xCF}  # RET, far RET, IRET
_RETURN_POPS = 0xC2
_SYSRET = b"\x0f\x07"


@dataclass(frozen=True, slots=True)
class Ending:
    """The end of a block that may be a call or a return."""

    address: int
    """Where the block ends: the return address of a call."""
    call: bool
    target: int | None = None
    """Of a call with a displacement: the only address that it calls."""
    jump: int = -1
    """Where a short jump with the same bytes as the return would go."""


class BlockEnd:
    """The ends of blocks, decoded once. `read` returns (address, size) of the code."""

    def __init__(self, read: Callable[[int, int], bytes | None]) -> None:
        self._read = read
        self.plain: dict[int, int] = {}
        """Address -> size of the blocks that neither call nor return."""
        self._others: dict[int, tuple[int, Ending]] = {}

    def of(self, address: int, size: int) -> Ending | None:
        """The end of the block; None if it neither calls nor returns."""
        known = self._others.get(address)
        if known is not None and known[0] == size:
            return known[1]
        tail_size = min(size, _LONGEST)
        tail = self._read(address + size - tail_size, tail_size)
        found = None if tail is None else ending(tail, address + size)
        if found is None:
            self.plain[address] = size
        else:
            self._others[address] = size, found
        return found

    def clear(self) -> None:
        """Forget all blocks."""
        self.plain.clear()
        self._others.clear()


def ending(tail: bytes, end: int) -> Ending | None:
    """What the last bytes of a block say. `end` is the address after them."""
    if len(tail) >= 5 and tail[-5] == _CALL:
        return Ending(end, call=True, target=end + struct.unpack("<i", tail[-4:])[0])
    at = tail.rfind(_GROUP_5)
    while at >= 0:
        if _call_size(tail[at:]) == len(tail) - at:
            return Ending(end, call=True)
        at = tail.rfind(_GROUP_5, 0, at)
    popped = struct.unpack("<H", tail[-2:])[0] if len(tail) >= 3 and tail[-3] == _RETURN_POPS else None
    if tail[-1] in _RETURNS or tail[-2:] == _SYSRET or (popped is not None and popped % 8 == 0):
        short = len(tail) >= 2 and (tail[-2] == _JUMP or 0x70 <= tail[-2] <= 0x7F)
        return Ending(end, call=False, jump=end + int.from_bytes(tail[-1:], signed=True) if short else -1)
    return None


def _call_size(code: bytes) -> int | None:
    """Size of CALL r/m64 by its ModR/M byte; None for another instruction of the group."""
    if len(code) < 2 or code[1] >> 3 & 7 != 2:
        return None
    mode, register = code[1] >> 6, code[1] & 7
    if mode == 3:
        return 2
    size = 2
    if register == 4:
        if len(code) < 3:
            return None
        size += 1
        register = code[2] & 7
    if mode == 0:
        return size + (4 if register == 5 else 0)
    return size + (1 if mode == 1 else 4)
