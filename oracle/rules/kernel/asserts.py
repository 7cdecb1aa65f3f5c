"""What the rules for kernel dumps are made of: areas without a value, comparisons, who was asked. No rules here."""

from __future__ import annotations

from collections.abc import Iterable

from ...case import KernelCase
from ...decode import Record
from ...entitlement.kernel import Kind, kind_of
from ...model import Grade, Source, Span
from ...readers.kernel_dump import FILL, KernelDump, fill
from ...rule import Checks, bad, ok
from ...truth.kernel import KernelTruth

_CHUNK = 1 << 16
EXCEPTION_CONTEXT = 0x10
"""In ContextFlags of a Windows dump: the header's context is that of an exception (spec kernel-mode 2.2, 6.1 A8)."""


def spec(where: str, grade: Grade) -> Source:
    """A paragraph or rule of spec kernel-mode, which names the public sources behind it."""
    return Source(f"spec kernel-mode {where}", grade)


def truth_of(case: KernelCase) -> KernelTruth:
    assert case.truth is not None
    return case.truth


def header_of(dump: KernelDump) -> Record:
    assert dump.header is not None
    return dump.header


def asked_kind(case: KernelCase) -> Kind | None:
    """What the request asked for; None for a dump without request."""
    return None if case.request is None else kind_of(case.request.qualifier_value)


def blank(data: bytes | memoryview, start: int) -> str | None:
    """``zero`` or ``fill``, when the bytes at file offset ``start`` are nothing else; no bytes are ``zero``."""
    kind = "fill" if len(data) and data[0] else "zero"
    for at in range(0, len(data), _CHUNK):
        piece = bytes(data[at : at + _CHUNK])
        if piece != (fill(start, len(piece)) if kind == "fill" else bytes(len(piece))):
            return None
    return kind


def is_blank(dump: KernelDump, span: Span) -> bool:
    return blank(dump.source.view(span.start, len(span)), span.start) is not None


def is_fill(record: Record, name: str) -> bool:
    span = record.span_of(name)
    return record.raw(name) == fill(span.start, len(span))


def blank_fields(record: Record, subject: str, names: Iterable[str]) -> Checks:
    """Every named field is all zero, or all fill."""
    for name in names:
        span = record.span_of(name)
        if blank(record.raw(name), span.start) is not None:
            yield ok(f"{subject}, {name}")
        else:
            yield bad(f"{subject}, {name}", ("zero", f"{FILL.decode()} over and over"), _shown(record.raw(name)), span)


def blank_area(dump: KernelDump, subject: str, span: Span, *, only_zero: bool = False) -> Checks:
    """The bytes are all zero, or all fill."""
    data = dump.source.view(span.start, len(span))
    found = blank(data, span.start)
    if found == "zero" or (found and not only_zero):
        yield ok(subject)
        return
    at = _first_other(data, span.start)
    expected = ("zero",) if only_zero else ("zero", f"{FILL.decode()} over and over")
    yield bad(subject, expected, _shown(bytes(data[at : at + 16])), Span(span.start + at, span.end))


def _first_other(data: memoryview, start: int) -> int:
    """Where ``data`` ceases to be what it begins as, zero or fill."""
    filled = len(data) > 0 and data[0] != 0
    for at in range(0, len(data), _CHUNK):
        piece = bytes(data[at : at + _CHUNK])
        wanted = fill(start, len(piece)) if filled else bytes(len(piece))
        if piece != wanted:
            return at + next(i for i, byte in enumerate(piece) if byte != wanted[i])
    return 0


def _shown(data: bytes) -> str:
    return data[:16].hex(" ") + (" ..." if len(data) > 16 else "")
