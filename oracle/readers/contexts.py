"""Reads CONTEXT records."""

from __future__ import annotations

from typing import Final

from ..decode import Record, decode, structure
from ..memory.source import ByteSource
from ..model import Span
from .architectures import ARCHITECTURES, Architecture, layout_of
from .facts import ContextFact

_LIFE: Final = ("SuspendCount", "PriorityClass", "Priority", "Teb", "Stack.StartOfMemoryRange", "Stack.Memory.DataSize")
"""Fields of MINIDUMP_THREAD. A thread that still ran when the dump was written has a value in one of them."""


def without_context(record: Record) -> bool:
    """Whether a MINIDUMP_THREAD or MINIDUMP_EXCEPTION_STREAM has no context.

    Either size and RVA are 0. Or the thread ended while the list was written; dbghelp then stores its id, the size of a
    context, and RVA 0 (minidumpapiset.h MINIDUMP_THREAD_INFO_ERROR_THREAD; seen in a real file).
    """
    if record["ThreadContext.Rva"]:
        return False
    ended = record.structure.name == "MINIDUMP_THREAD" and not any(record[name] for name in _LIFE)
    return ended or record["ThreadContext.DataSize"] == 0


def _emulated(source: ByteSource, rva: int, size: int, path: str) -> tuple[Architecture, Record] | None:
    """The layout and the record of emulated amd64 code in an arm64 process; None if it is another record
    (docs/format/minidump-contexts.md#records-of-emulated-code).
    """
    layout = ARCHITECTURES["amd64"]
    record = decode(source, rva, layout.structure, path)
    fits = size >= record.structure.size and record["ContextFlags"] & layout.machine_bit
    return (layout, record) if fits else None


def read_context(source: ByteSource, architecture: str, rva: int, size: int, path: str) -> ContextFact | None:
    """The context at ``[rva, rva + size)``; None if it is not in the file, or too short for the architecture."""
    layout = layout_of(architecture, size)
    if size < structure(layout.structure).size or rva + size > source.size:
        return None
    record = decode(source, rva, layout.structure, path)
    if architecture == "arm64" and not record["ContextFlags"] & layout.machine_bit:
        layout, record = _emulated(source, rva, size, path) or (layout, record)
    return ContextFact(record, Span(rva, rva + size), record[layout.ip], record[layout.sp])
