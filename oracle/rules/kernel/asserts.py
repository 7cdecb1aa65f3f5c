"""Comparisons for the rules on kernel dumps: unused areas, and access to case, header and truth. Holds no rules.

Fill is the repeated text PAGE (docs/format/kernel-header.md#fill).
"""

from __future__ import annotations

from collections.abc import Iterable

from ...case import KernelCase
from ...decode import Record
from ...entitlement.kernel import kind_of
from ...entitlement.kernel_writers import Kind
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


def blank(data: bytes | memoryview, start: int) -> str | None:
    """``zero`` or ``fill`` if all bytes at file offset ``start`` are so, else None; empty data is ``zero``."""
    kind = "fill" if len(data) and data[0] else "zero"
    for at in range(0, len(data), _CHUNK):
        piece = bytes(data[at : at + _CHUNK])
        if piece != (fill(start, len(piece)) if kind == "fill" else bytes(len(piece))):
            return None
    return kind


def is_blank(dump: KernelDump, span: Span) -> bool:
    return blank(dump.source.view(span.start, len(span)), span.start) is not None


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
    data = dump.source.view(span.start, len(span))
    found = blank(data, span.start)
    if found == "zero" or (found and not only_zero):
        yield ok(subject)
        return
    at = _first_other(data, span.start)
    expected = ("zero",) if only_zero else ("zero", _FILLED)
    yield bad(subject, expected, _shown(bytes(data[at : at + 16])), Span(span.start + at, span.end))


def _first_other(data: memoryview, start: int) -> int:
    """Index of the first byte that differs from the pattern, zero or fill, that ``data`` begins with."""
    filled = len(data) > 0 and data[0] != 0
    for at in range(0, len(data), _CHUNK):
        piece = bytes(data[at : at + _CHUNK])
        wanted = fill(start, len(piece)) if filled else bytes(len(piece))
        if piece != wanted:
            return at + next(i for i, byte in enumerate(piece) if byte != wanted[i])
    return 0


def _shown(data: bytes) -> str:
    return data[:16].hex(" ") + (" ..." if len(data) > 16 else "")
