"""The contents of a dump as plain values with readable names: threads, modules, memory."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import cache
from pathlib import PureWindowsPath
from types import TracebackType
from typing import Final, Generic, TypeVar

from .decode import Record, structure
from .readers.facts import Dump
from .readers.kernel_dump import KernelDump
from .readers.userdump_facts import UserDump

_NOT_REGISTERS: Final = frozenset(
    {"contextflags", "p1home", "p2home", "p3home", "p4home", "p5home", "p6home", "fltsave", "floatsave", "v", "d"}
    | {"vectorregister", "vectorcontrol", "extendedregisters", "padding", "padding2", "bcr", "bvr", "wcr", "wvr"}
    | {"debugcontrol", "lastbranchtorip", "lastbranchfromrip", "lastexceptiontorip", "lastexceptionfromrip", "extra"}
)
"""Fields of CONTEXT that hold no integer register, in lower case."""

_Facts_co = TypeVar("_Facts_co", covariant=True)


class NotADumpError(ValueError):
    """The file is no dump, or a cabinet without one; the message is one line."""


class OpenedDump(Generic[_Facts_co]):
    """The reader's facts of an open dump, and what must be closed with them."""

    __slots__ = ("_facts", "_resources")

    def __init__(self, facts: _Facts_co) -> None:
        self._facts: _Facts_co | None = facts
        self._resources = ExitStack()

    @property
    def facts(self) -> _Facts_co:
        """Raises ValueError once the dump is closed."""
        if self._facts is None:
            raise ValueError("the dump is closed, so its memory cannot be read")
        return self._facts

    def own(self, resources: ExitStack) -> None:
        """Close ``resources`` with the dump."""
        self._resources = resources

    def close(self) -> None:
        """Drop the facts, then close the file. Records hold views of it, and a file with views stays mapped."""
        self._facts = None
        self._resources.close()


class Registers(Mapping[str, int]):
    """Registers by name. They are decoded when they are read: a hostile dump has 500,000 threads."""

    __slots__ = ("_data", "_places")

    def __init__(self, context: Record) -> None:
        self._places, size = _register_places(context.structure.name)
        self._data = context.data()[:size]

    def __getitem__(self, name: str) -> int:
        start, end = self._places[name]
        return int.from_bytes(self._data[start:end], "little")

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)

    def __repr__(self) -> str:
        return repr(dict(self))


@cache
def _register_places(context: str) -> tuple[dict[str, tuple[int, int]], int]:
    """Where the registers of a CONTEXT structure are, by lower-case name; and the end of the last one."""
    fields = structure(context).integers.items()
    places = {name.lower(): (start, end) for name, (start, end, _) in fields if "." not in name}
    places = {name: place for name, place in places.items() if name not in _NOT_REGISTERS}
    return places, max(end for _, end in places.values())


@dataclass(frozen=True, slots=True)
class Thread:
    """A thread of a user-mode dump."""

    id: int
    name: str | None
    """The description set by SetThreadDescription; None if the dump records none."""
    registers: Mapping[str, int] = field(hash=False)
    """General registers by lower-case name: ``rip``, ``eax``, ``x0``, ``segcs``. Empty if the dump holds no context."""
    instruction_pointer: int | None
    stack_pointer: int | None
    teb: int
    stack: tuple[int, int]
    """The captured part as addresses ``[start, end)``; ``dump.memory.read`` gives its bytes. Empty if it is damaged."""


@dataclass(frozen=True, slots=True)
class Module:
    """A loaded image: an executable, a DLL, the kernel or a driver."""

    path: str
    """As recorded; may be a base name only."""
    base: int
    size: int
    time_date_stamp: int | None
    """Seconds since 1970, or a hash of a reproducible build; None if the dump does not record it."""
    checksum: int | None
    pdb: str | None
    """The path in the RSDS record; None without one."""

    @property
    def name(self) -> str:
        """The last component of the path."""
        return PureWindowsPath(self.path).name

    def __contains__(self, address: int) -> bool:
        return self.base <= address < self.base + self.size


