"""Finds the module of an address: ``crash.exe+0x1016``."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from functools import lru_cache
from pathlib import PureWindowsPath


class Places:
    """The modules of a dump, by address. Modules that are loaded win over unloaded ones."""

    def __init__(
        self, modules: Iterable[tuple[int, int, str]], unloaded: Iterable[tuple[int, int, str]] = (), mask: int = -1
    ) -> None:
        """Both are ``(base, size, name)``. ``mask`` cuts a sign-extended address of a 32-bit target."""
        self._mask = mask
        self._lists = [sorted(modules), sorted((base, size, f"<unloaded> {name}") for base, size, name in unloaded)]
        self._bases = [[base for base, _, _ in found] for found in self._lists]

    def locate(self, address: int) -> str | None:
        """``name+0x10``; None if the address lies in no module."""
        address &= self._mask
        for found, bases in zip(self._lists, self._bases, strict=True):
            index = bisect_right(bases, address) - 1
            if index >= 0:
                base, size, name = found[index]
                if address < base + size:
                    return f"{name or 'a module without a name'}+{address - base:#x}"
        return None


@lru_cache(4096)
def base_name(path: str) -> str:
    """The last part of a path of Windows or of another system."""
    return PureWindowsPath(path).name or path
