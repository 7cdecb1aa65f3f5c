"""Describes a kernel dump."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from ..content_reader import contents_of
from ..contents import Contents
from ..memory.page import PAGE_SIZE
from ..readers.kernel_dump import FILL32, KernelDump, is_fill
from . import systems
from .crashes import bug_check_of
from .model import DumpDescription, Lists, MemoryHeld, ModuleLine, System, UnloadedLine, Writer
from .places import Places, base_name
from .times import file_time
from .writers import writer_of

_TICKS: Final = 10_000_000
"""Of SystemUpTime, in a second."""
_TYPES: Final = {
    1: "full",
    2: "summary",
    3: "header only",
    4: "small (triage)",
    5: "bitmap, complete",
    6: "bitmap, kernel",
    7: "automatic",
    8: "kernel",
    9: "active",
    10: "complete",
}
"""DumpType: docs/format/kernel-kinds.md#types-on-disk."""


def describe_kernel(dump: KernelDump, description: str) -> DumpDescription:
    """Never raises on content."""
    contents = contents_of(dump)
    unloaded = tuple(_unloaded(dump))
    places = Places(
        ((item.base, item.size, base_name(item.path)) for item in contents.modules),
        ((item.base, item.size, item.name) for item in unloaded),
        -1 if dump.bits == 64 else 0xFFFF_FFFF,
    )
    parts = _parts(dump, contents, unloaded)
    uptime = _stored(dump, "SystemUpTime")
    time = _stored(dump, "SystemTime")
    return DumpDescription(
        kind=dump.kind,
        description=description,
        size=dump.source.size,
        form=None if dump.header is None else f"type {dump.type}, {_TYPES.get(dump.type, 'unknown')}",
        time=None if not time else file_time(time),
        uptime=None if not uptime else uptime // _TICKS,
        system=_system(dump),
        process=None,
        crash=bug_check_of(contents, places),
        memory=_memory(contents),
        holds=tuple(name for name, there in parts.items() if there),
        lacks=tuple(name for name, there in parts.items() if there is False),
        damaged=tuple(sorted(fact for fact in dump.broken if fact != "accounting")),
        writer=_writer(dump, contents),
        comment=contents.comment,
        lists=Lists(
            modules=tuple(
                ModuleLine(item.path, base_name(item.path), item.base, item.size, item.time_date_stamp, None, item.pdb)
                for item in contents.modules
            ),
            unloaded=None if dump.triage is None else unloaded,
        ),
    )


def _stored(dump: KernelDump, name: str) -> int | None:
    """A field of the header; None if its writer left the fill in it."""
    return None if dump.header is None or is_fill(dump.header, name) else dump.header[name]


def _system(dump: KernelDump) -> System | None:
    header = dump.header
    if header is None:
        return None
    product = _stored(dump, "ProductType") or 0
    return System(
        name=systems.windows(None, dump.build, product, kernel=True),
        version=f"build {dump.build}",
        product=systems.product(product),
        architecture=dump.architecture or f"machine {header['MachineImageType']:#x}",
        processors=header["NumberProcessors"],
    )


def _unloaded(dump: KernelDump) -> Iterator[UnloadedLine]:
    for record in () if dump.triage is None else dump.triage.unloaded:
        start, end = record["StartAddress"], record["EndAddress"]
        # docs/format/kernel-small.md#unloaded-drivers. A wrong length shows nothing of what follows the NUL.
        name = record.raw("DriverName")[: record["Name.Length"]].decode("utf-16-le", "replace").partition("\0")[0]
        yield UnloadedLine(name, start, max(end - start, 0))


def _memory(contents: Contents) -> MemoryHeld:
    if contents.pages is not None:
        pages = contents.pages.count
        runs = sum(1 for _ in contents.pages.runs())
        return MemoryHeld("physical pages" if pages else "none", pages * PAGE_SIZE, runs, pages=pages)
    ranges = contents.memory.ranges
    held = sum(end - start for start, end in ranges)
    return MemoryHeld("ranges" if held else "none", held, len(ranges))


def _parts(dump: KernelDump, contents: Contents, unloaded: tuple[UnloadedLine, ...]) -> dict[str, bool | None]:
    """What users look for -> whether it is there; None if this kind of dump has no place for it."""
    small = dump.triage is not None
    exception = contents.exception
    return {
        "registers": bool(contents.registers) and any(contents.registers.values()),
        "exception record": exception is not None and exception.code not in (0, FILL32),
        "drivers": bool(dump.modules),
        "unloaded drivers": bool(unloaded) if small else None,
        "debugger data": dump.debugger_data is not None,
        "stack of the thread": "stack" in dump.triage.blocks if dump.triage is not None else None,
        "memory by address": bool(contents.memory.ranges) if small else None,
        "physical pages": contents.pages is not None and contents.pages.count > 0,
        "secondary data": bool(dump.blobs),
    }


def _writer(dump: KernelDump, contents: Contents) -> Writer:
    traits: dict[str, str] = {}
    if dump.header is not None:
        traits["DumpType"] = str(dump.type)
    if contents.comment:
        traits["comment"] = contents.comment
    if dump.triage is not None:
        boot = "fill" if _stored(dump, "BootId") is None else "set"
        blobs = "secondary data" if dump.blobs else "no secondary data"
        traits["small dump"] = f"layout {dump.triage.layout}, BootId is {boot}, {blobs}"
    return writer_of(dump.kind, traits)
