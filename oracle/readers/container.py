"""Reads header and directory of a minidump, and the lists and strings that its streams consist of."""

from __future__ import annotations

from functools import lru_cache
from typing import Final

from ..budget import Work
from ..decode import Record, decode, enumeration, structure
from ..model import Fault, Span
from .facts import Dump, Stream, StringFact
from .table import EMPTY, Table

STREAM: Final = enumeration("MINIDUMP_STREAM_TYPE")

STREAM_FACTS: Final = {
    STREAM["ThreadListStream"]: ("threads", "contexts", "thread.ids"),
    STREAM["ModuleListStream"]: ("modules", "module.names", "module.records"),
    STREAM["MemoryListStream"]: ("memory.5", "memory"),
    STREAM["Memory64ListStream"]: ("memory.9", "memory"),
    STREAM["ExceptionStream"]: ("exception", "exception.context"),
    STREAM["SystemInfoStream"]: ("system_info", "system_info.csd"),
    STREAM["CommentStreamA"]: ("comment",),
    STREAM["CommentStreamW"]: ("comment",),
    STREAM["HandleDataStream"]: ("handles", "handles.names", "handles.infos"),
    STREAM["FunctionTableStream"]: ("function_tables",),
    STREAM["UnloadedModuleListStream"]: ("unloaded_modules", "unloaded_modules.names"),
    STREAM["MiscInfoStream"]: ("misc_info",),
    STREAM["MemoryInfoListStream"]: ("memory_info",),
    STREAM["ThreadInfoListStream"]: ("thread_info",),
    STREAM["HandleOperationListStream"]: ("handle_operations",),
    STREAM["TokenStream"]: ("token",),
    STREAM["SystemMemoryInfoStream"]: ("system_memory_info",),
    STREAM["ProcessVmCountersStream"]: ("vm_counters",),
    STREAM["ThreadNamesStream"]: ("thread_names", "thread_names.names"),
}
"""Stream type -> the facts that its reader finds besides ``stream.<type>``. Rules name them in ``needs``."""

_UNUSED: Final = STREAM["UnusedStream"]
MAX_STREAMS: Final = 4096
"""How many directory entries are read. Breakpad reads 128 (docs/format/minidump-container.md#directory)."""

_REPEATED: Final = (STREAM["ExceptionStream"], STREAM["CommentStreamA"], STREAM["CommentStreamW"])

_LENGTH: Final = structure("MINIDUMP_STRING").size
MAX_STRING: Final = 0xFFFE
"""Bytes. UNICODE_STRING.Length (winternl.h) has 16 bits, so no name of Windows is longer."""


def may_repeat(number: int) -> bool:
    """Whether a type occurs twice in sound dumps: exceptions, comments, and the types of applications
    (docs/format/minidump-container.md#repeated-stream-types).
    """
    return number in _REPEATED or number > STREAM["LastReservedStream"]


@lru_cache(maxsize=256)
def stream_name(number: int) -> str:
    """A name for reports: ``stream 3 (ThreadListStream)``, ``stream 0x47670001 (BreakpadInfo)``, ``stream 0x10000``."""
    shown = f"stream {number}" if number < 0x7000 else f"stream {number:#x}"
    for names in (STREAM, enumeration("VENDOR_STREAM_TYPE")):
        name = names.name_of(number)
        if not name.startswith("0x"):
            return f"{shown} ({name})"
    return shown


def read_container(dump: Dump) -> None:
    """Read header and directory, and fill ``dump.streams``."""
    header = decode(dump.source, 0, "MINIDUMP_HEADER", "header")
    if not header.complete:
        actual = f"{dump.source.size} bytes"
        dump.defect(
            "header.size",
            "header",
            "32 bytes",
            actual,
            Span(0, dump.source.size),
            loses=("header", "directory"),
        )
        return
    dump.header = header
    dump.found("header")
    dump.claim(header.span, "header")
    version = header.span_of("Version")
    dump.dont_care(
        Span(version.start + 2, version.end),
        "Version, high word: private to the writer (docs/format/minidump-container.md#version)",
    )
    _read_directory(dump, header)


