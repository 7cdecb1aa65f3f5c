"""What ``describe`` tells of a dump, as plain values."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Parameter:
    """A parameter of an exception or a bug check."""

    value: int
    meaning: str | None
    """What the parameter is; None if no table tells."""
    value_name: str | None = None
    """What the value is: ``read``, ``STATUS_ACCESS_VIOLATION``. None if it is a plain number."""
    location: str | None = None
    """``module+0x10`` if the value is an address in a module."""


@dataclass(frozen=True, slots=True)
class ThreadOfCrash:
    """The thread that raised the exception."""

    id: int
    name: str | None


@dataclass(frozen=True, slots=True)
class Crash:
    """The exception or the bug check of a dump."""

    kind: str
    """``exception``, ``signal``, ``mach exception`` or ``bug check``."""
    code: int
    name: str | None
    """None if no table has the code."""
    meaning: str | None
    address: int | None
    """The instruction at fault; None if the dump does not tell it."""
    address_from: str | None
    """Where the address is from: ``exception record``, ``registers`` or ``parameter 4``."""
    location: str | None
    """``module+0x1016``; None if the address lies in no module that the dump lists."""
    parameters: tuple[Parameter, ...]
    thread: ThreadOfCrash | None


@dataclass(frozen=True, slots=True)
class System:
    """The system of the target."""

    name: str | None
    """``Windows 11 24H2``; None if the dump does not tell it."""
    version: str
    """``10.0.26100``; for a kernel dump the build alone."""
    product: str | None
    """``workstation``, ``server`` or ``domain controller``."""
    architecture: str
    """``amd64``; for an unknown one its number."""
    processors: int | None
    detail: str | None = None
    """The service pack, or the text of another system."""


@dataclass(frozen=True, slots=True)
class Process:
    """The process of a user-mode dump."""

    name: str | None
    """The first module."""
    id: int | None
    started: str | None
    """ISO 8601, UTC."""


@dataclass(frozen=True, slots=True)
class Writer:
    """Who wrote the file, as far as habits tell."""

    name: str | None
    """None: unknown."""
    asked_by: str | None
    """The program that asked for the dump, if that shows."""
    evidence: tuple[str, ...]
    """The traits that were looked at, with their values: those that told the writer; all if none did."""


@dataclass(frozen=True, slots=True)
class MemoryHeld:
    """How much of the target's memory the dump holds."""

    extent: str
    """``full``, ``stacks and more``, ``stacks``, ``ranges``, ``physical pages`` or ``none``."""
    bytes: int
    ranges: int
    stack_bytes: int = 0
    stacks: int = 0
    """Threads whose stack is there, at least in part."""
    committed: int | None = None
    """Committed bytes of the target by the dump's list of regions; None without one."""
    pages: int | None = None
    """Physical pages; only in a kernel dump."""


@dataclass(frozen=True, slots=True)
class ThreadLine:
    id: int
    name: str | None
    instruction_pointer: int | None
    location: str | None


@dataclass(frozen=True, slots=True)
class ModuleLine:
    path: str
    name: str
    base: int
    size: int
    time_date_stamp: int | None
    version: str | None
    pdb: str | None


@dataclass(frozen=True, slots=True)
class UnloadedLine:
    name: str
    base: int
    size: int


@dataclass(frozen=True, slots=True)
class HandleLine:
    value: int
    type: str | None
    name: str | None


@dataclass(frozen=True, slots=True)
class StreamLine:
    type: int
    name: str
    size: int


@dataclass(frozen=True, slots=True)
class MemberLine:
    """A file in a cabinet."""

    name: str
    size: int
    kind: str


@dataclass(frozen=True, slots=True)
class Lists:
    """The lists of a dump. None: this kind of dump has no such list; empty: the list is absent or empty."""

    threads: tuple[ThreadLine, ...] | None = None
    modules: tuple[ModuleLine, ...] = ()
    """Drivers, in a kernel dump."""
    unloaded: tuple[UnloadedLine, ...] | None = None
    handles: tuple[HandleLine, ...] | None = None
    streams: tuple[StreamLine, ...] | None = None


@dataclass(frozen=True, slots=True)
class DumpDescription:
    """One dump."""

    kind: str
    description: str
    """One line, as ``identify`` says it."""
    size: int
    """In bytes."""
    form: str | None
    """The dump's type or flags: ``type 4, triage (small)``, ``0x1826 (MiniDumpWithFullMemory, ...)``."""
    time: str | None
    """When it was written, ISO 8601, UTC."""
    uptime: int | None
    """Seconds that the system ran; only in a kernel dump."""
    system: System | None
    process: Process | None
    crash: Crash | None
    memory: MemoryHeld
    holds: tuple[str, ...]
    lacks: tuple[str, ...]
    damaged: tuple[str, ...]
    """What is there and cannot be read; ``check`` tells why."""
    writer: Writer
    comment: str | None
    lists: Lists


@dataclass(frozen=True, slots=True)
class Description:
    """One file: what it is, and the dump in it."""

    kind: str
    """As ``Identity.kind``."""
    description: str
    size: int
    dump: DumpDescription | None
    """None if the file is no dump that can be read, and no cabinet with one."""
    member: str | None = None
    """The name of the dump in a cabinet."""
    members: tuple[MemberLine, ...] = field(default=())
    """The files in a cabinet."""
