"""Reads a dump of any kind. A source is read once, however many ask for it."""

# ruff: noqa: PLC0415 - each reader is imported for a file of its kind

from __future__ import annotations

from collections.abc import Callable

from ..memory.source import ByteSource
from .identify import KERNEL_DUMP, MINIDUMP, USERDUMP
from .reading import Reading

_KEPT = "dump"


def read_dump(kind: str, source: ByteSource) -> Reading | None:
    """A reading of the caller's own; None for a kind that is no dump. Never raises on content."""
    kept = source.kept.get(_KEPT)
    if not isinstance(kept, Reading):
        reader = _reader(kind)
        if reader is None:
            return None
        kept = source.kept[_KEPT] = reader(source)
    return kept.fresh()


def forget(source: ByteSource) -> None:
    """Drop what was kept of a file that nobody will read again: the claims of a large one need much memory."""
    source.kept.pop(_KEPT, None)


def _reader(kind: str) -> Callable[[ByteSource], Reading] | None:
    if kind == MINIDUMP:
        from .minidump import read_minidump

        return read_minidump
    if kind == KERNEL_DUMP:
        from .kernel import read_kernel

        return read_kernel
    if kind == USERDUMP:
        from .userdump import read_userdump

        return read_userdump
    return None
