"""Which memory of the target each clause of the documents puts into a dump: one clause a row, asked one at a time.

A clause knows nothing of the others. Nobody here builds the union that a writer would build: whether an address may be
in the dump is found out by asking each clause that the request switches on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum

from ..model import Grade, Source
from ..truth_context import ThreadContextTruth
from ..truth_model import PRIVATE, READWRITE, ProcessTruth
from . import process_data
from .flags import Format, ignores_inaccessible, stack

_TOP = 1 << 64


class Duty(StrEnum):
    MUST = "must"
    MAY = "may"
    NEVER = "never"


@dataclass(frozen=True, slots=True, order=True)
class Piece:
    """``[start, end)`` of the target's memory, and what it is there for."""

    start: int
    end: int
    subject: str


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


def _stacks(truth: ProcessTruth, _flags: Format) -> Iterator[Piece]:
    for thread in truth.threads:
        start, end = stack(thread.context.sp, thread.stack_limit, thread.stack_base)
        yield Piece(start, end, f"stack of thread {thread.thread_id:#x}")


def _window(context: ThreadContextTruth, whose: str) -> Piece:
    return Piece(max(context.ip - 0x80, 0), min(context.ip + 0x80, _TOP), f"instruction window of {whose}")


def _thread_windows(truth: ProcessTruth, _flags: Format) -> Iterator[Piece]:
    for thread in truth.threads:
        yield _window(thread.context, f"thread {thread.thread_id:#x}")


def _exception_window(truth: ProcessTruth, _flags: Format) -> Iterator[Piece]:
    if truth.exception is not None:
        yield _window(truth.exception.context, "the exception")


def _shared_user_data(_truth: ProcessTruth, _flags: Format) -> Iterator[Piece]:
    # ntddk.h KUSER_SHARED_DATA at its fixed user-mode address, with the size seen in build 22631
    yield Piece(0x7FFE0000, 0x7FFE0738, "KUSER_SHARED_DATA")


_READ_BLOCK = 0x10000
"""The engine reads full memory in blocks of 64 KiB and drops a failing one whole. Spec user-mode 2.4."""


def _readable(truth: ProcessTruth, flags: Format) -> Iterator[Piece]:
    for piece, lost in _split_by_loss(truth, flags):
        if not lost:
            yield piece


def _beside_unreadable(truth: ProcessTruth, flags: Format) -> Iterator[Piece]:
    for piece, lost in _split_by_loss(truth, flags):
        if lost:
            yield piece


def _split_by_loss(truth: ProcessTruth, flags: Format) -> Iterator[tuple[Piece, bool]]:
    """Readable memory, cut where a writer that ignores failures may lose a whole read block."""
    lossy = ignores_inaccessible(flags) and not flags & Format.SCAN_PARTIAL_PAGES
    for region in truth.regions:
        holes = [hole for hole in truth.unreadable if hole.start < region.end and hole.end > region.base]
        blocks = sorted(
            {
                (block, block + _READ_BLOCK)
                for hole in holes
                for block in range(
                    region.base + (max(hole.start, region.base) - region.base) // _READ_BLOCK * _READ_BLOCK,
                    min(hole.end, region.end),
                    _READ_BLOCK,
                )
            }
            if lossy
            else ()
        )
        at = region.base
        for start, end in [*blocks, (region.end, region.end)]:
            for low, high, lost in ((at, start, False), (start, min(end, region.end), True)):
                for address, data in truth.readable(low, high):
                    yield Piece(address, address + len(data), "readable memory"), lost
            at = end


def _sections(truth: ProcessTruth, mask: int, what: str) -> Iterator[Piece]:
    for module in truth.modules:
        for section in module.sections:
            if section.characteristics & mask:
                start = module.base + section.virtual_address
                yield Piece(start, start + section.virtual_size, f"{what} section {section.name} of {module.name}")


def _data_segments(truth: ProcessTruth, _flags: Format) -> Iterator[Piece]:
    # winnt.h IMAGE_SCN_MEM_WRITE
    return _sections(truth, 0x8000_0000, "writable")


def _code_segments(truth: ProcessTruth, _flags: Format) -> Iterator[Piece]:
    # winnt.h IMAGE_SCN_MEM_EXECUTE | IMAGE_SCN_CNT_CODE
    return _sections(truth, 0x2000_0020, "code")


def _unwind_sections(truth: ProcessTruth, _flags: Format) -> Iterator[Piece]:
    for module in truth.modules:
        for section in module.sections:
            if section.name in (".pdata", ".xdata"):
                start = module.base + section.virtual_address
                yield Piece(start, start + section.virtual_size, f"section {section.name} of {module.name}")


def _image_headers(truth: ProcessTruth, _flags: Format) -> Iterator[Piece]:
    for module in truth.modules:
        yield Piece(module.base, module.base + 0x40, f"IMAGE_DOS_HEADER of {module.name}")
        new = truth.read(module.base + 0x3C, 4)  # winnt.h IMAGE_DOS_HEADER.e_lfanew
        if new is not None:
            start = module.base + int.from_bytes(new, "little")
            # winnt.h IMAGE_NT_HEADERS64
            yield Piece(start, start + 0x108, f"IMAGE_NT_HEADERS of {module.name}")


