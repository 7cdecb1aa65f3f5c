"""Reads streams 3, 17, 24 and 6 of a minidump: threads with contexts, times and names, and the exception."""

from __future__ import annotations

from ..decode import Record, decode, structure
from ..model import Span
from .architectures import layout_of
from .container import STREAM, STREAM_FACTS, read_counted, read_headed, read_string, settle
from .contexts import read_context, without_context
from .facts import ContextFact, Dump, ExceptionFact, ThreadFact, ThreadNameFact


def read_threads(dump: Dump) -> None:
    """Read stream 3 and fill ``dump.threads`` (docs/format/minidump-threads.md#thread-list)."""
    stream = dump.streams.get(STREAM["ThreadListStream"])
    if stream is None:
        return
    records = read_counted(dump, stream, "MINIDUMP_THREAD_LIST", "MINIDUMP_THREAD", "thread entry")
    for record in records:
        subject = f"thread {record['ThreadId']:#x}"
        dump.threads.append(ThreadFact(record, _context(dump, record, "thread.context", "contexts", subject)))
        if not record["Stack.Memory.DataSize"]:
            for name in ("Stack.StartOfMemoryRange", "Stack.Memory.Rva"):
                dump.dont_care(record.span_of(name), f"{name}: the stack has no bytes")
    _check_ids(dump)
    settle(dump, stream.type)
    if dump.architecture is None:
        dump.facts.discard("contexts")


def _check_ids(dump: Dump) -> None:
    """Thread ids must be unique: four other streams refer to threads by id."""
    seen: set[int] = set()
    for thread in dump.threads:
        if thread.id in seen:
            expected, span = "an id that no other thread has", thread.record.span_of("ThreadId")
            dump.defect("thread.id", thread.record.path, expected, f"{thread.id:#x} again", span)
            dump.breaks("thread.ids", "thread.id")
        seen.add(thread.id)


def _context(dump: Dump, record: Record, topic: str, fact: str, subject: str) -> ContextFact | None:
    """Read and claim the context at ThreadContext of ``record``. None without a known architecture."""
    size, rva = record["ThreadContext.DataSize"], record["ThreadContext.Rva"]
    if without_context(record):
        return None
    if rva + size > dump.source.size:
        expected = f"{size} bytes inside the file of {dump.source.size} bytes"
        spans = (record.span_of("ThreadContext.DataSize"), record.span_of("ThreadContext.Rva"))
        dump.defect(f"{topic}.bounds", subject, expected, f"at {rva:#x}", *spans, loses=(fact,))
        return None
    path, context = f"context of {subject}", None
    if dump.architecture is not None:
        context = read_context(dump.source, dump.architecture, rva, size, path)
        if context is None:
            least = structure(layout_of(dump.architecture, size).structure).size
            dump.defect(
                f"{topic}.size",
                subject,
                f"a context of {least} bytes or more ({dump.architecture})",
                f"{size} bytes",
                record.span_of("ThreadContext.DataSize"),
                loses=(fact,),
            )
            return None
    dump.claim(Span(rva, rva + size), path, shared=True)
    return context


def read_thread_infos(dump: Dump) -> None:
    """Read stream 17 and fill ``dump.thread_infos`` (docs/format/minidump-threads.md#thread-info-list)."""
    stream = dump.streams.get(STREAM["ThreadInfoListStream"])
    if stream is None:
        return
    dump.thread_infos = read_headed(dump, stream, "MINIDUMP_THREAD_INFO_LIST", ("MINIDUMP_THREAD_INFO",), "thread info")
    settle(dump, stream.type)


def read_thread_names(dump: Dump) -> None:
    """Read stream 24 and fill ``dump.thread_names`` (docs/format/minidump-threads.md#thread-names)."""
    stream = dump.streams.get(STREAM["ThreadNamesStream"])
    if stream is None:
        return
    records = read_counted(dump, stream, "MINIDUMP_THREAD_NAME_LIST", "MINIDUMP_THREAD_NAME", "thread name")
    for record in records:
        subject = f"name of thread {record['ThreadId']:#x}"
        name = read_string(dump, record["RvaOfThreadName"], "thread-name.string", ("thread_names.names",), subject)
        dump.thread_names.append(ThreadNameFact(record, name))
    settle(dump, stream.type)


def read_exception(dump: Dump) -> None:
    """Read stream 6 and fill ``dump.exception`` (docs/format/minidump-exception.md#exception-record)."""
    stream = dump.streams.get(STREAM["ExceptionStream"])
    if stream is None:
        return
    record = decode(dump.source, stream.rva, "MINIDUMP_EXCEPTION_STREAM", "exception")
    if stream.size != record.structure.size:
        dump.defect(
            "exception.size",
            stream.name,
            f"DataSize {record.structure.size}",
            f"DataSize {stream.size}",
            stream.record.span_of("Location.DataSize"),
            loses=STREAM_FACTS[stream.type],
        )
        return
    context = _context(dump, record, "exception.context", "exception.context", "exception")
    dump.exception = ExceptionFact(record, context)
    settle(dump, stream.type)
    if dump.architecture is None:
        dump.facts.discard("exception.context")
