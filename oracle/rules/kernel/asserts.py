"""Comparisons for the rules on kernel dumps: unused areas, and access to case, header and truth. Holds no rules.

Fill is the repeated text PAGE (docs/format/kernel-header.md#fill).
"""

from __future__ import annotations

from collections.abc import Iterable

from ...case import KernelCase
from ...decode import Record
from ...entitlement.kernel import kind_of
from ...entitlement.kernel_writers import Kind
from ...memory.source import ByteSource
from ...model import Span
from ...readers.kernel_dump import FILL, KernelDump, fill
from ...rule import Checks, bad, ok
from ...truth.kernel import KernelTruth

_CHUNK = 1 << 16
_FILLED = f"the repeated text {FILL.decode()}"
EXCEPTION_CONTEXT = 0x10
"""Bit of ContextFlags. Windows sets it if the header's context is that of an exception
(docs/format/kernel-header.md#context-against-the-kprcb)."""


def truth_of(case: KernelCase) -> KernelTruth:
    assert case.truth is not None
    return case.truth


def header_of(dump: KernelDump) -> Record:
    assert dump.header is not None
    return dump.header


def asked_kind(case: KernelCase) -> Kind | None:
    """The kind of dump that the request asks for; None without a request."""
    return None if case.request is None else kind_of(case.request.qualifier_value)


def blank(data: bytes, start: int) -> str | None:
    """``zero`` or ``fill`` if all bytes at file offset ``start`` are so, else None; empty data is ``zero``."""
    kind = "fill" if data[:1].strip(b"\0") else "zero"
    return kind if data == _pattern(kind, start, len(data)) else None


def blank_at(source: ByteSource, span: Span) -> str | None:
    """Like ``blank``, for the bytes of a span, which may be large."""
    kind, other = _first_other(source, span)
    return kind if other is None else None


def is_blank(dump: KernelDump, span: Span) -> bool:
    return blank_at(dump.source, span) is not None


def blank_fields(record: Record, subject: str, names: Iterable[str]) -> Checks:
    """Check that every named field is all zero or all fill."""
    for name in names:
        span = record.span_of(name)
        if blank(record.raw(name), span.start) is not None:
            yield ok(f"{subject}, {name}")
        else:
            yield bad(f"{subject}, {name}", ("zero", _FILLED), _shown(record.raw(name)), span)


def blank_area(dump: KernelDump, subject: str, span: Span, *, only_zero: bool = False) -> Checks:
    """Check that the bytes at ``span`` are all zero or, unless ``only_zero``, all fill."""
    kind, at = _first_other(dump.source, span)
    if at is None and not (only_zero and kind == "fill"):
        yield ok(subject)
        return
    at = at or 0
    expected = ("zero",) if only_zero else ("zero", _FILLED)
    found = dump.source.read(span.start + at, min(16, len(span) - at))
    yield bad(subject, expected, _shown(found), Span(span.start + at, span.end))


def _pattern(kind: str, start: int, size: int) -> bytes:
    return fill(start, size) if kind == "fill" else bytes(size)


def _first_other(source: ByteSource, span: Span) -> tuple[str, int | None]:
    """The pattern, ``zero`` or ``fill``, that the span begins with, and the index of its first byte that differs.

    The index is None if no byte differs. Bytes beyond the end of the file do not count.
    """
    kind = "fill" if any(source.read(span.start, min(len(span), 1))) else "zero"
    end = min(span.end, source.size)
    for start in range(span.start, end, _CHUNK):
        piece = source.read(start, min(_CHUNK, end - start))
        if piece != (wanted := _pattern(kind, start, len(piece))):
            return kind, start - span.start + next(i for i, byte in enumerate(piece) if byte != wanted[i])
    return kind, None


def _shown(data: bytes) -> str:
    return data[:16].hex(" ") + (" ..." if len(data) > 16 else "")
