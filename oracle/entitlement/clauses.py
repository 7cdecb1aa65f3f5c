"""Which memory of the target each clause of the documents puts into a dump: one clause a row, asked one at a time.

A clause knows nothing of the others. Nobody here builds the union that a writer would build: whether an address may be
in the dump is found out by asking each clause that the request switches on.
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
    MUST = "must"
    MAY = "may"
    NEVER = "never"


@dataclass(frozen=True, slots=True)
class Clause:
    name: str
    duty: Duty
    flags: Format
    """Any of these switches the clause on; none: always on."""
    ranges: Callable[[ProcessTruth, Format], Iterator[Piece]]
    source: Source
    with_full_memory: bool = False
    """Whether the clause speaks of a dump with full memory: there the others add nothing."""
    customary: bool = False
    """A MAY clause whose memory is in every real dump: to lack it is a finding of level SHOULD."""


_SMALL = Source("spec user-mode 2.3: 34 flag-0 minidumps by dbghelp 5.1 to dbgcore 10.0", Grade.OBSERVED)
_UNWIND = Source("spec user-mode 2.3, 3.14: 7876 of 7876 entries of 3 files", Grade.OBSERVED)
_DATA = Source("spec user-mode 2.5: 4 real dumps", Grade.OBSERVED)
_OPEN = Source("spec user-mode 6: what nobody documents", Grade.INFERRED)


def _by_flag(grade: Grade) -> Source:
    return Source("learn.microsoft.com DEBUG_FORMAT_XXX; spec user-mode 2.4", grade)


_DOCUMENTED, _INFERRED = _by_flag(Grade.DOCUMENTED), _by_flag(Grade.INFERRED)
_ALWAYS = Format(0)
_MUST, _MAY = Duty.MUST, Duty.MAY
_READ_ONLY = Format.CODE_SEGMENTS | Format.MODULE_HEADERS
_PRIVATE = Format.PRIVATE_READ_WRITE_MEMORY
_INDIRECT = Format.INDIRECT_MEMORY

CLAUSES: tuple[Clause, ...] = (
    Clause("stacks", _MUST, _ALWAYS, stacks.stacks, _SMALL),
    Clause("instruction windows", _MUST, _ALWAYS, stacks.thread_windows, _SMALL),
    Clause("exception window", _MUST, _ALWAYS, stacks.exception_window, _SMALL),
    Clause("cut instruction windows", _MAY, _ALWAYS, stacks.cut_windows, _OPEN),
    Clause("shared user data", _MAY, _ALWAYS, stacks.shared_user_data, _SMALL),
    Clause("unwind info", _MAY, _ALWAYS, stacks.unwind_info, _UNWIND),
    Clause("full memory", _MUST, Format.FULL_MEMORY, bulk.full_memory, _DOCUMENTED, with_full_memory=True),
    Clause("indirect memory", _MUST, _INDIRECT, indirect.windows, _DOCUMENTED),
    Clause("windows of unlisted images", _MAY, _INDIRECT, indirect.windows_of_unlisted_images, _OPEN),
    Clause("data segments", _MUST, Format.DATA_SEGMENTS, images.data_segments, _DOCUMENTED),
    Clause("code segments", _MUST, Format.CODE_SEGMENTS, images.code_segments, _DOCUMENTED),
    Clause("module headers", _MUST, Format.MODULE_HEADERS, images.image_headers, _INFERRED),
    Clause("rest of headers", _MAY, Format.MODULE_HEADERS, images.all_headers, _INFERRED),
    Clause("read-only sections", _MAY, _READ_ONLY, images.read_only_sections, _OPEN),
    Clause("private read-write memory", _MUST, _PRIVATE, bulk.private_read_write, _DOCUMENTED),
    Clause("private writable memory", _MAY, _PRIVATE, bulk.private_writable, _INFERRED),
    Clause("process and thread data", _MUST, Format.PROCESS_THREAD_DATA, process_data.required, _DOCUMENTED),
    Clause("process parameters", _MAY, Format.PROCESS_THREAD_DATA, process_data.customary, _DATA, customary=True),
    Clause("what process and thread data point to", _MAY, Format.PROCESS_THREAD_DATA, process_data.allowed, _DATA),
)
LOST_BLOCKS = Clause("lost read blocks", _MAY, Format.IGNORE_INACCESSIBLE_MEM, lambda _truth, _flags: iter(()),
                     _by_flag(Grade.OBSERVED))  # fmt: skip
"""What a writer may lose of the memory of MUST clauses: bulk.Losses says what."""
BRIDGED_GAPS = Clause("bridged gaps", _MAY, Format.INDIRECT_MEMORY | Format.PROCESS_THREAD_DATA,
                      lambda _truth, _flags: iter(()), _OPEN)  # fmt: skip
"""Real writers bridge gaps of 2 bytes between ranges, and leave gaps of 24 open. Spec user-mode 2.5, 6."""