@dataclass(frozen=True, slots=True)
class ExceptionRecord:
    """EXCEPTION_RECORD of the last event."""

    code: int
    address: int
    parameters: tuple[int, ...]
    thread_id: int | None
    """None in a kernel dump."""


@dataclass(frozen=True, slots=True)
class BugCheck:
    """The stop code of a kernel dump and its four parameters."""

    code: int
    parameters: tuple[int, int, int, int]


@dataclass(frozen=True, slots=True)
class Stream:
    """An entry of a minidump's directory."""

    type: int
    name: str
    offset: int
    """File offset."""
    size: int
    """Bytes."""


@dataclass(frozen=True, eq=False)
class Memory:
    """The target's virtual memory, as far as the dump holds it."""

    ranges: tuple[tuple[int, int], ...]
    """Sorted ``[start, end)`` addresses that neither overlap nor touch. Empty for a kernel dump with physical pages,
    whose virtual memory is reached through its page tables."""
    _opened: OpenedDump[Dump | UserDump | KernelDump] = field(repr=False)

    def read(self, address: int, size: int) -> bytes | None:
        """``size`` bytes at a virtual address; None unless the dump holds all of them, or for a size of 0 or less.

        At most as many as the file has: a hostile dump names the same bytes for many addresses. A kernel dump with
        physical pages gives at most 16 MiB. Raises ValueError once the dump is closed.
        """
        dump = self._opened.facts
        if isinstance(dump, KernelDump) and dump.paged:
            return dump.read(address, size)
        if size > dump.source.size:
            return None
        return dump.read(address, size) if isinstance(dump, KernelDump) else dump.read_memory(address, size)


@dataclass(frozen=True, eq=False)
class PhysicalPages:
    """The physical pages whose bytes are in a kernel dump, 4096 bytes each.

    A damaged dump can name more. The methods raise ValueError once the dump is closed.
    """

    _opened: OpenedDump[KernelDump] = field(repr=False)

    @property
    def count(self) -> int:
        """How many pages there are: the sum of ``runs``."""
        return sum(count for _, count in self.runs())

    def runs(self) -> Iterator[tuple[int, int]]:
        """``(first page frame number, number of pages)`` in ascending order."""
        dump = self._opened.facts
        return ((pfn, count) for pfn, count, _ in dump.pages.held_runs(dump.source.size))

    def read(self, pfn: int) -> bytes | None:
        """The page with this frame number; None if the dump does not hold it."""
        page = self._opened.facts.page(pfn)
        return None if page is None else bytes(page)


@dataclass(frozen=True, eq=False)
class Contents:
    """What a dump says of its target. A context manager: leaving it closes the file."""

    kind: str
    """``minidump``, ``userdump`` or ``kernel-dump``."""
    architecture: str | None
    """``x86``, ``amd64``, ``arm``, ``arm64``; None if the dump names no known one."""
    threads: tuple[Thread, ...]
    """Empty for a kernel dump, which has no list of threads."""
    modules: tuple[Module, ...]
    memory: Memory
    registers: Mapping[str, int]
    """Of the event: the faulting thread's, or the crashing processor's. Empty if the dump holds no such context."""
    exception: ExceptionRecord | None
    bug_check: BugCheck | None
    """Only in a kernel dump."""
    pages: PhysicalPages | None
    """Only in a kernel dump with physical pages."""
    streams: tuple[Stream, ...]
    """Only in a minidump."""
    comment: str | None
    _opened: OpenedDump[Dump | UserDump | KernelDump] = field(repr=False)

    @property
    def facts(self) -> Dump | UserDump | KernelDump:
        """The reader's own facts: every record with its bytes. Not part of the stable interface."""
        return self._opened.facts

    def close(self) -> None:
        """Close the file, unless the caller opened it. Then ``memory`` and ``pages`` cannot be read."""
        self._opened.close()

    def __enter__(self) -> Contents:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
