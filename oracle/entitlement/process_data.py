"""The clauses for PROCESS_THREAD_DATA: PEB, TEBs and what they point to, found in the target's memory.

Sizes and offsets of 64-bit targets were measured: docs/format/minidump-process-data.md. For 32-bit targets there is no
live sample: offsets are those of public structure definitions, and sizes are lower bounds.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..memory.page import PAGE_SIZE
from .flags import Format
from .images import tls_directories
from .pieces import Piece
from .writers import Writing

if TYPE_CHECKING:
    from ..truth.process import ProcessTruth


@dataclass(frozen=True, slots=True)
class _Layout:
    """Offsets and sizes in bytes. A size that a writer's row has is None."""

    pointer: int
    peb: int | None
    teb: int
    """Required of every writer."""
    teb_of_dump: int
    tls_pointer: int
    tls_vector: int
    """Upper bound. The vectors seen have 3 and 5 slots."""
    expansion_slots: int
    expansion_size: int
    fls_data: int
    fls_size: int | None
    process_parameters: int
    parameters: int | None
    strings: tuple[int, ...]
    """Offsets of the UNICODE_STRINGs CurrentDirectory, DllPath, ImagePathName, CommandLine, WindowTitle, DesktopInfo,
    ShellInfo, RuntimeData.
    """
    environment: int


_64 = _Layout(
    pointer=8,
    peb=None,
    teb=0x2000,
    teb_of_dump=0x2000,
    tls_pointer=0x58,
    tls_vector=0x440,
    expansion_slots=0x1780,
    expansion_size=0x2000,
    fls_data=0x17C8,
    fls_size=None,
    process_parameters=0x20,
    parameters=None,
    strings=(0x38, 0x50, 0x60, 0x70, 0xB0, 0xC0, 0xD0, 0xE0),
    environment=0x80,
)
# winternl.h and public definitions of PEB, TEB (NT 5.1 and later) and RTL_USER_PROCESS_PARAMETERS of 32-bit Windows
_32 = _Layout(
    pointer=4,
    peb=0x210,
    teb=0xFB8,
    teb_of_dump=0x1000,
    tls_pointer=0x2C,
    tls_vector=0x220,
    expansion_slots=0xF94,
    expansion_size=0x1000,
    fls_data=0xFB4,
    fls_size=0x3FC8,
    process_parameters=0x10,
    parameters=0x294,
    strings=(0x24, 0x30, 0x38, 0x40, 0x70, 0x78, 0x80, 0x88),
    environment=0x48,
)
_TEB_AT_MOST = 0x2000
_PARAMETERS_AT_MOST = 0x448
_ENVIRONMENT_CAPTURED = 0x2000
# WOW64: slot 1 of TlsSlots in the 64-bit TEB points 4 bytes before the 32-bit CONTEXT of 716 bytes
# (docs/format/minidump-process-data.md#offsets-in-teb-and-peb).
_WOW64_SLOT, _WOW64_CONTEXT = 0x1488, 4 + 716
_LESS = Format.NO_OPTIONAL_DATA | Format.FILTER_TRIAGE
"""Flags that leave PEB and TEBs, and NO_OPTIONAL_DATA the TLS vectors."""
_CHPE_V2_CPU_AREA = 0x1788
"""TEB.ChpeV2CpuAreaInfo."""


def _layout(truth: ProcessTruth) -> _Layout:
    return _32 if truth.system.pointer_size == 4 else _64


def required(writing: Writing) -> Iterator[Piece]:
    """PEB and TEBs. Those of a dump are whole pages, as far as their regions go."""
    truth, layout = writing.truth, _layout(writing.truth)
    if writing.of_dump:
        yield from _of_dump(truth)
        return
    peb = truth.process.peb
    yield Piece(peb, peb + (layout.peb or writing.writer.peb), "PEB")
    for thread in truth.threads:
        yield Piece(thread.teb, thread.teb + layout.teb, f"TEB of thread {thread.thread_id:#x}")


def _of_dump(truth: ProcessTruth) -> Iterator[Piece]:
    """docs/format/minidump-memory-ranges.md#dump-targets-process-data."""
    places = [(truth.process.peb, PAGE_SIZE, "PEB")]
    size = _layout(truth).teb_of_dump
    places += [(thread.teb, size, f"TEB of thread {thread.thread_id:#x}") for thread in truth.threads]
    for start, size, name in places:
        region = truth.region_at(start)
        yield Piece(start, start + size if region is None else min(start + size, region.end), name)


