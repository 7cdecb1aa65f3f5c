"""The comparisons that the rules against truth are made of: fields of a record, texts, sets. No rules here."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from ..case import Case
from ..decode import Record
from ..model import Fault, Grade, Source, Span
from ..readers.facts import StringFact
from ..rule import Checks, bad, ok

TRUTH = Source("the target's own state, docs/truth-format.md", Grade.DOCUMENTED)
"""Why a field must have its value: the page of the structure says what the field is, the truth what that was."""


def asked(case: Case) -> bool:
    """A dump that is judged against truth and request, where the request is one that makes a minidump."""
    return case.truth is not None and case.request is not None and case.refused is None


def same(record: Record, subject: str, expected: Mapping[str, int]) -> Checks:
    """Every named field has the value given."""
    for name, value in expected.items():
        yield from one_of(record, subject, name, (value,))


def one_of(record: Record, subject: str, name: str, accepted: Iterable[int]) -> Checks:
    actual, values = record[name], tuple(accepted)
    if actual in values:
        yield ok(f"{subject}, {name}")
    else:
        yield bad(f"{subject}, {name}", tuple(f"{value:#x}" for value in values), f"{actual:#x}", record.span_of(name))


def same_bytes(subject: str, expected: bytes, actual: bytes, span: Span) -> Checks:
    """The bytes are those expected; a finding shows the first that are not."""
    if actual == expected:
        yield ok(subject)
        return
    at = next((i for i, (a, b) in enumerate(zip(actual, expected, strict=False)) if a != b), len(actual))
    yield bad(
        f"{subject}, byte {at:#x}",
        f"{expected[at : at + 8].hex() or 'the end'} ({len(expected)} bytes in all)",
        f"{actual[at : at + 8].hex() or 'the end'} ({len(actual)} bytes)",
        Span(min(span.start + at, span.end), span.end),
    )


def zero(record: Record, subject: str, names: Iterable[str], why: str) -> Checks:
    """Every named field is all zero."""
    for name in names:
        raw = record.raw(name)
        if any(raw):
            yield bad(f"{subject}, {name}", f"zero: {why}", raw.hex(), record.span_of(name))
        else:
            yield ok(f"{subject}, {name}")


def same_text(fact: StringFact | None, subject: str, expected: str | None, where: Span) -> Checks:
    """The string is there and says ``expected``, or is absent when that is None."""
    actual = None if fact is None else fact.raw
    if actual == (None if expected is None else expected.encode("utf-16-le", "surrogatepass")):
        yield ok(subject)
        return
    fault = Fault.MISSING if fact is None else Fault.FORBIDDEN if expected is None else Fault.WRONG
    yield bad(
        subject,
        "none" if expected is None else repr(expected),
        "none" if fact is None else repr(fact.text),
        where if fact is None else fact.span,
        fault=fault,
    )


def same_keys(kind: str, found: Mapping[int, Record], held: Iterable[int], where: Span) -> Checks:
    """The dump lists each of ``held``, and nothing else."""
    wanted = set(held)
    for key in wanted:
        if key in found:
            yield ok(f"{kind} {key:#x}")
        else:
            yield bad(f"{kind} {key:#x}", "an entry", "none", where, fault=Fault.MISSING)
    for key, record in found.items():
        if key not in wanted:
            yield bad(f"{kind} {key:#x}", "no entry: the target has none", "one", record.span, fault=Fault.FORBIDDEN)


def by_field(records: Iterable[Record], name: str) -> dict[int, Record]:
    """Records by the value of a field; of equal ones the first, since a structural rule speaks of the others."""
    table: dict[int, Record] = {}
    for record in records:
        table.setdefault(record[name], record)
    return table


def stream_span(case: Case, number: int) -> Span:
    stream = case.dump.streams.get(number)
    return Span(0, 0) if stream is None else stream.span


_EPOCH = 116_444_736_000_000_000
"""1970-01-01 as a FILETIME: minwinbase.h, and the page "Converting a time_t Value to a File Time"."""


def time_t(filetime: int) -> int:
    """A FILETIME in whole seconds since 1970, its low 32 bits: what the format's time_t fields hold."""
    return max(filetime - _EPOCH, 0) // 10_000_000 & 0xFFFF_FFFF


def seconds(duration: int) -> int:
    """A duration in whole seconds, as a 32-bit field holds it."""
    return min(duration // 10_000_000, 0xFFFF_FFFF)
