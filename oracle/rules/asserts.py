"""Checks that several rules share: fields of a record, bytes, texts, sets of entries, overlaps. It holds no rules."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from ..case import AnyCase, Case, UserdumpCase
from ..decode import Record
from ..model import Fault, Span
from ..readers.facts import StringFact
from ..readers.reading import Accounting
from ..readers.table import Table
from ..rule import Checks, bad, ok


def asked(case: Case) -> bool:
    """Whether the dump is judged against truth and request, and the request makes a minidump."""
    return case.truth is not None and case.request is not None and case.refused is None


def same(record: Record, subject: str, expected: Mapping[str, int]) -> Checks:
    """Check that every named field has its expected value."""
    for name, value in expected.items():
        yield from one_of(record, subject, name, (value,))


def one_of(record: Record, subject: str, name: str, accepted: Iterable[int]) -> Checks:
    """Check that a field has one of the accepted values."""
    actual, values = record[name], tuple(accepted)
    if actual in values:
        yield ok(f"{subject}, {name}")
    else:
        yield bad(f"{subject}, {name}", tuple(f"{value:#x}" for value in values), f"{actual:#x}", record.span_of(name))


def same_bytes(subject: str, expected: bytes, actual: bytes, span: Span) -> Checks:
    """Check that the bytes are equal. A finding shows up to 8 bytes from the first difference."""
    if actual == expected:
        yield ok(subject)
        return
    at = next((i for i, (a, b) in enumerate(zip(actual, expected, strict=False)) if a != b), len(actual))
    yield bad(
        f"{subject}, byte {at:#x}",
        f"{expected[at : at + 8].hex() or 'the end'} ({len(expected)} bytes in total)",
        f"{actual[at : at + 8].hex() or 'the end'} ({len(actual)} bytes in total)",
        Span(min(span.start + at, span.end), span.end),
    )


def zero(record: Record, subject: str, names: Iterable[str], why: str) -> Checks:
    """Check that every named field is all zero; ``why`` goes into the finding."""
    for name in names:
        raw = record.raw(name)
        if any(raw):
            yield bad(f"{subject}, {name}", f"zero: {why}", raw.hex(), record.span_of(name))
        else:
            yield ok(f"{subject}, {name}")


def left_to_writer(case: Case | UserdumpCase, record: Record, names: Iterable[str], why: str) -> None:
    """Declare that no rule judges the fields. Fields of zeros need no such declaration."""
    for name in names:
        if any(record.raw(name)):
            case.dump.dont_care(record.span_of(name), f"{name}: {why}")


def tail_left_to_writer(case: Case | UserdumpCase, span: Span, why: str) -> None:
    """Declare that no rule judges the bytes of ``span``, unless they are zeros."""
    if any(case.dump.source.view(span.start, len(span))):
        case.dump.dont_care(span, why)


def of_a_dump(case: AnyCase) -> bool:
    """Whether the debugger's target was itself a dump, so that an engine loses some data."""
    return case.request is not None and case.request.session == "dump"


def by_an_engine(case: Case | UserdumpCase) -> bool:
    """Whether the writer claims to do exactly what a version of the vendor's engine does."""
    return case.request is not None and case.request.contract != "documented"


def same_text(fact: StringFact | None, subject: str, expected: str | None, where: Span) -> Checks:
    """Check that the string is ``expected``, or absent if that is None. ``where`` is the span of a missing string."""
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
    """Check that the dump lists each key of ``held`` and no other. ``where`` is the span of a missing entry."""
    wanted = set(held)
    for key in wanted:
        if key in found:
            yield ok(f"{kind} {key:#x}")
        else:
            yield bad(f"{kind} {key:#x}", "an entry", "none", where, fault=Fault.MISSING)
    for key in found:
        if key not in wanted:
            span = found[key].span
            yield bad(f"{kind} {key:#x}", "no entry: the target has none", "an entry", span, fault=Fault.FORBIDDEN)


class ByKey(Mapping[int, Record]):
    """Some records of a list by a key. A record is made when it is asked for."""

    def __init__(self, records: Sequence[Record], keys: Iterable[tuple[int, int]]) -> None:
        """``keys``: the key and the place of each record. Of equal keys the first counts."""
        self._records = records
        self._places: dict[int, int] = {}
        for key, place in keys:
            self._places.setdefault(key, place)

    def __getitem__(self, key: int) -> Record:
        return self._records[self._places[key]]

    def __iter__(self) -> Iterator[int]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)


def by_field(records: Iterable[Record], name: str) -> Mapping[int, Record]:
    """Records by the value of a field. Of equal ones the first: structural rules judge duplicates."""
    if isinstance(records, Table):
        return ByKey(records, zip(records.column(name), range(len(records)), strict=True))
    listed = list(records)
    return ByKey(listed, ((record[name], place) for place, record in enumerate(listed)))


def stream_span(case: Case, number: int) -> Span:
    """The bytes of a stream; an empty span if the dump lacks it."""
    stream = case.dump.streams.get(number)
    return Span(0, 0) if stream is None else stream.span


_EPOCH = 116_444_736_000_000_000
"""1970-01-01 as a FILETIME: minwinbase.h, and the page "Converting a time_t Value to a File Time"."""


def time_t(filetime: int) -> int:
    """The low 32 bits of a FILETIME in whole seconds since 1970, as the format's time_t fields hold it."""
    return max(filetime - _EPOCH, 0) // 10_000_000 & 0xFFFF_FFFF


def seconds(duration: int) -> int:
    """A duration of 100 ns units in whole seconds, limited to 32 bits."""
    return min(duration // 10_000_000, 0xFFFF_FFFF)


def overlaps(accounting: Accounting) -> Checks:
    """Check that no two regions of the file overlap. One finding for each pair that was kept, one for the others."""
    for first, second in accounting.overlaps:
        yield bad(second.label, f"bytes after {first.label} ({first.span})", str(second.span), first.span, second.span)
    hidden = accounting.overlap_total - len(accounting.overlaps)
    if hidden:
        yield bad("further regions", "no overlap", f"{hidden} more")
    if accounting.regions > accounting.overlap_total:
        yield ok("regions", accounting.regions - accounting.overlap_total)