def _read_directory(dump: Dump, header: Record) -> None:
    count, rva = header["NumberOfStreams"], header["StreamDirectoryRva"]
    size = structure("MINIDUMP_DIRECTORY").size
    fits = max(0, dump.source.size - rva) // size
    if count == 0 or count > fits:
        dump.defect(
            "directory.bounds",
            "directory",
            f"1 to {fits} entries of {size} bytes at {rva:#x} in a file of {dump.source.size} bytes",
            f"{count}",
            header.span_of("NumberOfStreams"),
            header.span_of("StreamDirectoryRva"),
            loses=("directory",),
        )
        count = 0
    elif count > MAX_STREAMS:
        dump.leave("directory", f"at most {MAX_STREAMS} streams", 0, count, "directory")
        count = 0
    dump.found("directory")
    dump.claim(Span(rva, rva + count * size), "directory")
    for index in range(count):
        record = decode(dump.source, rva + index * size, "MINIDUMP_DIRECTORY", f"directory entry {index}")
        dump.directory.append(record)
        _read_entry(dump, record)
    if "directory" in dump.broken:
        for number, facts in STREAM_FACTS.items():
            if number not in dump.streams:
                for fact in (f"stream.{number}", *facts):
                    dump.breaks(fact, dump.broken["directory"])
    if "directory" in dump.unread:
        for number, facts in STREAM_FACTS.items():
            if number not in dump.streams:
                dump.lose(f"stream.{number}", *facts)


def _read_entry(dump: Dump, record: Record) -> None:
    number, size, rva = record["StreamType"], record["Location.DataSize"], record["Location.Rva"]
    if number == _UNUSED:
        if size or rva:
            dump.defect(
                "directory.unused",
                record.path,
                "DataSize 0 and Rva 0 in an unused entry",
                f"DataSize {size}, Rva {rva:#x}",
                record.span,
                loses=(),
            )
        return
    name = stream_name(number)
    if rva + size > dump.source.size or rva + size > 1 << 32:
        dump.defect(
            "directory.stream-bounds",
            name,
            f"an end at most {min(dump.source.size, 1 << 32):#x}",
            f"{rva + size:#x}",
            record.span,
            loses=(f"stream.{number}", *STREAM_FACTS.get(number, ())),
        )
        return
    stream = Stream(number, name, record, Span(rva, rva + size))
    if number in dump.streams:
        if not may_repeat(number):
            expected, topic = "one entry of this type", "directory.duplicate"
            dump.defect(topic, name, expected, "two", record.span, fault=Fault.FORBIDDEN, loses=())
        dump.duplicates.append(stream)
        dump.claim(stream.span, f"duplicate {name}")
        return
    if not size:
        dump.dont_care(record.span_of("Location.Rva"), f"Rva of {name}: the stream has no bytes")
    dump.streams[number] = stream
    dump.found(f"stream.{number}")
    dump.claim(stream.span, name)


