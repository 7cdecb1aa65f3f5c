"""Selects the memory of PROCESS_THREAD_DATA: PEB, TEBs and some of what they point to.

docs/format/minidump-process-data.md. Loader lists and heap are not part of it.
"""

from __future__ import annotations

from collections.abc import Iterator

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
    """Yield PEB and TEBs, and of a live target the process parameters, strings, environment, TLS and FLS data.

    NO_OPTIONAL_DATA leaves PEB, TEBs and TLS vectors (docs/format/minidump-filters.md#no-optional-data). Raises
    DumpRefused when a dump target lacks the PEB.
    """
    layout = LAYOUTS[target.pointer_size]
    if target.of_a_dump:
        yield from _blocks_of_a_dump(target, layout)
        return
    all_of_it = not target.flags & MinidumpType.MiniDumpWithoutOptionalData
    peb = target.snapshot.process.peb
    yield from target.readable(peb, peb + target.engine.sizes[target.pointer_size].peb, f"{_FLAG}: PEB")
    if all_of_it:
        yield from _parameters(target, layout)
    yield from _thread_data(target, layout, all_of_it)


def _blocks_of_a_dump(target: ProcessView, layout: ProcessLayout) -> Iterator[WantedRange]:
    """Yield PEB and TEBs, clipped at the end of their regions.

    docs/format/minidump-memory-ranges.md#dump-targets-process-data
    """
    peb = target.snapshot.process.peb
    if not target.reading.covers(peb, peb + 1):
        raise DumpRefused(Hresult.ERROR_READ_FAULT, f"{_FLAG}: the dump that is the target lacks the PEB at {peb:#x}")
    yield from target.head(peb, peb + PEB_OF_A_DUMP, f"{_FLAG}: PEB")
    for thread in target.snapshot.threads:
        if teb_captured(target.reading, thread, target.snapshot.system.architecture):
            reason = f"{_FLAG}: TEB of thread {thread.thread_id:#x}"
            yield from target.head(thread.teb, thread.teb + layout.teb_size, reason)


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


def _thread_data(target: ProcessView, layout: ProcessLayout, all_of_it: bool) -> Iterator[WantedRange]:
    """Yield each TEB, its TLS vector, TLS expansion slots and FLS data."""
    size = target.pointer_size
    blocks = [("TLS vector", layout.thread_local_storage, size * _tls_slots(target))]
    if all_of_it:
        blocks += [
            ("TLS expansion slots", layout.tls_expansion_slots, size * TLS_EXPANSION_SLOTS),
            ("FLS data", layout.fls_data, target.engine.sizes[size].fls),
        ]
    for thread in target.snapshot.threads:
        if not thread.teb:
            continue
        of = f"of thread {thread.thread_id:#x}"
        yield from target.readable(thread.teb, thread.teb + layout.teb_size, f"{_FLAG}: TEB {of}")
        for name, offset, length in blocks:
            start = _pointer(target, thread.teb + offset)
            if start:
                yield from target.readable(start, start + length, f"{_FLAG}: {name} {of}")


def _tls_slots(target: ProcessView) -> int:
    """Return the number of slots of a TLS vector: the highest TLS index of a module, plus 1."""
    indexes = (tls_index(target.reading, module, target.pointer_size) for module in target.snapshot.modules)
    return max((index + 1 for index in indexes if index is not None and index < MAXIMUM_TLS_SLOTS), default=0)


def _pointer(target: ProcessView, address: int) -> int:
    """Return the pointer at the address; 0 if it cannot be read."""
    return target.reading.number(address, target.pointer_size) or 0


def _unicode_string(target: ProcessView, address: int) -> Range | None:
    """Return the range of a UNICODE_STRING's text without the NUL; None if it is empty."""
    length = target.reading.number(address, 2)
    buffer = _pointer(target, address + target.pointer_size)  # after two USHORTs, aligned
    return (buffer, buffer + length) if buffer and length else None
