"""Judges ThreadList, ThreadInfoList and ThreadNames against truth."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from ...case import Case
from ...entitlement.flags import stack_of
from ...model import Fault, Grade, Level, Source
from ...readers.facts import ThreadFact
from ...rule import Checks, bad, ok, own, rule
from ..asserts import by_an_engine, by_field, of_a_dump, one_of, same, same_keys, same_text, stream_span, zero

if TYPE_CHECKING:
    from ...truth.process import ThreadTruth


def known_threads(case: Case) -> Iterator[tuple[ThreadFact, ThreadTruth]]:
    """The entries of the ThreadList that name a thread of the target, each with that thread."""
    assert case.truth is not None
    threads = {thread.thread_id: thread for thread in case.truth.threads}
    for fact in case.dump.threads:
        thread = threads.pop(fact.id, None)
        if thread is not None:
            yield fact, thread


@rule(
    "TRUE-THREAD-001",
    "ThreadList lists the target's threads",
    Level.MUST,
    Source("docs/format/minidump-threads.md#thread-list", Grade.WITNESSED, versions=("15063", "29507")),
    needs=("threads",),
    applies=own,
)
def thread_ids(case: Case) -> Checks:
    """Each thread of the process has one entry, and no other entry exists. A missing thread may be the other half of a
    deadlock.
    """
    assert case.truth is not None
    found = by_field((fact.record for fact in case.dump.threads), "ThreadId")
    yield from same_keys("thread", found, [thread.thread_id for thread in case.truth.threads], stream_span(case, 3))


@rule(
    "TRUE-THREAD-002",
    "Each thread has its suspend count, priority and TEB",
    Level.MUST,
    Source("docs/format/minidump-threads.md#thread-entry", Grade.WITNESSED, versions=("15063", "29507")),
    needs=("threads",),
    applies=own,
)
def thread_fields(case: Case) -> Checks:
    """Priority is signed. A debugger finds stack bounds, last error and thread-local storage through the TEB."""
    for fact, thread in known_threads(case):
        expected = {
            "SuspendCount": thread.suspend_count,
            "PriorityClass": thread.priority_class,
            "Priority": thread.priority,
            "Teb": thread.teb,
        }
        yield from same(fact.record, f"thread {fact.id:#x}", expected)


@rule(
    "TRUE-THREAD-003",
    "Each thread's stack goes from its stack pointer to StackBase",
    Level.MUST,
    Source("docs/format/minidump-threads.md#start-of-the-stack", Grade.WITNESSED, versions=("15063", "29507")),
    Source("docs/format/minidump-threads.md#end-of-the-stack", Grade.WITNESSED, versions=("15063", "29507")),
    Source("docs/format/minidump-memory-ranges.md#dump-targets-stacks", Grade.WITNESSED, versions=("15063", "29507")),
    needs=("threads",),
    applies=own,
)
def thread_stacks(case: Case) -> Checks:
    """The stack is ``[SP, StackBase)``, on x86 from one word below SP. It is ``[StackLimit, StackBase)`` if SP lies
    outside the stack. A stack that ends early loses the outermost callers; one that starts early shows dead frames.
    In the dump of a dump, address and size are 0 if the source lacks the thread's TEB.
    """
    # Only dumps with a truth need the entitlement.
    from ...entitlement.stacks import keeps_stack  # noqa: PLC0415
    from ...entitlement.writers import writings  # noqa: PLC0415

    assert case.truth is not None
    assert case.request is not None
    answers = writings(case.truth, case.request)
    for fact, thread in known_threads(case):
        start, end = stack_of(case.truth, thread)
        kept = {keeps_stack(answer, thread) for answer in answers}
        found, wanted = (fact.stack_start, fact.stack_end), []
        if kept != {False}:
            wanted.append(f"{start:#x}..{end:#x}")
        if kept != {True}:
            wanted.append("no stack: the source lacks its TEB, or a part of it")
        held = found == (start, end) or (start == end and fact.stack_size == 0)
        spans = (fact.record.span_of("Stack.StartOfMemoryRange"), fact.record.span_of("Stack.Memory.DataSize"))
        subject = f"stack of thread {fact.id:#x}"
        if (held and kept != {False}) or (found == (0, 0) and kept != {True}):
            yield ok(subject)
        else:
            yield bad(subject, " or ".join(wanted), f"{fact.stack_start:#x}..{fact.stack_end:#x}", *spans)


@rule(
    "TRUE-THREADINFO-001",
    "ThreadInfoList lists the target's threads",
    Level.MUST,
    Source("docs/format/minidump-threads.md#threads-of-the-info-list", Grade.WITNESSED, versions=("15063", "29507")),
    needs=("thread_info",),
    applies=own,
)
def thread_info_ids(case: Case) -> Checks:
    """Each thread of the process has one entry, and no other entry exists."""
    assert case.truth is not None
    found = by_field(case.dump.thread_infos, "ThreadId")
    yield from same_keys(
        "thread info", found, [thread.thread_id for thread in case.truth.threads], stream_span(case, 17)
    )


@rule(
    "TRUE-THREADINFO-002",
    "Each thread has its times, start address, exit status and affinity",
    Level.MUST,
    Source("docs/format/minidump-threads.md#thread-info-list", Grade.WITNESSED, versions=("15063", "29507")),
    needs=("thread_info",),
    applies=own,
)
def thread_info_fields(case: Case) -> Checks:
    """Times are FILETIMEs and durations in units of 100 ns. A living thread has ExitTime 0 and ExitStatus 0x103
    (STILL_ACTIVE). The engines store ExitStatus 0 if their target is a dump.
    """
    assert case.truth is not None
    for thread_id, record in by_field(case.dump.thread_infos, "ThreadId").items():
        thread = case.truth.thread(thread_id)
        if thread is None:
            continue
        expected = {
            "CreateTime": thread.create_time,
            "ExitTime": thread.exit_time,
            "KernelTime": thread.kernel_time,
            "UserTime": thread.user_time,
            "StartAddress": thread.start_address,
            "Affinity": thread.affinity,
        }
        subject = f"thread info {thread_id:#x}"
        yield from same(record, subject, expected)
        statuses = (
            [thread.exit_status] if not of_a_dump(case) else [0] if by_an_engine(case) else [0, thread.exit_status]
        )
        yield from one_of(record, subject, "ExitStatus", statuses)


@rule(
    "TRUE-THREADINFO-003",
    "No thread info is marked as an error",
    Level.MUST,
    Source("docs/format/minidump-threads.md#dump-flags-of-a-thread", Grade.DOCUMENTED),
    needs=("thread_info",),
    applies=own,
)
def thread_info_flags(case: Case) -> Checks:
    """DumpFlags and DumpError mark data of a thread that the writer could not get. A snapshot holds all data, and no
    thread of the target writes the dump. TRUE-THREADINFO-001 judges entries of other threads.
    """
    assert case.truth is not None
    for thread_id, record in by_field(case.dump.thread_infos, "ThreadId").items():
        if case.truth.thread(thread_id) is None:
            continue
        yield from zero(record, f"thread info {thread_id:#x}", ("DumpFlags", "DumpError"), "nothing failed")


@rule(
    "TRUE-THREADNAME-001",
    "ThreadNames lists the threads that have a name",
    Level.MUST,
    Source("docs/format/minidump-threads.md#threads-of-the-name-list", Grade.WITNESSED, versions=("29507",)),
    needs=("thread_names",),
    applies=own,
)
def thread_name_ids(case: Case) -> Checks:
    """Every named thread has an entry. A thread without a name has no entry, not even an empty one."""
    assert case.truth is not None
    found = by_field((fact.record for fact in case.dump.thread_names), "ThreadId")
    named = [thread.thread_id for thread in case.truth.threads if thread.name is not None]
    yield from same_keys("thread name", found, named, stream_span(case, 24))


@rule(
    "TRUE-THREADNAME-002",
    "Each thread has its own name",
    Level.MUST,
    Source("docs/format/minidump-threads.md#thread-names", Grade.DOCUMENTED),
    needs=("thread_names", "thread_names.names"),
    applies=own,
)
def thread_names(case: Case) -> Checks:
    """SetThreadDescription gave the thread this name."""
    assert case.truth is not None
    for fact in case.dump.thread_names:
        thread = case.truth.thread(fact.record["ThreadId"])
        if thread is not None and thread.name is not None:
            subject = f"name of thread {thread.thread_id:#x}"
            yield from same_text(fact.name, subject, thread.name, fact.record.span)


@rule(
    "TRUE-THREAD-004",
    "ThreadList is in the order in which the threads were created",
    Level.SHOULD,
    Source("docs/format/minidump-threads.md#order-of-threads", Grade.INFERRED),
    needs=("threads",),
    applies=own,
)
def thread_order(case: Case) -> Checks:
    """Debuggers number the threads of a dump by their place in the list. Thread 0 is then the initial one."""
    assert case.truth is not None
    held = [thread.thread_id for thread in case.truth.threads]
    found = [fact.id for fact in case.dump.threads]
    if sorted(held) != sorted(found):
        return
    if held == found:
        yield ok("ThreadList")
    else:
        yield bad(
            "ThreadList",
            " ".join(f"{number:#x}" for number in held[:8]),
            " ".join(f"{number:#x}" for number in found[:8]),
            stream_span(case, 3),
            fault=Fault.WRONG,
        )
