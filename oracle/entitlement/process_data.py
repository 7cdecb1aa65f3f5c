"""The clauses for PROCESS_THREAD_DATA: PEB, TEBs and what they point to, found in the target's memory.

Sizes and offsets of 64-bit targets were measured on 31 TEBs and 4 PEBs in real dumps:
docs/format/minidump-process-data.md#sizes-of-process-and-thread-data. For 32-bit targets there is no sample: offsets
are those of public structure definitions, and sizes are lower bounds.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ..memory.page import PAGE_SIZE
from ..truth.process import ProcessTruth
from .flags import Format
from .pieces import Piece

Sizes = tuple[tuple[int, int], ...]
"""(build, size in bytes), descending by build. From that build on, the structure has that size."""


@dataclass(frozen=True, slots=True)
class _Layout:
    """Offsets and sizes in bytes."""

    pointer: int
    peb: Sizes
    teb: Sizes
    teb_captured: int
    tls_pointer: int
    tls_vector: int
    """Upper bound. The vectors seen have 3 and 5 slots."""
    expansion_slots: int
    expansion_size: int
    fls_data: int
    fls_size: int
    """Upper bound. 128 and 4080 slots were seen."""
    process_parameters: int
    parameters: Sizes
    strings: tuple[int, ...]
    """Offsets of the UNICODE_STRINGs CurrentDirectory, DllPath, ImagePathName, CommandLine, WindowTitle, DesktopInfo,
    ShellInfo, RuntimeData.
    """
    environment: int
    environment_size: int


_64 = _Layout(
    pointer=8,
    peb=((19041, 0x7C8), (16299, 0x7B0), (10240, 0x7A0), (0, 0x380)),
    teb=((10240, 0x1838), (0, 0x1818)),
    teb_captured=0x2000,
    tls_pointer=0x58,
    tls_vector=0x440,
    expansion_slots=0x1780,
    expansion_size=0x2000,
    fls_data=0x17C8,
    fls_size=0x7F90,
    process_parameters=0x20,
    parameters=((19041, 0x440), (14393, 0x410), (0, 0x3F8)),
    strings=(0x38, 0x50, 0x60, 0x70, 0xB0, 0xC0, 0xD0, 0xE0),
    environment=0x80,
    environment_size=0x3F0,
)
# winternl.h and public definitions of PEB, TEB (NT 5.1 and later) and RTL_USER_PROCESS_PARAMETERS of 32-bit Windows
_32 = _Layout(
    pointer=4,
    peb=((0, 0x210),),
    teb=((0, 0xFB8),),
    teb_captured=0x2000,
    tls_pointer=0x2C,
    tls_vector=0x220,
    expansion_slots=0xF94,
    expansion_size=0x1000,
    fls_data=0xFB4,
    fls_size=0x3FC8,
    process_parameters=0x10,
    parameters=((0, 0x294),),
    strings=(0x24, 0x30, 0x38, 0x40, 0x70, 0x78, 0x80, 0x88),
    environment=0x48,
    environment_size=0x290,
)
_PARAMETERS_AT_MOST = 0x440
_ENVIRONMENT_CAPTURED = 0x2000
# WOW64: slot 1 of TlsSlots in the 64-bit TEB points 4 bytes before the 32-bit CONTEXT of 716 bytes
# (docs/format/minidump-process-data.md#offsets-in-teb-and-peb).
_WOW64_SLOT, _WOW64_CONTEXT = 0x1488, 4 + 716


def _layout(truth: ProcessTruth) -> _Layout:
    return _32 if truth.system.pointer_size == 4 else _64


def _size(sizes: Sizes, truth: ProcessTruth) -> int:
    return next(size for build, size in sizes if truth.system.build_number >= build)


def required(truth: ProcessTruth, _flags: Format) -> Iterator[Piece]:
    """The structures PEB and TEB, without the rest of their pages."""
    layout = _layout(truth)
    yield Piece(truth.process.peb, truth.process.peb + _size(layout.peb, truth), "PEB")
    for thread in truth.threads:
        yield Piece(thread.teb, thread.teb + _size(layout.teb, truth), f"TEB of thread {thread.thread_id:#x}")


def customary(truth: ProcessTruth, _flags: Format) -> Iterator[Piece]:
    """What real dumps hold in addition: the process parameters, their strings, and the environment."""
    layout = _layout(truth)
    parameters = _pointer(truth, truth.process.peb + layout.process_parameters)
    if not parameters:
        return
    yield Piece(parameters, parameters + _size(layout.parameters, truth), "process parameters")
    for offset in layout.strings:
        # winternl.h UNICODE_STRING: Length u16, MaximumLength u16, Buffer
        length = _number(truth, parameters + offset, 2)
        buffer = _pointer(truth, parameters + offset + layout.pointer)
        if length and buffer:
            yield Piece(buffer, buffer + length, "string of the process parameters")
    environment = _pointer(truth, parameters + layout.environment)
    if environment:
        size = _number(truth, parameters + layout.environment_size, layout.pointer)
        yield Piece(environment, environment + min(size, _ENVIRONMENT_CAPTURED), "environment")


def allowed(truth: ProcessTruth, _flags: Format) -> Iterator[Piece]:
    """What a dump may hold in addition: whole pages, 0x2000 bytes of the environment, thread-local storage."""
    layout = _layout(truth)
    yield Piece(truth.process.peb, truth.process.peb + PAGE_SIZE, "page of the PEB")
    for thread in truth.threads:
        teb, whose = thread.teb, f"of thread {thread.thread_id:#x}"
        yield Piece(teb, teb + layout.teb_captured, f"pages of the TEB {whose}")
        pointed = [
            (layout.tls_pointer, layout.tls_vector, "TLS vector"),
            (layout.expansion_slots, layout.expansion_size, "TLS expansion slots"),
            (layout.fls_data, layout.fls_size, "FLS data"),
        ]
        if truth.system.architecture == "amd64":
            pointed.append((_WOW64_SLOT, _WOW64_CONTEXT, "32-bit context"))
        for offset, size, what in pointed:
            address = _pointer(truth, teb + offset)
            if address:
                yield Piece(address, address + size, f"{what} {whose}")
    parameters = _pointer(truth, truth.process.peb + layout.process_parameters)
    if parameters:
        yield Piece(parameters, parameters + _PARAMETERS_AT_MOST, "process parameters")
        environment = _pointer(truth, parameters + layout.environment)
        if environment:
            yield Piece(environment, environment + _ENVIRONMENT_CAPTURED, "environment")


def _pointer(truth: ProcessTruth, address: int) -> int:
    """The pointer at ``address``; 0 if it cannot be read."""
    return _number(truth, address, truth.system.pointer_size)


def _number(truth: ProcessTruth, address: int, size: int) -> int:
    data = truth.read(address, size)
    return 0 if data is None else int.from_bytes(data, "little")
