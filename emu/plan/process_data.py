"""Selects the memory of PROCESS_THREAD_DATA: PEB, TEBs and some of what they point to.

docs/format/minidump-process-data.md. Loader lists and heap are not part of it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ..constants import Hresult, MinidumpType
from ..request import DumpRefused
from .image_headers import tls_index
from .process_layouts import (
    ENVIRONMENT_SIZE,
    LAYOUTS,
    MAXIMUM_TLS_SLOTS,
    PEB_OF_A_DUMP,
    TLS_EXPANSION_SLOTS,
    ProcessLayout,
)
from .process_view import ProcessView, WantedRange
from .ranges import Range
from .stacks import teb_captured

_FLAG = "PROCESS_THREAD_DATA"


def process_thread_data(target: ProcessView) -> Iterator[WantedRange]:
    """Yield PEB, TEBs and TLS vectors, and of a live target process parameters, strings, environment, slots, FLS data.

    NO_OPTIONAL_DATA leaves the first three (docs/format/minidump-filters.md#no-optional-data), FILTER_TRIAGE the first
    two (docs/format/minidump-filters.md#filter-triage-other-effects). Raises DumpRefused when a dump target lacks the
    PEB.
    """
    layout = LAYOUTS[target.pointer_size]
    if target.of_a_dump:
        yield from _blocks_of_a_dump(target, layout)
        return
    sizes = target.engine.sizes[target.pointer_size]
    peb = target.snapshot.process.peb
    yield from target.readable(peb, peb + sizes.peb, f"{_FLAG}: PEB")
    for thread in target.snapshot.threads:
        reason = f"{_FLAG}: TEB of thread {thread.thread_id:#x}"
        yield from target.readable(thread.teb, thread.teb + layout.teb_size if thread.teb else 0, reason)
    if target.flags & MinidumpType.MiniDumpFilterTriage:
        return
    blocks = [_tls_vector(target, layout)]
    if not target.flags & MinidumpType.MiniDumpWithoutOptionalData:
        yield from _parameters(target, layout)
        blocks += [
            ("TLS expansion slots", layout.tls_expansion_slots, target.pointer_size * TLS_EXPANSION_SLOTS),
            ("FLS data", layout.fls_data, sizes.fls),
        ]
    yield from _thread_data(target, blocks)


def hybrid_blocks(target: ProcessView) -> Iterator[WantedRange]:
    """Yield what PROCESS_THREAD_DATA takes of a dump target with a thread whose TEB names emulator state, at any flags.

    docs/format/minidump-memory-ranges.md#teb-outside-its-flags
    """
    layout = LAYOUTS[target.pointer_size]
    offset = layout.chpe_v2_cpu_area_info
    if not target.of_a_dump or offset is None:
        return
    if any(_pointer(target, thread.teb + offset) for thread in target.snapshot.threads):
        yield from _blocks_of_a_dump(target, layout)


def seams_of_a_dump(target: ProcessView) -> list[int]:
    """Return the addresses of the TEBs that stay ranges of their own though they touch the TEB before them.

    In a dump of a dump target it is the last of several, with FILTER_TRIAGE all but the first
    (docs/format/minidump-memory-ranges.md#adjacent-ranges).
    """
    if not target.of_a_dump:
        return []
    tebs = [thread.teb for thread in target.snapshot.threads][1:]
    return tebs if target.flags & MinidumpType.MiniDumpFilterTriage else tebs[-1:]


def _blocks_of_a_dump(target: ProcessView, layout: ProcessLayout) -> Iterator[WantedRange]:
    """Yield PEB and TEBs, clipped at the end of their regions, and TLS vectors unless FILTER_TRIAGE drops them.

    docs/format/minidump-memory-ranges.md#dump-targets-process-data
    """
    peb = target.snapshot.process.peb
    if not target.reading.covers(peb, peb + 1):
        raise DumpRefused(Hresult.ERROR_READ_FAULT, f"{_FLAG}: the dump that is the target lacks the PEB at {peb:#x}")
    yield from target.head(peb, peb + PEB_OF_A_DUMP, f"{_FLAG}: PEB")
    for thread in target.snapshot.threads:
        if teb_captured(target.reading, thread, target.engine.teb_needed[target.pointer_size]):
            reason = f"{_FLAG}: TEB of thread {thread.thread_id:#x}"
            yield from target.head(thread.teb, thread.teb + layout.teb_size, reason)
    if not target.flags & MinidumpType.MiniDumpFilterTriage:
        yield from _thread_data(target, [_tls_vector(target, layout)])


def _parameters(target: ProcessView, layout: ProcessLayout) -> Iterator[WantedRange]:
    """Yield the process parameters, their strings and the environment."""
    parameters = _pointer(target, target.snapshot.process.peb + layout.process_parameters)
    if not parameters:
        return
    end = parameters + target.engine.sizes[target.pointer_size].parameters
    yield from target.readable(parameters, end, f"{_FLAG}: process parameters")
    for name, offset in layout.strings.items():
        found = _unicode_string(target, parameters + offset)
        if found:
            yield from target.readable(*found, f"{_FLAG}: {name}")
    environment = _pointer(target, parameters + layout.environment)
    if environment:
        yield from target.readable(environment, environment + ENVIRONMENT_SIZE, f"{_FLAG}: environment")


def _thread_data(target: ProcessView, blocks: Sequence[tuple[str, int, int]]) -> Iterator[WantedRange]:
    """Yield blocks that TEBs point to. A block is a name, the pointer's offset in the TEB, and the block's size."""
    for thread in target.snapshot.threads:
        for name, offset, length in blocks:
            start = _pointer(target, thread.teb + offset) if thread.teb else 0
            if start:
                yield from target.readable(start, start + length, f"{_FLAG}: {name} of thread {thread.thread_id:#x}")


def _tls_vector(target: ProcessView, layout: ProcessLayout) -> tuple[str, int, int]:
    """Return the block of a TLS vector: slots up to the highest TLS index of a module, one at least."""
    indexes = (tls_index(target.reading, module, target.pointer_size) for module in target.snapshot.modules)
    highest = max((index for index in indexes if index is not None and index < MAXIMUM_TLS_SLOTS), default=0)
    return "TLS vector", layout.thread_local_storage, target.pointer_size * (highest + 1)


def _pointer(target: ProcessView, address: int) -> int:
    """Return the pointer at the address; 0 if it cannot be read."""
    return target.reading.number(address, target.pointer_size) or 0


def _unicode_string(target: ProcessView, address: int) -> Range | None:
    """Return the range of a UNICODE_STRING's text without the NUL; None if it is empty."""
    length = target.reading.number(address, 2)
    buffer = _pointer(target, address + target.pointer_size)  # after two USHORTs, aligned
    return (buffer, buffer + length) if buffer and length else None