def emulated(writing: Writing) -> Iterator[Piece]:
    """PEB and TEBs of a process that runs amd64 code on arm64, from a dump at any flags
    (docs/format/minidump-memory-ranges.md#teb-outside-its-flags).
    """
    truth = writing.truth
    if not writing.of_dump or not writing.writer.emulated or truth.system.pointer_size == 4:
        return
    if any(_pointer(truth, thread.teb + _CHPE_V2_CPU_AREA) for thread in truth.threads):
        yield from _of_dump(truth)


def emulated_tls(writing: Writing) -> Iterator[Piece]:
    """The TLS vectors that come with them."""
    if next(emulated(writing), None) is not None:
        yield from _tls_vectors(writing.truth)


def _tls_vectors(truth: ProcessTruth) -> Iterator[Piece]:
    """Each thread's vector: one slot at least, else up to the highest index of an image."""
    slots = max((directory.index for directory in tls_directories(truth)), default=0) + 1
    for thread in truth.threads:
        vector = _pointer(truth, thread.teb + _layout(truth).tls_pointer)
        if vector:
            size = slots * truth.system.pointer_size
            yield Piece(vector, vector + size, f"TLS vector of thread {thread.thread_id:#x}")


def parameters(writing: Writing) -> Iterator[Piece]:
    """The process parameters, their strings, and the environment, of a live target."""
    truth, layout = writing.truth, _layout(writing.truth)
    start = _parameters_at(writing)
    if not start:
        return
    yield Piece(start, start + (layout.parameters or writing.writer.parameters), "process parameters")
    for offset in layout.strings:
        # winternl.h UNICODE_STRING: Length u16, MaximumLength u16, Buffer
        length = _number(truth, start + offset, 2)
        buffer = _pointer(truth, start + offset + layout.pointer)
        if length and buffer:
            yield Piece(buffer, buffer + length, "string of the process parameters")
    environment = _pointer(truth, start + layout.environment)
    if environment:
        yield Piece(environment, environment + _ENVIRONMENT_CAPTURED, "environment")


def _parameters_at(writing: Writing) -> int:
    """The address of the process parameters; 0 if the writer does not take them."""
    if writing.of_dump or writing.flags & _LESS:
        return 0
    truth = writing.truth
    return _pointer(truth, truth.process.peb + _layout(truth).process_parameters)


def allowed(writing: Writing) -> Iterator[Piece]:
    """What a dump may hold in addition: whole pages, thread-local storage; of a dump as target, TLS vectors alone."""
    if writing.of_dump:
        yield from _tls_vectors(writing.truth)
        return
    truth, layout = writing.truth, _layout(writing.truth)
    in_full = not writing.flags & _LESS
    yield Piece(truth.process.peb, truth.process.peb + PAGE_SIZE, "page of the PEB")
    for thread in truth.threads:
        teb, whose = thread.teb, f"of thread {thread.thread_id:#x}"
        yield Piece(teb, teb + _TEB_AT_MOST, f"pages of the TEB {whose}")
        triage = bool(writing.flags & Format.FILTER_TRIAGE)
        pointed = [] if triage else [(layout.tls_pointer, layout.tls_vector, "TLS vector")]
        if in_full:
            pointed.append((layout.expansion_slots, layout.expansion_size, "TLS expansion slots"))
            pointed.append((layout.fls_data, layout.fls_size or writing.writer.fls, "FLS data"))
            if truth.system.architecture == "amd64":
                pointed.append((_WOW64_SLOT, _WOW64_CONTEXT, "32-bit context"))
        for offset, size, what in pointed:
            address = _pointer(truth, teb + offset)
            if address:
                yield Piece(address, address + size, f"{what} {whose}")
    start = _parameters_at(writing)
    if start:
        yield Piece(start, start + _PARAMETERS_AT_MOST, "process parameters")


def static_tls(writing: Writing) -> Iterator[Piece]:
    """Each thread's static TLS blocks, without their zero fill, if PROCESS_THREAD_DATA is set too."""
    truth, size = writing.truth, writing.truth.system.pointer_size
    if not writing.writer.static_tls or not writing.flags & Format.PROCESS_THREAD_DATA:
        return
    for thread in truth.threads:
        vector = _pointer(truth, thread.teb + _layout(truth).tls_pointer)
        for directory in tls_directories(truth) if vector else ():
            block = _pointer(truth, vector + directory.index * size)
            if block:
                name = f"static TLS block of {directory.name}, thread {thread.thread_id:#x}"
                yield Piece(block, block + directory.size, name)


def _pointer(truth: ProcessTruth, address: int) -> int:
    """The pointer at ``address``; 0 if it cannot be read."""
    return _number(truth, address, truth.system.pointer_size)


def _number(truth: ProcessTruth, address: int, size: int) -> int:
    data = truth.read(address, size)
    return 0 if data is None else int.from_bytes(data, "little")
