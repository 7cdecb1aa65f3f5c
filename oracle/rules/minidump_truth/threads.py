"""Against truth: ThreadList, ThreadInfoList, ThreadNames."""

from __future__ import annotations

from collections.abc import Iterator

from ...case import Case
from ...entitlement.flags import stack_of
from ...model import Fault, Grade, Level, Source
from ...readers.facts import ThreadFact
from ...rule import Checks, bad, ok, own, rule
from ...truth.process import ThreadTruth
from ..asserts import TRUTH, by_field, same, same_keys, same_text, stream_span, zero

_THREAD = Source("minidumpapiset.h MINIDUMP_THREAD; spec user-mode 3.5", Grade.DOCUMENTED)
_INFO = Source("minidumpapiset.h MINIDUMP_THREAD_INFO; spec user-mode 3.5", Grade.DOCUMENTED)
_NAME = Source("minidumpapiset.h MINIDUMP_THREAD_NAME; spec user-mode 3.5", Grade.DOCUMENTED)


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
    _THREAD,
    TRUTH,
    needs=("threads",),
    applies=own,
)
def thread_ids(case: Case) -> Checks:
    """One entry per thread of the process and none besides. A thread that is missing is the deadlock's other half."""
    assert case.truth is not None
    found = by_field((fact.record for fact in case.dump.threads), "ThreadId")
    yield from same_keys("thread", found, [thread.thread_id for thread in case.truth.threads], stream_span(case, 3))


@rule(
    "TRUE-THREAD-002",
    "Each thread has its suspend count, priority and TEB",
    Level.MUST,
    _THREAD,
    TRUTH,
    needs=("threads",),
    applies=own,
)
def thread_fields(case: Case) -> Checks:
    """Priority is signed. The TEB is where a debugger finds stack bounds, last error and thread-local storage."""
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
    "Each thread's stack goes from its stack pointer to its StackBase",
    Level.MUST,
    Source("spec user-mode 2.3, V24: 461 threads of 44 real dumps", Grade.OBSERVED),
    TRUTH,
    needs=("threads",),
    applies=own,
)
def thread_stacks(case: Case) -> Checks:
    """``[SP, StackBase)``, on x86 from a word below SP on, or ``[StackLimit, StackBase)`` where SP lies outside the
    stack. A stack that ends early loses the outermost callers; one that starts early shows dead frames.
    """
    assert case.truth is not None
    for fact, thread in known_threads(case):
        start, end = stack_of(case.truth, thread)
        spans = (fact.record.span_of("Stack.StartOfMemoryRange"), fact.record.span_of("Stack.Memory.DataSize"))
        subject = f"stack of thread {fact.id:#x}"
        if (fact.stack_start, fact.stack_end) == (start, end) or (start == end and fact.stack_size == 0):
            yield ok(subject)
        else:
            yield bad(subject, f"{start:#x}..{end:#x}", f"{fact.stack_start:#x}..{fact.stack_end:#x}", *spans)


@rule(
    "TRUE-THREADINFO-001",
    "ThreadInfoList lists the target's threads",
    Level.MUST,
    _INFO,
    TRUTH,
    needs=("thread_info",),
    applies=own,
)
def thread_info_ids(case: Case) -> Checks:
    """One entry per thread of the process and none besides."""
    assert case.truth is not None
    found = by_field(case.dump.thread_infos, "ThreadId")
    yield from same_keys(
        "thread info", found, [thread.thread_id for thread in case.truth.threads], stream_span(case, 17)
    )


@rule(
    "TRUE-THREADINFO-002",
    "Each thread has its times, start address, exit status and affinity",
    Level.MUST,
    _INFO,
    TRUTH,
    needs=("thread_info",),
    applies=own,
)
def thread_info_fields(case: Case) -> Checks:
    """Times are FILETIMEs and 100 ns durations; a living thread has ExitTime 0 and ExitStatus 0x103 (STILL_ACTIVE)."""
    assert case.truth is not None
    for thread_id, record in by_field(case.dump.thread_infos, "ThreadId").items():
        thread = case.truth.thread(thread_id)
        if thread is None:
            continue
        expected = {
            "ExitStatus": thread.exit_status,
            "CreateTime": thread.create_time,
            "ExitTime": thread.exit_time,
            "KernelTime": thread.kernel_time,
            "UserTime": thread.user_time,
            "StartAddress": thread.start_address,
            "Affinity": thread.affinity,
        }
        yield from same(record, f"thread info {thread_id:#x}", expected)


@rule(
    "TRUE-THREADINFO-003",
    "No thread's information is marked as in error",
    Level.MUST,
    _INFO,
    needs=("thread_info",),
    applies=own,
)
def thread_info_flags(case: Case) -> Checks:
    """DumpFlags and DumpError tell what could not be had of a thread. A snapshot holds all of it, and no thread of the
    target writes the dump. Entries of other threads are TRUE-THREADINFO-001's affair.
    """
    assert case.truth is not None
    for thread_id, record in by_field(case.dump.thread_infos, "ThreadId").items():
        if case.truth.thread(thread_id) is None:
            continue
        yield from zero(record, f"thread info {thread_id:#x}", ("DumpFlags", "DumpError"), "nothing failed")


@rule(
    "TRUE-THREADNAME-001",
    "ThreadNames lists the threads that have a description",
    Level.MUST,
    _NAME,
    TRUTH,
    needs=("thread_names",),
    applies=own,
)
def thread_name_ids(case: Case) -> Checks:
    """Every named thread, and no other: a thread without description has no entry, rather than an empty one."""
    assert case.truth is not None
    found = by_field((fact.record for fact in case.dump.thread_names), "ThreadId")
    named = [thread.thread_id for thread in case.truth.threads if thread.name is not None]
    yield from same_keys("thread name", found, named, stream_span(case, 24))


@rule(
    "TRUE-THREADNAME-002",
    "Each thread has its own name",
    Level.MUST,
    _NAME,
    TRUTH,
    needs=("thread_names", "thread_names.names"),
    applies=own,
)
def thread_names(case: Case) -> Checks:
    """The description that SetThreadDescription gave it."""
    assert case.truth is not None
    for fact in case.dump.thread_names:
        thread = case.truth.thread(fact.record["ThreadId"])
        if thread is not None and thread.name is not None:
            subject = f"name of thread {thread.thread_id:#x}"
            yield from same_text(fact.name, subject, thread.name, fact.record.span)


@rule(
    "TRUE-THREAD-004",
    "ThreadList keeps the order in which the threads were created",
    Level.SHOULD,
    Source("learn.microsoft.com IDebugSystemObjects: engine thread ids in creation order", Grade.INFERRED),
    TRUTH,
    needs=("threads",),
    applies=own,
)
def thread_order(case: Case) -> Checks:
    """Debuggers number the threads of a dump by their place in the list: thread 0 is then the initial one."""
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
