"""The thread list and the contexts of its threads."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from ...case import Case
from ...decode import structure
from ...model import Fault, Grade, Level, Source
from ...readers.architectures import layout_of
from ...readers.contexts import without_context
from ...readers.facts import ContextFact, Stream
from ...rule import Check, Checks, bad, ok, rule

CONTEXT_SOURCE: Final = Source("winnt.h CONTEXT; spec user-mode 3.11", Grade.DOCUMENTED)


def unpadded(case: Case, stream: Stream, entries: int, entry: str) -> Iterator[Check]:
    """A list of one's own has no pad behind its count. Other writers' may (spec user-mode 4 V09)."""
    size = 4 + entries * structure(entry).size
    if case.truth is not None and stream.size != size:
        span = stream.record.span_of("Location.DataSize")
        actual = f"DataSize {stream.size}"
        yield bad(stream.name, f"DataSize {size}, without a pad", actual, span, fault=Fault.FORBIDDEN)
    else:
        yield ok(stream.name)


def machine(case: Case, context: ContextFact, subject: str) -> Check:
    """Whether the machine bit of ContextFlags is that of SystemInfo's architecture."""
    architecture = layout_of(case.dump.architecture or "", len(context.span))
    if context.flags & architecture.machine_bit:
        return ok(subject)
    expected = f"ContextFlags with the bit of {architecture.name}, {architecture.machine_bit:#x}"
    return bad(subject, expected, f"{context.flags:#x}", context.record.span_of("ContextFlags"))


def _blank(case: Case, context: ContextFact) -> bool:
    """Whether it is zeros from end to end: of the registers nothing is said."""
    return context.flags == 0 and not any(case.dump.source.view(context.span.start, len(context.span)))


@rule(
    "MDMP-THREAD-001",
    "The thread list is as long as its count says",
    Level.MUST,
    Source("minidumpapiset.h MINIDUMP_THREAD_LIST; spec user-mode 3.5, 4 V09", Grade.DOCUMENTED),
    needs=("stream.3",),
    reports=("list.size.3",),
)
def thread_list_size(case: Case) -> Checks:
    """DataSize is 4 + 48 n. Breakpad and rust-minidump also accept 4 bytes of padding behind the count, which one
    writer emits; with any other size they drop the list, and a dump without threads shows no stack.
    """
    if "list.size.3" not in case.dump.broken.values():
        yield from unpadded(case, case.dump.streams[3], len(case.dump.threads), "MINIDUMP_THREAD")


@rule(
    "MDMP-THREAD-002",
    "Thread ids are unique and not 0",
    Level.MUST,
    Source("google/breakpad src/processor/minidump.cc refuses duplicates; spec user-mode 4 V19", Grade.OBSERVED),
    needs=("threads",),
    reports=("thread.id",),
)
def thread_ids(case: Case) -> Checks:
    """The exception, the thread times and the names refer to threads by id. Breakpad refuses a list with a
    duplicate.
    """
    faults = case.dump.defects_of("thread.id")
    if len(case.dump.threads) > faults:
        yield ok("threads", len(case.dump.threads) - faults)


@rule(
    "MDMP-THREAD-003",
    "Every thread's context lies inside the file",
    Level.MUST,
    Source("minidumpapiset.h MINIDUMP_THREAD; spec user-mode 4 V20", Grade.DOCUMENTED),
    needs=("threads",),
    reports=("thread.context.bounds",),
)
def context_inside(case: Case) -> Checks:
    """Without its registers a thread cannot be walked."""
    count = sum(not without_context(thread.record) for thread in case.dump.threads)
    if count > case.dump.defects_of("thread.context.bounds"):
        yield ok("threads", count - case.dump.defects_of("thread.context.bounds"))


@rule(
    "MDMP-THREAD-004",
    "No thread's context is shorter than the architecture's CONTEXT",
    Level.MUST,
    CONTEXT_SOURCE,
    Source("google/breakpad src/processor/minidump.cc; spec user-mode 4 V20", Grade.IMPLEMENTED),
    needs=("threads",),
    reports=("thread.context.size",),
)
def context_size(case: Case) -> Checks:
    """716 bytes on x86, 1232 on amd64, 416 on arm, 912 on arm64; more only with an XSTATE extension behind it. Of arm
    Breakpad and its kin store 368 bytes of their own layout.
    """
    count = sum(thread.context is not None for thread in case.dump.threads)
    if count:
        yield ok("contexts", count)


@rule(
    "MDMP-THREAD-005",
    "Every thread's context is of the machine that SystemInfo names",
    Level.MUST,
    CONTEXT_SOURCE,
    needs=("contexts",),
)
def context_machine(case: Case) -> Checks:
    """ContextFlags carries a bit of its machine. With another, readers decode the registers by the wrong layout."""
    for thread in case.dump.threads:
        if thread.context is not None and not _blank(case, thread.context):
            yield machine(case, thread.context, f"context of thread {thread.id:#x}")


@rule(
    "MDMP-THREAD-006",
    "Every thread has a context",
    Level.MUST,
    Source("minidumpapiset.h MINIDUMP_THREAD_INFO_ERROR_THREAD, _INVALID_CONTEXT", Grade.DOCUMENTED),
    Source("dbgcore 10.0.14321: 14 of 40 threads of a real file have none", Grade.OBSERVED),
    needs=("threads",),
    foreign_level=Level.SHOULD,
)
def context_present(case: Case) -> Checks:
    """A target that stands still has the registers of every thread. One that runs on while its list is written, as a
    process that dumps itself does, leaves entries of threads that have ended, which know an id and nothing else; and
    zeros where the registers could not be read.
    """
    for thread in case.dump.threads:
        if without_context(thread.record):
            span = thread.record.span_of("ThreadContext.Rva")
            yield bad(f"thread {thread.id:#x}", "a context", "none", span, fault=Fault.MISSING)
        elif thread.context is not None and _blank(case, thread.context):
            yield bad(f"thread {thread.id:#x}", "a context", "zeros", thread.context.span, fault=Fault.MISSING)
        else:
            yield ok(f"thread {thread.id:#x}")
