"""CONTEXT records."""

from __future__ import annotations

from ..decode import decode, structure
from ..model import Span
from ..source import ByteSource
from .architectures import ARCHITECTURES
from .facts import ContextFact


def read_context(source: ByteSource, architecture: str, rva: int, size: int, path: str) -> ContextFact | None:
    """The context at ``[rva, rva + size)``; None when that is not in the file or too short for the architecture."""
    layout = ARCHITECTURES[architecture]
    if size < structure(layout.structure).size or rva + size > source.size:
        return None
    record = decode(source, rva, layout.structure, path)
    return ContextFact(record, Span(rva, rva + size), record[layout.ip], record[layout.sp])
