"""The real writers of kernel dumps, and what each of them stores.

A request names a contract (docs/truth-format.md). Under an engine's contract a dump holds what that version writes.
Under ``documented`` it may hold what any of the writers stores.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from ..truth.process import RequestTruth


class Kind(StrEnum):
    """The kind of kernel dump that a qualifier asks for."""

    SMALL = "small"
    KERNEL = "kernel"
    COMPLETE = "complete"
    ACTIVE = "active"


@dataclass(frozen=True, slots=True)
class Processor:
    """Bytes of RequiredDumpSpace that an engine reserves for each processor of a small dump."""

    fixed: int
    thread: bool
    """Whether SizeEThread is added. SizePrcb always is."""


@dataclass(frozen=True, slots=True)
class KernelWriter:
    """What one writer stores in kernel dumps."""

    name: str
    """``windows``, or the contract of an engine."""
    layouts: tuple[str, ...]
    """Layouts of its small dumps (docs/format/kernel-small-layouts.md#who-writes-which-layout)."""
    types: Mapping[Kind, int] = field(default_factory=dict)
    """DumpType by kind (docs/format/kernel-kinds.md#type-for-each-kind). Empty: the profile of a request decides."""
    debugger_data_size: int | None = None
    """DebuggerDataSize of its small dumps (docs/format/kernel-small.md#debugger-data-part). None: Header.Size."""
    processor: Processor | None = None
    """None: RequiredDumpSpace of a small dump is not computed
    (docs/format/kernel-small-layouts.md#requireddumpspace-of-a-small-dump)."""

    @property
    def engine(self) -> bool:
        """Whether it is a version of the vendor's debugger engine."""
        return bool(self.types)


WINDOWS: Final = KernelWriter("windows", ("A", "B"))
E15063: Final = KernelWriter(
    "e15063", ("A",), {Kind.SMALL: 4, Kind.COMPLETE: 1}, 0x368, Processor(0x8008, thread=False)
)
E29507: Final = KernelWriter(
    "e29507",
    ("A",),
    {Kind.SMALL: 4, Kind.KERNEL: 8, Kind.COMPLETE: 10, Kind.ACTIVE: 9},
    0x3A8,
    Processor(0x20188, thread=True),
)
WRITERS: Final = (WINDOWS, E15063, E29507)


def writers_of(request: RequestTruth | None) -> tuple[KernelWriter, ...]:
    """The writers whose choices a dump for ``request`` may show. None: a dump of an unknown writer."""
    if request is None or request.contract == "documented":
        return WRITERS
    return tuple(writer for writer in WRITERS if writer.name == request.contract)


def engine_of(request: RequestTruth | None) -> KernelWriter | None:
    """The engine whose contract the request names; None if it names none."""
    only = writers_of(request)
    return only[0] if len(only) == 1 else None
