"""Describes a minidump."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from ..content_reader import contents_of
from ..contents import Contents
from ..decode import Record, enumeration
from ..memory.intervals import union
from ..readers.container import STREAM, stream_name
from ..readers.facts import Dump, StringFact
from . import systems
from .crashes import exception_of, thread_lines
from .model import (
    DumpDescription,
    HandleLine,
    Lists,
    MemoryHeld,
    ModuleLine,
    Process,
    StreamLine,
    System,
    UnloadedLine,
    Writer,
)
from .places import Places, base_name
from .times import unix_time
from .writers import writer_of

_HAS_ID, _HAS_TIMES, _HAS_BUILD = 0x1, 0x2, 0x100
"""Flags1 of MiscInfo: MINIDUMP_MISC1_PROCESS_ID, MINIDUMP_MISC1_PROCESS_TIMES, MINIDUMP_MISC4_BUILDSTRING."""
_FULL_MEMORY: Final = 0x2
"""MiniDumpWithFullMemory."""
_MEM_COMMIT: Final = 0x1000  # winnt.h
_ONE_STRING: Final = 1000
"""Strings whose NUL is looked for, to tell a writer that stores none."""

_PARTS: Final = {
    "system information": ("SystemInfoStream",),
    "exception": ("ExceptionStream",),
    "threads": ("ThreadListStream",),
    "thread times": ("ThreadInfoListStream",),
    "thread names": ("ThreadNamesStream",),
    "modules": ("ModuleListStream",),
    "unloaded modules": ("UnloadedModuleListStream",),
    "memory": ("MemoryListStream", "Memory64ListStream"),
    "memory regions": ("MemoryInfoListStream",),
    "handles": ("HandleDataStream",),
    "process information": ("MiscInfoStream",),
}
"""What users look for -> the streams that have it."""
_EXTRAS: Final = {
    "function tables": ("FunctionTableStream",),
    "access tokens": ("TokenStream",),
    "handle operations": ("HandleOperationListStream",),
    "memory of the system": ("SystemMemoryInfoStream",),
    "memory counters of the process": ("ProcessVmCountersStream",),
    "comment": ("CommentStreamA", "CommentStreamW"),
}
"""The same of what few dumps have; its absence is not told."""


def describe_minidump(dump: Dump, description: str) -> DumpDescription:
    """Never raises on content."""
    contents = contents_of(dump)
    unloaded = tuple(
        UnloadedLine(base_name(_text(item.name)), item.record["BaseOfImage"], item.record["SizeOfImage"])
        for item in dump.unloaded_modules
    )
    places = Places(
        ((item.base, item.size, base_name(item.path)) for item in contents.modules),
        ((item.base, item.size, item.name) for item in unloaded),
        0xFFFF_FFFF if dump.architecture in ("x86", "arm") else -1,
    )
    platform = systems.WINDOWS_NT if dump.system_info is None else dump.system_info["PlatformId"]
    present = {number for number, stream in dump.streams.items() if stream.size}
    return DumpDescription(
        kind=dump.kind,
        description=description,
        size=dump.source.size,
        form=None if dump.header is None else _flags(dump.flags),
        time=None if dump.header is None else unix_time(dump.header["TimeDateStamp"]),
        uptime=None,
        system=None if dump.system_info is None else _system(dump.system_info, dump),
        process=_process(dump, contents),
        crash=exception_of(contents, places, platform),
        memory=_memory(dump, contents),
        holds=tuple(_having({**_PARTS, **_EXTRAS}, present, holds=True)),
        lacks=tuple(_having(_PARTS, present, holds=False)),
        damaged=tuple(sorted(fact for fact in dump.broken if fact != "accounting")),
        writer=_writer(dump),
        comment=contents.comment,
        lists=Lists(
            thread_lines(contents, places),
            tuple(
                ModuleLine(
                    module.path,
                    base_name(module.path),
                    module.base,
                    module.size,
                    module.time_date_stamp,
                    _version(fact.record),
                    module.pdb,
                )
                for module, fact in zip(contents.modules, dump.modules, strict=True)
            ),
            unloaded,
            tuple(
                HandleLine(item.value, _text(item.type_name) or None, _text(item.object_name) or None)
                for item in dump.handles
            ),
            tuple(StreamLine(item.type, item.name, item.size) for item in contents.streams),
        ),
    )


def _text(string: StringFact | None) -> str:
    return "" if string is None else string.text


def _flags(flags: int) -> str:
    names = [name for name, bit in enumeration("MINIDUMP_TYPE").members.items() if flags & bit]
    return f"{flags:#x}" + (f" ({', '.join(names)})" if names else "")


def _system(info: Record, dump: Dump) -> System:
    version, build = (info["MajorVersion"], info["MinorVersion"]), info["BuildNumber"]
    windows = info["PlatformId"] == systems.WINDOWS_NT
    return System(
        name=systems.windows(version, build, info["ProductType"]) if windows else systems.platform(info["PlatformId"]),
        version=f"{version[0]}.{version[1]}.{build}",
        product=systems.product(info["ProductType"]) if windows else None,
        architecture=dump.architecture or f"architecture {info['ProcessorArchitecture']:#x}",
        processors=info["NumberOfProcessors"],
        detail=_text(dump.csd_version) or None,
    )


def _process(dump: Dump, contents: Contents) -> Process | None:
    misc = dump.misc_info
    flags = 0 if misc is None else misc["Flags1"]
    number = misc["ProcessId"] if misc is not None and flags & _HAS_ID else None
    started = unix_time(misc["ProcessCreateTime"]) if misc is not None and flags & _HAS_TIMES else None
    name = base_name(contents.modules[0].path) if contents.modules else None
    return None if name is None and number is None else Process(name, number, started)


def _memory(dump: Dump, contents: Contents) -> MemoryHeld:
    ranges = contents.memory.ranges
    held = sum(end - start for start, end in ranges)
    stacks = [item.stack for item in contents.threads if item.stack[0] < item.stack[1]]
    stack_bytes = sum(end - start for start, end in union(stacks))
    if not held:
        extent = "none"
    elif dump.flags & _FULL_MEMORY and STREAM["Memory64ListStream"] in dump.streams:
        extent = "full"
    elif not stacks:
        extent = "ranges"
    else:
        extent = "stacks" if stack_bytes == held else "stacks and more"
    committed = sum(size for size, state in dump.memory_infos.rows("RegionSize", "State") if state == _MEM_COMMIT)
    return MemoryHeld(extent, held, len(dump.memory), stack_bytes, len(stacks), committed or None)


def _having(parts: dict[str, tuple[str, ...]], present: set[int], *, holds: bool) -> Iterator[str]:
    for name, streams in parts.items():
        if any(STREAM[stream] in present for stream in streams) is holds:
            yield name


def _version(record: Record) -> str | None:
    """The file version of VS_FIXEDFILEINFO; None if there is none."""
    high, low = record["VersionInfo.dwFileVersionMS"], record["VersionInfo.dwFileVersionLS"]
    return f"{high >> 16}.{high & 0xFFFF}.{low >> 16}.{low & 0xFFFF}" if high or low else None


def _writer(dump: Dump) -> Writer:
    traits: dict[str, str] = {}
    misc = dump.misc_info
    if misc is not None and misc["Flags1"] & _HAS_BUILD and (library := misc.text("DbgBldStr")):
        traits["DbgBldStr"] = library
    if dump.header is not None:
        high = dump.header["Version"] >> 16  # docs/format/minidump-container.md#version
        library = f"library {high >> 12}.{high >> 8 & 15}, low byte of its build {high & 255:#x}"
        traits["Version, high word"] = f"{high:#x}: {library}" if high else "0: not a library of Microsoft"
    strings = [item.name for item in dump.modules[:_ONE_STRING] if item.name is not None]
    if strings:
        traits["strings"] = "with NUL" if any(item.terminated for item in strings) else "without NUL"
    if dump.comment is not None and dump.comment.text:
        traits["comment"] = dump.comment.text
    foreign = [stream_name(number) for number in dump.streams if number > 0xFFFF]
    if foreign:
        traits["streams of applications"] = ", ".join(foreign)
    return writer_of(dump.kind, traits, dump.streams)
