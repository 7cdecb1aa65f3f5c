"""The clauses that put memory of the target into a minidump: one row each, with its duty and evidence.

Clauses are independent of each other. To judge an address, the oracle asks each clause that the request switches on. It
does not build the list of ranges that a writer builds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum

from ..model import Grade, Source
from ..truth.process import ProcessTruth
from . import bulk, images, indirect, process_data, stacks
from .flags import Format
from .pieces import Piece


class Duty(StrEnum):
    """Whether a dump must, may or must not hold something."""

    MUST = "must"
    MAY = "may"
    NEVER = "never"


@dataclass(frozen=True, slots=True)
class Clause:
    """One reason for which memory is in a minidump."""

    name: str
    duty: Duty
    flags: Format
    """Any of these switches the clause on. No flags: it is always on."""
    ranges: Callable[[ProcessTruth, Format], Iterator[Piece]]
    """The pieces of memory, from the truth and the effective flags. Pieces may overlap and may be unreadable."""
    source: Source
    with_full_memory: bool = False
    """Whether the clause applies to dumps with full memory. The other clauses apply to dumps without."""
    customary: bool = False
    """For a MAY clause: real dumps all hold this memory. A dump without it fails a SHOULD rule."""


_ENGINES = ("15063", "29507")
_STACKS = Source("docs/format/minidump-captured-memory.md#stack-of-a-thread", Grade.WITNESSED, _ENGINES)
_WINDOWS = Source("docs/format/minidump-captured-memory.md#instruction-window-of-a-thread", Grade.WITNESSED, _ENGINES)
_EXCEPTION = Source("docs/format/minidump-captured-memory.md#window-of-the-exception", Grade.OBSERVED)
_SHARED = Source("docs/format/minidump-captured-memory.md#shared-user-data-page", Grade.OBSERVED)
_UNWIND = Source(
    "docs/format/minidump-captured-memory.md#unwind-information-of-dynamic-function-tables", Grade.OBSERVED
)
_FULL = Source("docs/format/minidump-captured-memory.md#full-memory", Grade.WITNESSED, _ENGINES)
_INDIRECT_WINDOWS = Source("docs/format/minidump-captured-memory.md#indirect-memory-window", Grade.WITNESSED, _ENGINES)
_INDIRECT_WORDS = Source("docs/format/minidump-captured-memory.md#indirect-memory-words", Grade.WITNESSED, _ENGINES)
_DATA = Source("docs/format/minidump-captured-memory.md#data-segments", Grade.DOCUMENTED)
_CODE = Source("docs/format/minidump-captured-memory.md#code-segments", Grade.DOCUMENTED)
_HEADERS = Source("docs/format/minidump-captured-memory.md#module-headers", Grade.WITNESSED, _ENGINES)
_READ_ONLY_EXTENT = Source("docs/format/minidump-open-points.md#memory-that-no-witness-settles", Grade.INFERRED)
_PRIVATE_PAGES = Source("docs/format/minidump-captured-memory.md#private-read-write-memory", Grade.DOCUMENTED)
_OTHER_PRIVATE = Source("docs/format/minidump-captured-memory.md#private-read-write-memory", Grade.WITNESSED, _ENGINES)
_PROCESS = Source("docs/format/minidump-process-data.md#process-and-thread-data", Grade.WITNESSED, _ENGINES)
_POINTED = Source("docs/format/minidump-process-data.md#process-and-thread-data", Grade.OBSERVED)
_LOSSES = Source("docs/format/minidump-captured-memory.md#unreadable-pages-in-full-memory", Grade.OBSERVED)
_GAPS = Source("docs/format/minidump-memory-ranges.md#bridged-gaps", Grade.OBSERVED)
_ALWAYS = Format(0)
_MUST, _MAY = Duty.MUST, Duty.MAY
_READ_ONLY = Format.CODE_SEGMENTS | Format.MODULE_HEADERS
_PRIVATE = Format.PRIVATE_READ_WRITE_MEMORY
_INDIRECT = Format.INDIRECT_MEMORY

CLAUSES: tuple[Clause, ...] = (
    Clause("stacks", _MUST, _ALWAYS, stacks.stacks, _STACKS),
    Clause("instruction windows", _MUST, _ALWAYS, stacks.thread_windows, _WINDOWS),
    Clause("exception window", _MUST, _ALWAYS, stacks.exception_window, _EXCEPTION),
    Clause("cut instruction windows", _MAY, _ALWAYS, stacks.cut_windows, _WINDOWS),
    Clause("shared user data", _MAY, _ALWAYS, stacks.shared_user_data, _SHARED),
    Clause("unwind info", _MAY, _ALWAYS, stacks.unwind_info, _UNWIND),
    Clause("full memory", _MUST, Format.FULL_MEMORY, bulk.full_memory, _FULL, with_full_memory=True),
    Clause("indirect memory", _MUST, _INDIRECT, indirect.windows, _INDIRECT_WINDOWS),
    Clause("windows of unlisted images", _MAY, _INDIRECT, indirect.windows_of_unlisted_images, _INDIRECT_WORDS),
    Clause("data segments", _MUST, Format.DATA_SEGMENTS, images.data_segments, _DATA),
    Clause("code segments", _MUST, Format.CODE_SEGMENTS, images.code_segments, _CODE),
    Clause("module headers", _MUST, Format.MODULE_HEADERS, images.image_headers, _HEADERS),
    Clause("rest of headers", _MAY, Format.MODULE_HEADERS, images.all_headers, _HEADERS),
    Clause("read-only sections", _MAY, _READ_ONLY, images.read_only_sections, _READ_ONLY_EXTENT),
    Clause("private read-write memory", _MUST, _PRIVATE, bulk.private_read_write, _PRIVATE_PAGES),
    Clause("private writable memory", _MAY, _PRIVATE, bulk.private_writable, _OTHER_PRIVATE),
    Clause("process and thread data", _MUST, Format.PROCESS_THREAD_DATA, process_data.required, _PROCESS),
    Clause("process parameters", _MAY, Format.PROCESS_THREAD_DATA, process_data.customary, _POINTED, customary=True),
    Clause("what process and thread data point to", _MAY, Format.PROCESS_THREAD_DATA, process_data.allowed, _POINTED),
)
LOST_BLOCKS = Clause("lost read blocks", _MAY, Format.IGNORE_INACCESSIBLE_MEM, lambda _truth, _flags: iter(()), _LOSSES)
"""Memory of MUST clauses that a writer may lose. ``bulk.Losses`` computes it."""
BRIDGED_GAPS = Clause(
    "bridged gaps", _MAY, Format.INDIRECT_MEMORY | Format.PROCESS_THREAD_DATA, lambda _truth, _flags: iter(()), _GAPS
)
"""Gaps between ranges that a writer may capture. ``user.Entitlement`` computes them."""
