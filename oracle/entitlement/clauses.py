"""The clauses that put memory of the target into a minidump: one row each, with its duty and evidence.

Clauses are independent of each other. To judge an address, the oracle asks each clause that the request switches on,
for each writer that the request's contract allows. It does not build the list of ranges that a writer builds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from ..model import Grade, Source
from . import bulk, images, indirect, process_data, stacks, survival
from .duty import Duty
from .flags import Format
from .pieces import Piece
from .writers import Writing


@dataclass(frozen=True, slots=True)
class Clause:
    """One reason for which memory is in a minidump."""

    name: str
    duty: Duty
    """MUST: what every allowed writer takes is required, what one of them takes is allowed. MAY: all is allowed."""
    flags: Format
    """Any of these switches the clause on. No flags: it is always on."""
    ranges: Callable[[Writing], Iterator[Piece]]
    """The pieces of memory that one writer takes. Pieces may overlap and may be unreadable."""
    source: Source
    with_full_memory: bool = False
    """Whether the clause applies to dumps with full memory. The other clauses apply to dumps without."""
    customary: bool = False
    """Whether no document promises the memory. Then only an engine's contract requires it; otherwise a dump without it
    fails a SHOULD rule."""


_ENGINES, _NEW = ("15063", "29507"), ("29507",)


def _witnessed(where: str, *versions: str) -> Source:
    return Source(f"docs/format/{where}", Grade.WITNESSED, versions or _ENGINES)


_STACKS = _witnessed("minidump-captured-memory.md#stack-of-a-thread")
_WINDOWS = _witnessed("minidump-captured-memory.md#instruction-window-of-a-thread")
_EXCEPTION = _witnessed("minidump-captured-memory.md#window-of-the-exception")
_SHARED = _witnessed("minidump-captured-memory.md#shared-user-data-page", *_NEW)
_UNWIND = _witnessed("minidump-function-tables.md#unwind-data")
_FULL = _witnessed("minidump-captured-memory.md#full-memory")
_TORN = _witnessed("minidump-captured-memory.md#unreadable-pages-in-full-memory", *_NEW)
_INDIRECT_WINDOWS = _witnessed("minidump-captured-memory.md#indirect-memory-window")
_DATA = _witnessed("minidump-captured-memory.md#data-segments")
_CODE = _witnessed("minidump-captured-memory.md#code-segments")
_HEADERS = _witnessed("minidump-captured-memory.md#module-headers")
_PRIVATE_PAGES = _witnessed("minidump-captured-memory.md#private-read-write-memory")
_PROCESS = _witnessed("minidump-process-data.md#process-and-thread-data")
_STATIC_TLS = Source("docs/format/minidump-process-data.md#static-tls-blocks", Grade.OBSERVED)
_TRIAGE = _witnessed("minidump-filters.md#filter-triage-stack-words")
_GAPS = _witnessed("minidump-memory-ranges.md#bridged-gaps", *_NEW)
_STACKS_OF_DUMPS = _witnessed("minidump-memory-ranges.md#dump-targets-stacks")
_WINDOWS_OF_DUMPS = _witnessed("minidump-memory-ranges.md#dump-targets-windows")
_SHARED_OF_DUMPS = _witnessed("minidump-memory-ranges.md#dump-targets-shared-user-data", *_NEW)
_EMULATED = _witnessed("minidump-memory-ranges.md#teb-outside-its-flags", *_NEW)
_ALWAYS = Format(0)
_MUST, _MAY = Duty.MUST, Duty.MAY
_PRIVATE = Format.PRIVATE_READ_WRITE_MEMORY
_THREADS = Format.PROCESS_THREAD_DATA

CLAUSES: tuple[Clause, ...] = (
    Clause("stacks", _MUST, _ALWAYS, stacks.stacks, _STACKS),
    Clause("stacks with a part of the TEB", _MAY, _ALWAYS, stacks.stacks_in_doubt, _STACKS_OF_DUMPS),
    Clause("instruction windows", _MUST, _ALWAYS, stacks.thread_windows, _WINDOWS),
    Clause("exception window", _MUST, _ALWAYS, stacks.exception_window, _EXCEPTION),
    Clause("exception window elsewhere", _MAY, _ALWAYS, stacks.windows_of_either, _EXCEPTION),
    Clause("shared user data", _MUST, _ALWAYS, stacks.shared_user_data, _SHARED),
    Clause("range above the shared user data", _MAY, _ALWAYS, stacks.next_range, _SHARED_OF_DUMPS),
    Clause("unwind info", _MAY, _ALWAYS, stacks.unwind_info, _UNWIND),
    Clause("PEB and TEBs of an emulated process", _MUST, _ALWAYS, process_data.emulated, _EMULATED),
    Clause("TLS vectors of an emulated process", _MAY, _ALWAYS, process_data.emulated_tls, _EMULATED),
    Clause("full memory", _MUST, Format.FULL_MEMORY, bulk.full_memory, _FULL, with_full_memory=True),
    Clause("torn regions", _MAY, Format.FULL_MEMORY, bulk.torn_regions, _TORN, with_full_memory=True),
    Clause("indirect memory", _MUST, Format.INDIRECT_MEMORY, indirect.windows, _INDIRECT_WINDOWS),
    Clause(
        "indirect memory of other threads", _MAY, Format.INDIRECT_MEMORY, indirect.windows_in_doubt, _WINDOWS_OF_DUMPS
    ),
    Clause("data segments", _MUST, Format.DATA_SEGMENTS, images.data_segments, _DATA),
    Clause("code segments", _MUST, Format.CODE_SEGMENTS, images.code_segments, _CODE),
    Clause("module headers", _MUST, Format.MODULE_HEADERS, images.image_headers, _HEADERS),
    Clause("private read-write memory", _MUST, _PRIVATE, bulk.private_read_write, _PRIVATE_PAGES),
    Clause("private memory with modifiers", _MAY, _PRIVATE, bulk.private_modified, _PRIVATE_PAGES),
    Clause("process and thread data", _MUST, _THREADS, process_data.required, _PROCESS),
    Clause("process parameters", _MUST, _THREADS, process_data.parameters, _PROCESS, customary=True),
    Clause("what process and thread data point to", _MAY, _THREADS, process_data.allowed, _PROCESS),
    Clause("static TLS blocks", _MAY, Format.DATA_SEGMENTS, process_data.static_tls, _STATIC_TLS),
    Clause("words that keep stack words", _MUST, Format.FILTER_TRIAGE, survival.leading_words, _TRIAGE),
    Clause("words that may keep them", _MAY, Format.FILTER_TRIAGE, survival.leading_words_in_doubt, _TRIAGE),
)
BRIDGED_GAPS = Clause("bridged gaps", _MAY, _ALWAYS, lambda _writing: iter(()), _GAPS)
"""Gaps between ranges that a writer may capture. ``user.Entitlement`` computes them."""