def read_counted(dump: Dump, stream: Stream, header: str, entry: str, path: str) -> Table:
    """The entries of a list whose header is only a 32-bit count: streams 3, 4, 5 and 24.

    DataSize is ``4 + n * entry``, or 4 more, because some writers pad the count to 8 bytes (for stream 3,
    docs/format/minidump-threads.md#size-of-the-thread-list). With any other size the facts of the stream are broken.
    The reader then decodes as many entries as DataSize has room for.
    """
    head = decode(dump.source, stream.rva, header, stream.name)
    size, first = structure(entry).size, structure(header).size
    count = head[next(iter(head.structure.fields))]
    expected = first + count * size
    if stream.size == expected + 4:
        first += 4
    elif stream.size != expected:
        dump.defect(
            f"list.size.{stream.type}",
            stream.name,
            f"DataSize {expected} for {count} entries of {size} bytes",
            f"DataSize {stream.size}",
            stream.record.span_of("Location.DataSize"),
            Span(stream.rva, stream.rva + 4),
            loses=STREAM_FACTS[stream.type],
        )
        count = min(count, max(0, stream.size - first) // size)
    start = stream.rva + first
    return _entries(dump, stream, range(start, start + count * size, size), entry, path)


def read_headed(dump: Dump, stream: Stream, header: str, entries: tuple[str, ...], path: str) -> Table:
    """The entries of a list whose header holds its own size and that of an entry: streams 12, 14, 16, 17 and 18.

    ``entries`` are the structures that an entry may be; the size in the header selects the largest that fits. Header
    and entries may be larger than those, since a newer writer may add fields to both. DataSize must be the size of the
    header plus that of the entries (for stream 12, docs/format/minidump-handles.md#size-of-handle-data).
    """
    head = decode(dump.source, stream.rva, header, stream.name)
    sizes = {structure(entry).size: entry for entry in entries}
    names = list(head.structure.fields)
    first, entry_size, count = (head[name] for name in names[:3])
    known = max((size for size in sizes if size <= entry_size), default=0)
    if stream.size < head.structure.size or first < head.structure.size or not known:
        dump.defect(
            f"list.header.{stream.type}",
            stream.name,
            f"{names[0]} {head.structure.size} or more, {names[1]} {min(sizes)} or more",
            f"{names[0]} {first}, {names[1]} {entry_size}, DataSize {stream.size}",
            Span(stream.rva, min(stream.rva + head.structure.size, stream.span.end)),
            loses=STREAM_FACTS[stream.type],
        )
        return EMPTY
    dump.headers[stream.type] = head
    if stream.size != first + count * entry_size:
        dump.defect(
            f"list.size.{stream.type}",
            stream.name,
            f"DataSize {first + count * entry_size} for {count} entries of {entry_size} bytes",
            f"DataSize {stream.size}",
            stream.record.span_of("Location.DataSize"),
            head.span_of(names[2]),
            loses=STREAM_FACTS[stream.type],
        )
        count = min(count, max(0, stream.size - first) // entry_size)
    start = stream.rva + first
    return _entries(dump, stream, range(start, start + count * entry_size, entry_size), sizes[known], path)


_BYTES: Final = Work.BYTES
_WORK: Final = {STREAM[name]: Work.RECORDS for name in (
    "ThreadListStream", "ModuleListStream", "UnloadedModuleListStream", "ThreadNamesStream",
)} | {STREAM["MemoryListStream"]: Work.RANGES}  # fmt: skip
"""Streams whose entries cost more than a row: each makes an object of its own."""


def _entries(dump: Dump, stream: Stream, places: range, entry: str, path: str) -> Table:
    """The entries at these offsets of the file, as far as the budget goes."""
    work = _WORK.get(stream.type, Work.ROWS)
    granted = dump.grant(len(places), stream.name, *STREAM_FACTS[stream.type], work=work)
    return Table(dump.source, entry, path, places[:granted])


def settle(dump: Dump, number: int) -> None:
    """Mark the facts of a stream as found, except those that its reader marked as broken. Call after the reader."""
    for fact in STREAM_FACTS[number]:
        dump.found(fact)


def read_string(dump: Dump, rva: int, topic: str, facts: tuple[str, ...], subject: str) -> StringFact | None:
    """Read and claim the MINIDUMP_STRING at ``rva``. None, with a defect, if it leaves the file or has an odd size.

    A string that several records share is read once.
    """
    known = dump.strings.get(rva)
    if known is not None:
        return known
    if rva in dump.odd_strings and dump.again(topic):
        return None
    source, start = dump.source, rva + _LENGTH
    size = int.from_bytes(source.view(rva, _LENGTH), "little")
    problem = None
    if rva == 0 or start + size > source.size:
        problem = f"{size} bytes at {start:#x} in a file of {source.size} bytes"
    elif size % 2 or size > MAX_STRING:
        problem = f"{size} bytes"
    if problem:
        dump.odd_strings.add(rva)
        if not dump.again(topic):
            expected = f"a string of even length up to {MAX_STRING}, inside the file"
            dump.defect(topic, subject, expected, problem, Span(rva, start), loses=facts)
        return None
    judged = dump.budget.spent(_BYTES)
    if dump.grant(size, "bytes of strings", *facts, work=_BYTES, judged=judged) < size:
        return None
    end = start + size
    terminated = source.read(end, 2) == b"\0\0"
    span = Span(rva, end + 2 * terminated)
    dump.claim(span, subject, shared=True, tail=2 * terminated)
    found = dump.strings[rva] = StringFact(span, source.view(start, size), terminated)
    return found