def _rest_of_headers(truth: ProcessTruth, _flags: Format) -> Iterator[Piece]:
    for module in truth.modules:
        yield Piece(module.base, module.base + module.size_of_headers, f"headers of {module.name}")


def _private_read_write(truth: ProcessTruth, _flags: Format) -> Iterator[Piece]:
    for region in truth.regions:
        if region.readable and region.type == PRIVATE and region.protect == READWRITE:
            yield Piece(region.base, region.end, f"private read-write region {region.base:#x}")


def _private_execute_read_write(truth: ProcessTruth, _flags: Format) -> Iterator[Piece]:
    for region in truth.regions:
        if region.readable and region.type == PRIVATE and region.protect == 0x40:  # winnt.h PAGE_EXECUTE_READWRITE
            yield Piece(region.base, region.end, f"private execute-read-write region {region.base:#x}")


def _indirect(truth: ProcessTruth, flags: Format) -> Iterator[Piece]:
    """The window of each stack word that points at readable memory outside all listed images."""
    images = sorted((module.base, module.base + module.size) for module in truth.modules)
    seen: set[int] = set()
    for piece in _stacks(truth, flags):
        start = (piece.start + 7) & ~7
        data = truth.read(start, max(piece.end - start, 0) & ~7)
        for word in memoryview(bytes(data or b"")).cast("Q"):
            if word in seen or any(low <= word < high for low, high in images) or truth.read(word, 1) is None:
                continue
            seen.add(word)
            low, high = word - 256, word + 768
            # Clipped at a page boundary where the page before or after cannot be read.
            here = next(part for part in truth.readable(low, high) if part[0] <= word < part[0] + len(part[1]))
            yield Piece(here[0], here[0] + len(here[1]), f"window of the stack word {word:#x}")


def _process_data(truth: ProcessTruth, _flags: Format) -> Iterator[Piece]:
    for start, end, subject in process_data.required(truth):
        yield Piece(start, end, subject)


def _around_process_data(truth: ProcessTruth, _flags: Format) -> Iterator[Piece]:
    for start, end, subject in process_data.allowed(truth):
        yield Piece(start, end, subject)


_SPEC_SMALL = Source("spec user-mode 2.3: 34 flag-0 minidumps by dbghelp 5.1 to dbgcore 10.0", Grade.OBSERVED)


def _flag_source(grade: Grade) -> Source:
    return Source("learn.microsoft.com DEBUG_FORMAT_XXX; spec user-mode 2.4", grade)


CLAUSES: tuple[Clause, ...] = (
    Clause("stacks", Duty.MUST, Format(0), _stacks, _SPEC_SMALL),
    Clause("instruction windows", Duty.MUST, Format(0), _thread_windows, _SPEC_SMALL),
    Clause("exception window", Duty.MUST, Format(0), _exception_window, _SPEC_SMALL),
    Clause("shared user data", Duty.MAY, Format(0), _shared_user_data, _SPEC_SMALL),
    Clause(
        "full memory", Duty.MUST, Format.FULL_MEMORY, _readable, _flag_source(Grade.DOCUMENTED), with_full_memory=True
    ),
    Clause(
        "lost read blocks",
        Duty.MAY,
        Format.FULL_MEMORY,
        _beside_unreadable,
        _flag_source(Grade.OBSERVED),
        with_full_memory=True,
    ),
    Clause("indirect memory", Duty.MUST, Format.INDIRECT_MEMORY, _indirect, _flag_source(Grade.DOCUMENTED)),
    Clause("data segments", Duty.MUST, Format.DATA_SEGMENTS, _data_segments, _flag_source(Grade.DOCUMENTED)),
    Clause("code segments", Duty.MUST, Format.CODE_SEGMENTS, _code_segments, _flag_source(Grade.DOCUMENTED)),
    Clause("unwind sections", Duty.MAY, Format.CODE_SEGMENTS, _unwind_sections, _flag_source(Grade.INFERRED)),
    Clause("module headers", Duty.MUST, Format.MODULE_HEADERS, _image_headers, _flag_source(Grade.INFERRED)),
    Clause("rest of headers", Duty.MAY, Format.MODULE_HEADERS, _rest_of_headers, _flag_source(Grade.INFERRED)),
    Clause(
        "private read-write memory",
        Duty.MUST,
        Format.PRIVATE_READ_WRITE_MEMORY,
        _private_read_write,
        _flag_source(Grade.DOCUMENTED),
    ),
    Clause(
        "private execute-read-write memory",
        Duty.MAY,
        Format.PRIVATE_READ_WRITE_MEMORY,
        _private_execute_read_write,
        _flag_source(Grade.INFERRED),
    ),
    Clause(
        "process and thread data",
        Duty.MUST,
        Format.PROCESS_THREAD_DATA,
        _process_data,
        _flag_source(Grade.DOCUMENTED),
    ),
    Clause(
        "what process and thread data point to",
        Duty.MAY,
        Format.PROCESS_THREAD_DATA,
        _around_process_data,
        _flag_source(Grade.OBSERVED),
    ),
)
