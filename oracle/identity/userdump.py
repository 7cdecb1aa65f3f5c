"""Describes a legacy full user dump."""

from __future__ import annotations

from typing import Final

from ..content_reader import contents_of
from ..readers.userdump_facts import UserDump
from . import systems
from .crashes import exception_of, thread_lines
from .model import DumpDescription, Lists, MemoryHeld, ModuleLine, Process, System
from .places import Places, base_name
from .writers import writer_of

_SERVICE_PACK: Final = "CRASH: OS SP"
"""Name of a text of the version information: docs/format/user-dump.md#version-information."""


def describe_userdump(dump: UserDump, description: str) -> DumpDescription:
    """Never raises on content."""
    contents = contents_of(dump)
    places = Places(
        ((item.base, item.size, base_name(item.path)) for item in contents.modules),
        mask=-1 if dump.bits == 64 else 0xFFFF_FFFF,
    )
    event = dump.debug_event
    name = base_name(contents.modules[0].path) if contents.modules else None
    number = None if event is None else event["dwProcessId"]
    parts = {
        "exception": contents.exception is not None,
        "threads": bool(contents.threads),
        "modules": bool(contents.modules),
        "memory": bool(dump.memory),
        "memory regions": bool(dump.regions),
    }
    held = sum(end - start for start, end in dump.captured())
    return DumpDescription(
        kind=dump.kind,
        description=description,
        size=dump.source.size,
        form=f"USERDU64, {dump.bits}-bit" if dump.bits == 64 else f"USERDUMP, {dump.bits}-bit",
        time=None,
        uptime=None,
        system=_system(dump),
        process=None if name is None and number is None else Process(name, number, None),
        crash=exception_of(contents, places),
        memory=MemoryHeld("full" if held else "none", held, len(dump.memory)),
        holds=tuple(name for name, there in parts.items() if there),
        lacks=(*(name for name, there in parts.items() if not there), "handles", "thread names", "unloaded modules"),
        damaged=tuple(sorted(fact for fact in dump.broken if fact != "accounting")),
        writer=writer_of(dump.kind, {"format": "USERDU64" if dump.bits == 64 else "USERDUMP"}),
        comment=None,
        lists=Lists(
            thread_lines(contents, places),
            tuple(
                ModuleLine(item.path, base_name(item.path), item.base, item.size, None, None, None)
                for item in contents.modules
            ),
        ),
    )


def _system(dump: UserDump) -> System | None:
    header = dump.header
    if header is None:
        return None
    version, build = (header["MajorVersion"], header["MinorVersion"] & 0xFFFF), header["MinorVersion"] >> 16
    texts = dump.version_texts or ()
    packs = dict(zip(texts[::2], texts[1::2], strict=False))
    pack = packs.get(_SERVICE_PACK)
    return System(
        name=systems.windows(version, build, systems.WORKSTATION),
        version=f"{version[0]}.{version[1]}.{build}",
        product=None,
        architecture=dump.architecture or f"machine {header['MachineImageType']:#x}",
        processors=None,
        detail=None if pack in (None, "none") else pack,
    )
