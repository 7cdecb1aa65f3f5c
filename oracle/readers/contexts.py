"""Reads CONTEXT records."""

from __future__ import annotations

from ..decode import Record, decode, structure
from ..memory.source import ByteSource
from ..model import Span
from .architectures import ARCHITECTURES, Architecture, layout_of
from .facts import ContextFact


def without_context(record: Record) -> bool:
    """Whether a MINIDUMP_THREAD or MINIDUMP_EXCEPTION_STREAM has no context: its RVA is 0.

    dbghelp stores the size of a context even then (docs/format/minidump-threads.md#threads-without-a-context).
    """
    return record["ThreadContext.Rva"] == 0


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
