"""Reads streams 7, 15, 21, 22, 10 and 11 of a minidump: the system, the process, the comment."""

from __future__ import annotations

from ..decode import Record, decode, structure
from ..memory.source import ByteSource
from ..model import Span
from .architectures import architecture_of
from .container import STREAM, STREAM_FACTS, read_string, settle
from .facts import CommentFact, Dump, Stream


def read_system_info(dump: Dump) -> None:
    """Read stream 7 and the string of the service pack (docs/format/minidump-system.md#system-info)."""
    stream = dump.streams.get(STREAM["SystemInfoStream"])
    if stream is None:
        return
    dump.system_info = _whole(dump, stream, ("MINIDUMP_SYSTEM_INFO",), "system.size")
    if dump.system_info is None:
        return
    dump.architecture = architecture_of(dump.system_info["ProcessorArchitecture"])
    rva, subject = dump.system_info["CSDVersionRva"], "CSDVersion"
    if rva:
        dump.csd_version = read_string(dump, rva, "system.csd", ("system_info.csd",), subject)
    settle(dump, stream.type)


def _whole(dump: Dump, stream: Stream, structures: tuple[str, ...], topic: str, grows: bool = False) -> Record | None:
    """Decode the one of ``structures`` that has the size of the stream; None, with a defect, if none has.

    With ``grows`` a longer stream is read as the last of them: a later revision adds fields at the end.
    """
    for name in structures:
        if structure(name).size == stream.size:
            return decode(dump.source, stream.rva, name, stream.name)
    if grows and stream.size > structure(structures[-1]).size:
        return decode(dump.source, stream.rva, structures[-1], stream.name)
    dump.defect(
        topic,
        stream.name,
        f"DataSize {' or '.join(str(structure(name).size) for name in structures)}",
        f"DataSize {stream.size}",
        stream.record.span_of("Location.DataSize"),
        loses=STREAM_FACTS[stream.type],
    )
    return None


def read_misc_info(dump: Dump) -> None:
    """Read stream 15. SizeOfInfo says which fields are present. Source: docs/format/minidump-system.md#misc-info."""
    stream = dump.streams.get(STREAM["MiscInfoStream"])
    if stream is None:
        return
    largest = structure("MINIDUMP_MISC_INFO_5")
    smallest = structure("MINIDUMP_MISC_INFO")
    stored = decode(dump.source, stream.rva, "MINIDUMP_MISC_INFO", stream.name)["SizeOfInfo"]
    if stream.size < smallest.size or stored != stream.size:
        dump.defect(
            "misc.size",
            stream.name,
            f"SizeOfInfo equal to DataSize {stream.size}, at least {smallest.size}",
            f"SizeOfInfo {stored}",
            stream.record.span_of("Location.DataSize"),
            Span(stream.rva, stream.rva + 4),
            loses=("misc_info",),
        )
        return
    data = dump.source.read(stream.rva, min(stream.size, largest.size)).ljust(largest.size, b"\0")
    dump.misc_info = Record(largest, stream.name, stream.rva, data)
    settle(dump, stream.type)


def read_counters(dump: Dump) -> None:
    """Read streams 21 and 22. The size selects the version of each structure."""
    stream = dump.streams.get(STREAM["SystemMemoryInfoStream"])
    if stream is not None:
        dump.system_memory_info = _whole(
            dump,
            stream,
            ("MINIDUMP_SYSTEM_MEMORY_INFO_1", "MINIDUMP_SYSTEM_MEMORY_INFO_2"),
            "system-memory.size",
            grows=True,
        )
        settle(dump, stream.type)
    stream = dump.streams.get(STREAM["ProcessVmCountersStream"])
    if stream is not None:
        names = ("MINIDUMP_PROCESS_VM_COUNTERS_1", "MINIDUMP_PROCESS_VM_COUNTERS_2")
        dump.vm_counters = _whole(dump, stream, names, "vm-counters.size", grows=True)
        settle(dump, stream.type)


def read_comment(dump: Dump) -> None:
    """Read stream 11, or stream 10 without a stream 11: text with a NUL at its end.

    Source: docs/format/minidump-user-streams.md#comment-streams.
    """
    for name, width in (("CommentStreamW", 2), ("CommentStreamA", 1)):
        stream = dump.streams.get(STREAM[name])
        if stream is None:
            continue
        dump.comment = CommentFact(stream, _text(dump.source, stream, width))
        settle(dump, stream.type)
        return


def _text(source: ByteSource, stream: Stream, width: int) -> str | None:
    data = source.read(stream.rva, stream.size)
    if len(data) % width:
        return None
    try:
        text = data.decode("utf-16-le") if width == 2 else ansi_text(data)
    except UnicodeDecodeError:
        return None
    head, nul, tail = text.partition("\0")
    return head if nul and not tail else None


def ansi_text(data: bytes) -> str:
    """Text in code page 1252 as Windows reads it: the five undefined bytes are control characters."""
    return "".join(_OPEN.get(byte) or bytes([byte]).decode("cp1252") for byte in data)


_OPEN = {byte: chr(byte) for byte in (0x81, 0x8D, 0x8F, 0x90, 0x9D)}
"""Source: bestfit1252.txt of unicode.org."""
