"""Selects the memory of PROCESS_THREAD_DATA: PEB, TEBs and some of what they point to.

docs/format/minidump-process-data.md. Loader lists and heap are not part of it.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain, pairwise

from .image_headers import IMAGE_DIRECTORY_ENTRY_TLS, has_directory
from .process_layouts import ENVIRONMENT_SIZE, LAYOUTS, TLS_EXPANSION_SLOTS, ProcessLayout, fls_slots
from .process_view import ProcessView, WantedRange
from .ranges import Range

_FLAG = "PROCESS_THREAD_DATA"
_BRIDGED = 2
"""Bytes of the gap, a NUL, between two strings that become one range."""
_LENGTH = 4
"""Offset of Length in RTL_USER_PROCESS_PARAMETERS. Length covers the structure and the strings after it."""


def process_thread_data(target: ProcessView) -> Iterator[WantedRange]:
    """Yield PEB, process parameters, strings, environment, TEBs, TLS and FLS data. Raises DumpRefused."""
    layout = LAYOUTS[target.pointer_size]
    return chain(_process_data(target, layout), _thread_data(target, layout))


def _process_data(target: ProcessView, layout: ProcessLayout) -> Iterator[WantedRange]:
    """Yield the PEB, the process parameters, their strings and the environment."""
    peb = target.snapshot.process.peb
    sizes = layout.sizes_of(target.snapshot.system.build_number)
    yield from target.require_readable(peb, peb + sizes.peb, f"{_FLAG}: PEB")
    parameters = _pointer(target, peb + layout.process_parameters)
    if not parameters:
        return
    length = target.reading.number(parameters + _LENGTH, 4)
    end = parameters + min(sizes.parameters, length or sizes.parameters)
    yield from target.readable(parameters, end, f"{_FLAG}: process parameters")
    strings = []
    for name, offset in layout.strings.items():
        found = _unicode_string(target, parameters + offset)
        if found:
            strings.append(found)
            yield from target.readable(*found, f"{_FLAG}: {name}")
    for (_, low), (high, _) in pairwise(sorted(strings)):
        if low < high <= low + _BRIDGED:
            yield from target.readable(low, high, f"{_FLAG}: NUL between two strings")
    environment = _pointer(target, parameters + layout.environment)
    if environment:
        yield from target.readable(environment, environment + ENVIRONMENT_SIZE, f"{_FLAG}: environment")


def _thread_data(target: ProcessView, layout: ProcessLayout) -> Iterator[WantedRange]:
    """Yield each TEB, its TLS vector, TLS expansion slots and FLS data."""
    size = target.pointer_size
    blocks = (
        ("TLS vector", layout.thread_local_storage, size * _tls_slots(target)),
        ("TLS expansion slots", layout.tls_expansion_slots, size * TLS_EXPANSION_SLOTS),
        ("FLS data", layout.fls_data, layout.list_entry + size * fls_slots(target.snapshot.system.build_number)),
    )
    for thread in target.snapshot.threads:
        if not thread.teb:
            continue
        of = f"of thread {thread.thread_id:#x}"
        yield from target.require_readable(thread.teb, thread.teb + layout.teb_size, f"{_FLAG}: TEB {of}")
        for name, offset, length in blocks:
            start = _pointer(target, thread.teb + offset)
            if start:
                yield from target.readable(start, start + length, f"{_FLAG}: {name} {of}")


def _tls_slots(target: ProcessView) -> int:
    """Return the number of TLS slots in use: one for each module with a TLS directory."""
    modules = target.snapshot.modules
    return sum(has_directory(target.reading, module, IMAGE_DIRECTORY_ENTRY_TLS) for module in modules)


def _pointer(target: ProcessView, address: int) -> int:
    """Return the pointer at the address; 0 if it cannot be read."""
    return target.reading.number(address, target.pointer_size) or 0


def _unicode_string(target: ProcessView, address: int) -> Range | None:
    """Return the range of a UNICODE_STRING's text without the NUL; None if it is empty."""
    length = target.reading.number(address, 2)
    buffer = _pointer(target, address + target.pointer_size)  # after two USHORTs, aligned
    return (buffer, buffer + length) if buffer and length else None
