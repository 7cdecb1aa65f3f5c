"""What PROCESS_THREAD_DATA takes: PEB, TEBs and what they point to, found in the target's own memory.

Offsets and sizes of the amd64 structures: spec user-mode 2.5, measured on 31 TEBs and 4 PEBs in real dumps.
"""

from __future__ import annotations

from collections.abc import Iterator

from ..truth_model import PAGE, ProcessTruth

Piece = tuple[int, int, str]
"""Start, end, what it is."""

# Build -> sizeof(PEB), descending: the newest layout that the target's build has.
_PEB_SIZES = ((19041, 0x7C8), (16299, 0x7B0), (0, 0x7A0))
_TEB_SIZE, _TEB_CAPTURED = 0x1838, 0x2000
_TEB_TLS_POINTER, _TEB_TLS_EXPANSION_SLOTS, _TEB_FLS_DATA = 0x58, 0x1780, 0x17C8
_TLS_SLOTS, _TLS_EXPANSION_SIZE, _FLS_SIZE = 0x440, 0x2000, 0x7F90
_PEB_PROCESS_PARAMETERS = 0x20
_PARAMETERS_SIZE = 0x440
# RTL_USER_PROCESS_PARAMETERS: UNICODE_STRINGs CurrentDirectory, DllPath, ImagePathName, CommandLine, WindowTitle,
# DesktopInfo, ShellInfo, RuntimeData
_STRINGS = (0x38, 0x50, 0x60, 0x70, 0xB0, 0xC0, 0xD0, 0xE0)
_ENVIRONMENT, _ENVIRONMENT_CAPTURED = 0x80, 0x2000
# Gaps of 2 bytes between strings are bridged, gaps of 24 are not; between the two nobody knows.
_BRIDGED = 23


def required(truth: ProcessTruth) -> Iterator[Piece]:
    """The PEB and every TEB: the structures themselves."""
    size = next(size for build, size in _PEB_SIZES if truth.system.build_number >= build)
    yield truth.process.peb, truth.process.peb + size, "PEB"
    for thread in truth.threads:
        yield thread.teb, thread.teb + _TEB_SIZE, f"TEB of thread {thread.thread_id:#x}"


def allowed(truth: ProcessTruth) -> Iterator[Piece]:
    """What real dumps hold besides: the rest of those pages, process parameters, environment, thread-local storage."""
    yield truth.process.peb, truth.process.peb + PAGE, "page of the PEB"
    for thread in truth.threads:
        teb, whose = thread.teb, f"of thread {thread.thread_id:#x}"
        yield teb, teb + _TEB_CAPTURED, f"pages of the TEB {whose}"
        for offset, size, what in (
            (_TEB_TLS_POINTER, _TLS_SLOTS, "TLS vector"),
            (_TEB_TLS_EXPANSION_SLOTS, _TLS_EXPANSION_SIZE, "TLS expansion slots"),
            (_TEB_FLS_DATA, _FLS_SIZE, "FLS data"),
        ):
            address = _pointer(truth, teb + offset)
            if address:
                yield address, address + size, f"{what} {whose}"
    parameters = _pointer(truth, truth.process.peb + _PEB_PROCESS_PARAMETERS)
    if not parameters:
        return
    yield parameters, parameters + _PARAMETERS_SIZE, "process parameters"
    for offset in _STRINGS:
        # winternl.h UNICODE_STRING: Length u16, MaximumLength u16, Buffer at 8
        length, buffer = truth.read(parameters + offset, 2), _pointer(truth, parameters + offset + 8)
        if length is not None and buffer:
            end = buffer + int.from_bytes(length, "little") + _BRIDGED
            yield buffer, end, "string of the process parameters"
    environment = _pointer(truth, parameters + _ENVIRONMENT)
    if environment:
        yield environment, environment + _ENVIRONMENT_CAPTURED, "environment"


def _pointer(truth: ProcessTruth, address: int) -> int:
    """The pointer at ``address``; 0 where it cannot be read."""
    data = truth.read(address, 8)
    return 0 if data is None else int.from_bytes(data, "little")
