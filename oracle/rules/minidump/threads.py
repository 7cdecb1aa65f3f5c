"""Judges the thread list and the contexts of its threads (docs/format/minidump-threads.md)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from ...case import Case
from ...decode import structure
from ...model import Fault, Grade, Level, Source
from ...readers.architectures import BY_STRUCTURE
from ...readers.contexts import without_context
from ...readers.facts import ContextFact, Stream
from ...rule import Check, Checks, bad, ok, rule

CONTEXT_SIZE: Final = Source("docs/format/minidump-contexts.md#size-by-architecture", Grade.DOCUMENTED)
CONTEXT_MACHINE: Final = Source("docs/format/minidump-contexts.md#parts-of-contextflags", Grade.DOCUMENTED)


def unpadded(case: Case, stream: Stream, entries: int, entry: str) -> Iterator[Check]:
    """Check that a list of a dump judged with truth has no padding after its count.

    Other dumps may have 4 bytes there (docs/format/minidump-readers.md#stream-lists-and-directory).
    """
    size = 4 + entries * structure(entry).size
    if case.truth is not None and stream.size != size:
        span = stream.record.span_of("Location.DataSize")
        actual = f"DataSize {stream.size}"
        yield bad(stream.name, f"DataSize {size}, without padding", actual, span, fault=Fault.FORBIDDEN)
    else:
        yield ok(stream.name)


def machine(context: ContextFact, subject: str) -> Check:
    """Check that ContextFlags has the machine bit of the architecture that the context was read as."""
    architecture = BY_STRUCTURE[context.record.structure.name]
    if context.flags & architecture.machine_bit:
        return ok(subject)
    expected = f"ContextFlags with bit {architecture.machine_bit:#x}, of {architecture.name}"
    return bad(subject, expected, f"{context.flags:#x}", context.record.span_of("ContextFlags"))


def _blank(case: Case, context: ContextFact) -> bool:
    """Whether the whole record is zero: it holds no registers."""
    return context.flags == 0 and not any(case.dump.source.view(context.span.start, len(context.span)))


@rule(
    "MDMP-THREAD-001",
    "DataSize of the thread list matches its count",
    Level.MUST,
    Source("docs/format/minidump-threads.md#size-of-the-thread-list", Grade.WITNESSED, versions=("29507",)),
    needs=("stream.3",),
    reports=("list.size.3",),
)
def thread_list_size(case: Case) -> Checks:
    """DataSize is 4 + 48 * NumberOfThreads. The vendor's engine drops a list of any other size, and the session fails.
    Breakpad and rust-minidump accept 4 bytes of padding after the count, which Breakpad on macOS writes. Foreign dumps
    may have them.
    """
    if "list.size.3" not in case.dump.broken.values():
        yield from unpadded(case, case.dump.streams[3], len(case.dump.threads), "MINIDUMP_THREAD")


@rule(
    "MDMP-THREAD-002",
    "Thread ids are unique",
    Level.MUST,
    Source("docs/format/minidump-threads.md#thread-ids", Grade.OBSERVED),
    needs=("threads",),
    reports=("thread.id",),
)
def thread_ids(case: Case) -> Checks:
    """The exception, the thread times and the thread names refer to threads by id. Breakpad refuses a list with a
    duplicate id.
    """
    faults = case.dump.defects_of("thread.id")
    if len(case.dump.threads) > faults:
        yield ok("threads", len(case.dump.threads) - faults)


@rule(
    "MDMP-THREAD-007",
    "No thread id is 0",
    Level.MUST,
    Source("docs/format/minidump-threads.md#thread-ids", Grade.OBSERVED),
    needs=("threads",),
    foreign_level=Level.SHOULD,
)
def thread_id_not_zero(case: Case) -> Checks:
    """0 is the id of the idle thread. Crashpad counts the threads from 0 if two ids have equal low halves."""
    for thread in case.dump.threads:
        if thread.id:
            yield ok(thread.record.path)
        else:
            yield bad(thread.record.path, "an id that is not 0", "0", thread.record.span_of("ThreadId"))


@rule(
    "MDMP-THREAD-003",
    "Every thread's context lies inside the file",
    Level.MUST,
    Source("docs/format/minidump-contexts.md#record-size-in-readers", Grade.WITNESSED, versions=("29507",)),
    needs=("threads",),
    reports=("thread.context.bounds",),
)
def context_inside(case: Case) -> Checks:
    """A debugger needs the registers of a thread to walk its stack."""
    count = sum(not without_context(thread.record) for thread in case.dump.threads)
    if count > case.dump.defects_of("thread.context.bounds"):
        yield ok("threads", count - case.dump.defects_of("thread.context.bounds"))


@rule(
    "MDMP-THREAD-004",
    "No thread's context is shorter than the architecture's CONTEXT",
    Level.MUST,
    CONTEXT_SIZE,
    Source("docs/format/minidump-contexts.md#record-size-in-readers", Grade.IMPLEMENTED),
    needs=("threads",),
    reports=("thread.context.size",),
)
def context_size(case: Case) -> Checks:
    """CONTEXT has 716 bytes on x86, 1232 on amd64, 416 on arm and 912 on arm64. A longer record has an XSTATE
    extension. Breakpad and related writers store arm contexts of 368 bytes in a layout of their own, LLDB arm64
    contexts of 800.
    """
    count = sum(thread.context is not None for thread in case.dump.threads)
    if count:
        yield ok("contexts", count)


@rule(
    "MDMP-THREAD-005",
    "Every thread's context is of the architecture in SystemInfo",
    Level.MUST,
    CONTEXT_MACHINE,
    needs=("contexts",),
)
def context_machine(case: Case) -> Checks:
    """ContextFlags has the bit of one machine. With the bit of another machine, readers decode the registers by the
    wrong layout.
    """
    for thread in case.dump.threads:
        if thread.context is not None and not _blank(case, thread.context):
            yield machine(thread.context, f"context of thread {thread.id:#x}")


@rule(
    "MDMP-THREAD-006",
    "Every thread has a context",
    Level.MUST,
    Source("docs/format/minidump-threads.md#threads-without-a-context", Grade.OBSERVED),
    needs=("threads",),
    foreign_level=Level.SHOULD,
)
def context_present(case: Case) -> Checks:
    """The writer can read the registers of every thread of a stopped target. A process that dumps itself runs on while
    its list is written. Its list then has entries of threads that have ended, with an id and nothing else. A context of
    zeros means that the registers could not be read.
    """
    for thread in case.dump.threads:
        if without_context(thread.record):
            span = thread.record.span_of("ThreadContext.Rva")
            yield bad(f"thread {thread.id:#x}", "a context", "none", span, fault=Fault.MISSING)
        elif thread.context is not None and _blank(case, thread.context):
            yield bad(f"thread {thread.id:#x}", "a context", "zeros", thread.context.span, fault=Fault.MISSING)
        else:
            yield ok("context")
