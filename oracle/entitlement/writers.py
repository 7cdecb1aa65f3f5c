"""The writers whose choices a minidump's memory may follow: each measured, with the values in which they differ.

A contract names the writers that a dump may be by. What all of them capture is required, what one of them captures is
allowed. So a difference between two versions is a row of data here, and no case in a rule.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .flags import OF_15063, OF_29507, OF_THE_PAGE, Cancelling, Format, asked

if TYPE_CHECKING:
    from ..truth.process import ProcessTruth, RequestTruth

# winnt.h PAGE_READWRITE, PAGE_WRITECOPY, PAGE_EXECUTE, PAGE_EXECUTE_READ, PAGE_EXECUTE_READWRITE,
# PAGE_EXECUTE_WRITECOPY
_READWRITE, _WRITECOPY, _EXECUTE, _EXECUTE_READ, _EXECUTE_READWRITE, _EXECUTE_WRITECOPY = 4, 8, 0x10, 0x20, 0x40, 0x80


@dataclass(frozen=True, slots=True)
class TebOfDump:
    """How much of its TEB a thread's stack needs, if the target is a dump. Sizes by the bytes of a pointer.

    Between the two no measurement tells (docs/format/minidump-memory-ranges.md#dump-targets-stacks).
    """

    kept: Mapping[int, int]
    """With these bytes the stack is kept."""
    lost: Mapping[int, int]
    """With these bytes alone the stack is lost."""


_WHOLE = TebOfDump({4: 0x1000, 8: 0x2000}, {4: 0, 8: 0})


@dataclass(frozen=True, slots=True)
class Writer:
    """A program that writes minidumps. Sizes are in bytes."""

    name: str
    cancels: Cancelling
    refuses: Format
    """Flags that it does not accept. It cannot have written a dump for a request with one of them."""
    shared_user_data: int
    """Of KUSER_SHARED_DATA, at any flags (docs/format/minidump-captured-memory.md#shared-user-data-page)."""
    private: frozenset[int]
    """Protections of PRIVATE_READ_WRITE_MEMORY, without modifiers
    (docs/format/minidump-captured-memory.md#private-read-write-memory)."""
    peb: int
    """This and the next two: docs/format/minidump-process-data.md#sizes-of-process-and-thread-data"""
    parameters: int
    fls: int
    guarded_private: bool = False
    """Whether it takes private pages with PAGE_GUARD."""
    static_tls: bool = False
    """docs/format/minidump-process-data.md#static-tls-blocks"""
    debug_data: bool = False
    """Whether MODULE_HEADERS adds what debug entries point to
    (docs/format/minidump-captured-memory.md#module-headers)."""
    address_only: bool = True
    """Whether the window of an exception is known to lie around ExceptionAddress where the context's IP differs
    (docs/format/minidump-captured-memory.md#window-of-the-exception)."""
    unaligned_sp: bool = True
    """Whether INDIRECT_MEMORY adds windows if SP is no multiple of a word
    (docs/format/minidump-captured-memory.md#indirect-memory-words)."""
    stops_at_dropped_window: bool = False
    """Whether INDIRECT_MEMORY of a dump is known to follow no thread behind the first with a dropped window
    (docs/format/minidump-memory-ranges.md#dump-targets-windows)."""
    raw_stacks: bool = False
    """Whether FILTER_TRIAGE is known to take all from SP to StackBase, included, for the stack of a pointer
    (docs/format/minidump-filters.md#filter-triage-stack-words)."""
    teb: TebOfDump = _WHOLE
    emulated: bool = False
    """Whether a process that runs amd64 code on arm64 brings PEB and TEBs
    (docs/format/minidump-memory-ranges.md#teb-outside-its-flags)."""
    drops_torn_regions: bool = False
    """Whether an ignored unreadable page takes its whole region with it
    (docs/format/minidump-captured-memory.md#unreadable-pages-in-full-memory)."""


_NEWER = (
    Format.MODULE_HEADERS | Format.FILTER_TRIAGE | Format.ADD_AVX_XSTATE_CONTEXT | Format.IPT_TRACE
    | Format.NO_IGNORE_INACCESSIBLE_MEM | Format.SCAN_PARTIAL_PAGES
)  # fmt: skip

E15063 = Writer(
    "E15063", OF_15063, Format.IPT_TRACE | Format.NO_IGNORE_INACCESSIBLE_MEM,
    shared_user_data=0,
    private=frozenset({_READWRITE, _EXECUTE, _EXECUTE_READ, _EXECUTE_READWRITE, _EXECUTE_WRITECOPY}),
    peb=0x7A0, parameters=0x400, fls=0x410,
    guarded_private=True, debug_data=True, teb=TebOfDump({4: 0x30, 8: 0x60}, {4: 0x2F, 8: 0x5F}),
    stops_at_dropped_window=True, raw_stacks=True,
)  # fmt: skip
E29507 = Writer(
    "E29507", OF_29507, Format(0),
    shared_user_data=0xAA0,
    private=frozenset({_READWRITE, _WRITECOPY, _EXECUTE, _EXECUTE_READ, _EXECUTE_READWRITE}),
    peb=0x7D0, parameters=0x448, fls=0x7F90,
    guarded_private=True, debug_data=True, unaligned_sp=False, drops_torn_regions=True,
    teb=TebOfDump({4: 0x800, 8: 0x2000}, {4: 0, 8: 0x800}), emulated=True,
)  # fmt: skip
H612 = Writer(
    "dbghelp 6.12", OF_15063, _NEWER,
    shared_user_data=0,
    private=frozenset({_READWRITE, _EXECUTE_READWRITE}),
    peb=0x380, parameters=0x400, fls=0x410,
    static_tls=True, drops_torn_regions=True,
)  # fmt: skip
PAGE = Writer(
    "the reference page", OF_THE_PAGE, Format(0),
    shared_user_data=0,
    private=frozenset({_READWRITE}),
    peb=0x1000, parameters=0x448, fls=0x7F90,
    address_only=False,
)  # fmt: skip
"""No program, but what a writer may make of the documents. Real PEBs have up to 0x7C8 bytes; one page is allowed."""

_BY_CONTRACT = {
    "documented": (E29507, E15063, H612, PAGE),
    "e15063": (E15063,),
    "e29507": (E29507,),
}
_RE_DUMPERS = (E29507, E15063)
"""The others were met, or make sense, with a live target only."""


def writers_of(request: RequestTruth) -> tuple[Writer, ...]:
    """The writers that the request's contract allows, and that accept its flags. Never empty."""
    allowed = _BY_CONTRACT[request.contract]
    if request.session == "dump":
        allowed = tuple(each for each in allowed if each in _RE_DUMPERS)
    return tuple(each for each in allowed if not asked(request) & each.refuses) or allowed


@dataclass(frozen=True, slots=True)
class Writing:
    """One writer at one request of one target."""

    truth: ProcessTruth
    writer: Writer
    flags: Format
    """The flags that stay in effect."""
    of_dump: bool
    """Whether the debugger's target was a dump (docs/format/minidump-memory-ranges.md#dump-targets-windows)."""


def writings(truth: ProcessTruth, request: RequestTruth) -> tuple[Writing, ...]:
    """How each allowed writer answers the request."""
    flags, of_dump = asked(request), request.session == "dump"
    return tuple(Writing(truth, each, each.cancels.left(flags), of_dump) for each in writers_of(request))
