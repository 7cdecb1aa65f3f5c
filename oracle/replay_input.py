"""Takes from a minidump what a machine needs to raise the same exception again.

Input: an amd64 minidump with an exception, its thread, and a MemoryInfoList. Output: memory, registers, and the
exception that must follow.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from .decode import KINDS
from .memory.intervals import inside
from .readers.facts import Dump

# winnt.h MEM_COMMIT
_COMMIT = 0x1000


class CapturedBytes:
    """Memory that a dump or a truth holds. Only a slice reads from the file."""

    __slots__ = ("_read", "_size", "_start")

    def __init__(self, read: Callable[[int, int], bytes | memoryview | None], start: int, size: int) -> None:
        """``read`` returns the bytes at an address, by address and size."""
        self._read, self._start, self._size = read, start, size

    def __len__(self) -> int:
        return self._size

    def __getitem__(self, key: slice, /) -> bytes:
        start, end, step = key.indices(self._size)
        if step != 1:
            raise ValueError("a slice of captured memory has no step")
        return bytes(self._read(self._start + start, end - start) or b"")


@dataclass(frozen=True, slots=True)
class ReplayRegion:
    """``size`` bytes of the target's memory at ``start``, with one protection (winnt.h PAGE_*)."""

    start: int
    size: int
    protect: int
    data: CapturedBytes | None
    """None if the dump has no bytes: guard pages, PAGE_NOACCESS, pages that could not be read."""


@dataclass(frozen=True, slots=True)
class ReplayInput:
    """The state before the exception, and the exception that must follow."""

    regions: tuple[ReplayRegion, ...]
    """Committed memory, ascending."""
    registers: Mapping[str, int]
    """Registers of the exception's context, by their names in CONTEXT."""
    fxsave: bytes
    """FltSave of the exception's context, 512 bytes."""
    gs_base: int
    """The address of the TEB of the exception's thread."""
    code: int
    """ExceptionCode, an NTSTATUS."""
    address: int
    """ExceptionAddress."""
    information: tuple[int, ...]
    """ExceptionInformation: NumberParameters values."""


def replay_input(dump: Dump) -> ReplayInput | None:
    """The input of a replay; None if the dump lacks an amd64 exception context, its thread or a MemoryInfoList."""
    exception = dump.exception
    if exception is None or exception.context is None or dump.architecture != "amd64" or not dump.memory_infos:
        return None
    record, context = exception.record, exception.context.record
    thread = next((thread for thread in dump.threads if thread.id == record["ThreadId"]), None)
    if thread is None:
        return None
    names = [
        name for name, row in context.structure.fields.items() if row.width == KINDS[row.kind][0] and "." not in name
    ]
    count = min(record["ExceptionRecord.NumberParameters"], 15)
    return ReplayInput(
        regions=tuple(_regions(dump)),
        registers={name: context[name] for name in names},
        fxsave=context.raw("FltSave"),
        gs_base=thread.record["Teb"],
        code=record["ExceptionRecord.ExceptionCode"],
        address=record["ExceptionRecord.ExceptionAddress"],
        information=record.array("ExceptionRecord.ExceptionInformation")[:count],
    )


def _regions(dump: Dump) -> Iterator[ReplayRegion]:
    """The committed rows of the MemoryInfoList, cut where the captured bytes of the dump begin or end."""
    captured = dump.captured()
    for row in dump.memory_infos:
        if row["State"] != _COMMIT:
            continue
        at, end, protect = row["BaseAddress"], row["BaseAddress"] + row["RegionSize"], row["Protect"]
        for low, high in inside(captured, at, end):
            if at < low:
                yield ReplayRegion(at, low - at, protect, None)
            yield ReplayRegion(low, high - low, protect, CapturedBytes(dump.read_memory, low, high - low))
            at = high
        if at < end:
            yield ReplayRegion(at, end - at, protect, None)
