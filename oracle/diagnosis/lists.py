"""Finds that the entries of a list stand some bytes after the place where the format has them.

Some writers pad the count of a list and do not count the padding. Every entry is then read from a wrong offset. The
entries are told by what must hold for them: ids, page-aligned addresses, pointers into the file.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Final

from ..case import Case
from ..decode import Record, decode, structure
from ..memory.edited import Edit
from ..memory.page import PAGE_SIZE
from ..model import Shift, Span
from ..readers.container import stream_name
from ..readers.facts import Dump
from .proposal import Proposal, amount_text, field_edit

_FARTHEST: Final = 256
"""Bytes. The longest padding that is looked for."""
_LOOKED_AT: Final = 64
"""Entries that must be sound at the new offset."""

_Sound = Callable[[Dump, Sequence[Record]], bool]


def _unique(records: Sequence[Record], name: str) -> bool:
    values = [record[name] for record in records]
    return len(set(values)) == len(values) and all(0 < value < 1 << 26 for value in values)


def _inside(dump: Dump, records: Sequence[Record], size: str, rva: str) -> bool:
    """Whether what the records locate lies in the file. The RVA is 0 for a stack that is in Memory64List."""
    end = dump.source.size
    return all(record[rva] + record[size] <= end or not record[rva] for record in records)


def _aligned(records: Sequence[Record], *names: str) -> bool:
    return all(record[name] % PAGE_SIZE == 0 and record[name] for record in records for name in names)


def _named(dump: Dump, records: Sequence[Record], name: str) -> bool:
    """Whether each of the pointers leads to a string inside the file."""
    for record in records:
        length = int.from_bytes(dump.source.read(record[name], 4), "little")
        if not 32 <= record[name] < dump.source.size or length % 2 or length > 0xFFFE:
            return False
        if record[name] + 4 + length > dump.source.size:
            return False
    return True


def _threads(dump: Dump, records: Sequence[Record]) -> bool:
    return (
        _unique(records, "ThreadId")
        and _inside(dump, records, "ThreadContext.DataSize", "ThreadContext.Rva")
        and _inside(dump, records, "Stack.Memory.DataSize", "Stack.Memory.Rva")
        and len({record["ThreadContext.DataSize"] for record in records}) <= 2
        and all(record["ThreadContext.DataSize"] in (0, *range(0xCC, 0x8000)) for record in records)
    )


def _modules(dump: Dump, records: Sequence[Record]) -> bool:
    return _aligned(records, "BaseOfImage") and _named(dump, records, "ModuleNameRva") and _inside(
        dump, records, "CvRecord.DataSize", "CvRecord.Rva"
    )  # fmt: skip


def _ranges(dump: Dump, records: Sequence[Record]) -> bool:
    return all(record["Memory.DataSize"] for record in records) and _inside(
        dump, records, "Memory.DataSize", "Memory.Rva"
    )


def _regions(dump: Dump, records: Sequence[Record]) -> bool:  # noqa: ARG001
    ends = [record["BaseAddress"] + record["RegionSize"] for record in records]
    starts = [record["BaseAddress"] for record in records]
    return all(end % PAGE_SIZE == 0 for end in ends) and starts == sorted(set(starts)) and ends[:-1] == starts[1:]


def _thread_infos(dump: Dump, records: Sequence[Record]) -> bool:
    ids = {thread.id for thread in dump.threads}
    return _unique(records, "ThreadId") and all(record["ThreadId"] in ids for record in records)


def _thread_names(dump: Dump, records: Sequence[Record]) -> bool:
    return _unique(records, "ThreadId") and _named(dump, records, "RvaOfThreadName")


def _unloaded(dump: Dump, records: Sequence[Record]) -> bool:
    return _aligned(records, "BaseOfImage") and _named(dump, records, "ModuleNameRva")


def _handles(dump: Dump, records: Sequence[Record]) -> bool:
    return _unique(records, "Handle") and _named(dump, [item for item in records if item["TypeNameRva"]], "TypeNameRva")


LISTS: Final[dict[int, tuple[int, tuple[str, ...], _Sound]]] = {
    3: (4, ("MINIDUMP_THREAD",), _threads),
    4: (4, ("MINIDUMP_MODULE",), _modules),
    5: (4, ("MINIDUMP_MEMORY_DESCRIPTOR",), _ranges),
    24: (4, ("MINIDUMP_THREAD_NAME",), _thread_names),
    12: (16, ("MINIDUMP_HANDLE_DESCRIPTOR", "MINIDUMP_HANDLE_DESCRIPTOR_2"), _handles),
    14: (12, ("MINIDUMP_UNLOADED_MODULE",), _unloaded),
    16: (16, ("MINIDUMP_MEMORY_INFO",), _regions),
    17: (12, ("MINIDUMP_THREAD_INFO",), _thread_infos),
}
"""Type -> bytes before the first entry, the structures of an entry, whether entries are sound."""


def shifted_lists(case: Case) -> Iterator[Proposal]:
    """Lists whose entries begin too late."""
    for number, (header, entries, sound) in LISTS.items():
        stream = case.dump.streams.get(number)
        if stream is not None:
            for entry in entries:
                yield from _off(case.dump, number, header, entry, sound)


def _off(dump: Dump, number: int, header: int, entry: str, sound: _Sound) -> Iterator[Proposal]:
    stream, size = dump.streams[number], structure(entry).size
    head = dump.source.read(stream.rva, header)
    if header == 4:
        count = int.from_bytes(head[:4], "little")
    else:
        # The count follows the sizes of header and entry.
        if int.from_bytes(head[4:8], "little") != size:
            return
        count = int.from_bytes(head[8:16], "little") & (1 << 32) - 1
    first = stream.rva + header
    if not count or count * size > stream.size + size:
        return

    def entries(at: int) -> list[Record]:
        return [decode(dump.source, at + size * index, entry, "") for index in range(min(count, _LOOKED_AT))]

    padded = 4 if header == 4 and stream.size == header + 4 + count * size else 0
    if sound(dump, entries(first + padded)):
        return
    span = Span(first, first + size)
    for amount in range(1, _FARTHEST + 1):
        found = entries(first + amount)
        # A writer that stores the right size cuts off the end of the last entry.
        if not sound(dump, found[:-1] if len(found) > 2 else found):
            continue
        kept = dump.source.read(first + amount, count * size)
        edits = (
            Edit(first, first + count * size + amount, kept + bytes(amount)),
            field_edit(stream.record.span_of("Location.DataSize"), header + count * size),
        )
        yield Proposal(
            f"the entries of {stream_name(number)}",
            f"the first of {count} entries at {first:#x}",
            f"all of them stand {amount_text(amount)} later",
            Shift(amount),
            (span,),
            tuple(edit for edit in edits if edit.end <= dump.source.size),
        )
