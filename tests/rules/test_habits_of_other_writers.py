"""Habits of other writers do not fail a dump that is judged without truth, and each is reported."""

from __future__ import annotations

from struct import pack

import pytest
from dumptruth.fixtures.habits import all_habits
from dumptruth.fixtures.mutants import all_mutants, hand_pristine
from dumptruth.fixtures.mutants.pristine import pristine
from dumptruth.fixtures.mutants.registry import BaseDump, MutatedDump
from dumptruth.fixtures.mutants.surgery import Surgery, put
from dumptruth.fixtures.vectors.target import case_of
from dumptruth.oracle import ByteSource, Outcome, Report, Verdict, check, read_minidump

HABITS = {name: it for name, it in all_habits().items() if not it.base.kernel}
SMALL = pristine(BaseDump.SMALL)
HEAD, DIRECTORY, SYSTEM, THREADS, CONTEXT = 32, 36, 56, 52, 368


def failed(report: Report, *, counted: bool) -> set[str]:
    return {it.rule for it in report.results if it.verdict is Verdict.FAIL and it.counts is counted}


@pytest.mark.parametrize("name", HABITS)
def test_a_habit_of_another_writer_fails_no_minidump(name: str) -> None:
    report = check(ByteSource(HABITS[name].data()))
    assert failed(report, counted=True) == set()
    assert report.outcome is Outcome.CONFORMANT, report.reason


@pytest.mark.parametrize("name", [name for name, it in HABITS.items() if it.own])
def test_a_dump_judged_against_truth_may_have_a_habit_that_the_truth_allows(name: str) -> None:
    report = check(ByteSource(HABITS[name].data()), SMALL.truth, SMALL.asked)
    assert failed(report, counted=True) == set()
    assert report.outcome is Outcome.CONFORMANT, report.reason
    assert report.unclaimed == 0


@pytest.mark.parametrize("name", [name for name, it in HABITS.items() if not it.own])
def test_a_dump_judged_against_truth_may_not_have_the_habit(name: str) -> None:
    report = check(ByteSource(HABITS[name].data()), SMALL.truth, SMALL.asked)
    assert report.outcome is Outcome.NON_CONFORMANT, report.reason
    assert HABITS[name].reason


@pytest.mark.parametrize(
    ("habit", "rule"),
    [
        ("thread-that-ended", "MDMP-THREAD-006"),
        ("registers-that-could-not-be-read", "MDMP-THREAD-006"),
        ("program-listed-by-both-loaders", "MDMP-MODULE-009"),
        ("exception-without-context", "MDMP-EXCEPTION-007"),
        ("stack-up-to-the-control-block", "XCUT-STACK-004"),
        ("counters-of-a-dump-target", "MDMP-SYSTEMMEMORY-002"),
        ("name-without-nul-in-front-of-an-empty-one", "MDMP-STRING-001"),
        ("exception-of-every-thread", "MDMP-DIR-008"),
        ("two-streams-of-one-application", "MDMP-DIR-008"),
        ("no-service-pack", "MDMP-SYSTEM-003"),
    ],
)
def test_a_habit_is_still_reported_without_truth(habit: str, rule: str) -> None:
    assert rule in failed(check(ByteSource(HABITS[f"small/{habit}"].data())), counted=False)


def test_a_living_thread_whose_context_has_a_size_and_no_place_is_reported() -> None:
    report = check(ByteSource(put(SMALL, "ThreadList.Threads[1]", "ThreadContext.Rva", 0)))
    assert failed(report, counted=True) == set()
    assert failed(report, counted=False) == {"MDMP-THREAD-006", "MDMP-LAYOUT-002"}


def test_modules_that_overlap_are_reported_but_on_android() -> None:
    data = HABITS["small/modules-that-overlap-on-android"].data()
    windows = Surgery(SMALL).put("SystemInfo", "PlatformId", 2)
    at = windows.layout.field("SystemInfo", "PlatformId")[0]
    report = check(ByteSource(data[:at] + (2).to_bytes(4, "little") + data[at + 4 :]))
    assert "MDMP-MODULE-002" in failed(report, counted=False)
    assert "MDMP-MODULE-002" not in failed(check(ByteSource(data)), counted=False)


def of_arm(context: bytes) -> bytes:
    """A minidump of one thread of a 32-bit ARM on Linux, with the streams that Breakpad's reader needs."""
    system, threads = HEAD + DIRECTORY, HEAD + DIRECTORY + SYSTEM
    name, registers = threads + THREADS, threads + THREADS + 6
    data = pack("<4sIIIIIQ", b"MDMP", 0xA793, 3, HEAD, 0, 0, 0)
    data += pack("<III", 7, SYSTEM, system) + pack("<III", 3, THREADS, threads) + bytes(12)
    data += pack("<HHHBBIIIIIHH24x", 5, 7, 0, 4, 0, 3, 0, 0, 0x8201, name, 0, 0)
    data += pack("<IIIIIQQIIII", 1, 77, 0, 0, 0, 0, 0, 0, 0, len(context), registers)
    return data + bytes(6) + context


def test_the_context_that_breakpad_stores_of_an_arm_is_read_as_such() -> None:
    registers = [0x1000 + index for index in range(16)]
    context = pack("<I16I", 0x40000006, *registers).ljust(CONTEXT, b"\0")
    data = of_arm(context)
    assert check(ByteSource(data)).outcome is Outcome.CONFORMANT
    (thread,) = read_minidump(ByteSource(data)).threads
    assert thread.context is not None
    assert (thread.context.sp, thread.context.ip) == (0x100D, 0x100F)


@pytest.mark.parametrize(
    ("context", "rule"),
    [
        (pack("<I", 0x40000006).ljust(CONTEXT - 8, b"\0"), "MDMP-THREAD-004"),
        (pack("<I", 0x200007).ljust(CONTEXT, b"\0"), "MDMP-THREAD-005"),
        (pack("<I", 0x40000006).ljust(416, b"\0"), "MDMP-THREAD-005"),
    ],
)
def test_an_arm_context_of_neither_layout_is_damage(context: bytes, rule: str) -> None:
    assert failed(check(ByteSource(of_arm(context))), counted=True) == {rule}


@pytest.mark.parametrize(
    ("size", "flags", "rule"),
    [(792, 0x80000006, "MDMP-THREAD-004"), (800, 0x400007, "MDMP-THREAD-005"), (1232, 0x200007, "MDMP-THREAD-005")],
)
def test_an_arm64_context_of_no_known_layout_is_damage(size: int, flags: int, rule: str) -> None:
    data = of_arm(pack("<I", flags).ljust(size, b"\0")).replace(pack("<HHH", 5, 7, 0), pack("<HHH", 12, 7, 0))
    assert failed(check(ByteSource(data)), counted=True) == {rule}


EXCUSED = {
    "MDMP-MODULE-010/code-view-without-a-place": "a callback of MiniDumpWriteDump that cleared ModuleWriteCvRecord",
    "MDMP-THREAD-006/context-without-a-place": "a callback of MiniDumpWriteDump that cleared ThreadWriteContext",
    "MDMP-COMMENT-001/comment-without-nul": "MiniDumpWriteDump stores a caller's comment stream as given",
    "MDMP-DIR-005/reserved-stream-type": "an application chose the number, and the engine only warns of it",
    "MDMP-MEMORY-006/range-of-no-bytes": "the engine and LLDB skip it",
    "MDMP-MEMORY64-003/stream-behind-the-memory": "a writer that appends a stream to a finished dump",
    "MDMP-MODULE-002/two-modules-in-one-place": "Breakpad and LLDB on Linux; a packer that changed its SizeOfImage",
    "MDMP-MODULE-003/module-of-no-size": "LLDB of a module without sections; the engine opens it",
    "MDMP-MODULE-007/code-view-without-nul": "dbghelp copies the image's own bytes",
    "MDMP-THREAD-007/thread-id-zero": "Crashpad, when two 64-bit ids have one low half",
    "UDMP-EVENT-002/event-of-no-kind": "a dump of a process without an event",
    "UDMP-VERSION-002/pointer-size-in-bytes": "no real file with the record is known",
    "XCUT-MEMORYINFO-001/memory-of-a-free-region": "a process that dumps itself frees and allocates meanwhile",
    "XCUT-STACK-002/stack-longer-than-its-memory": "a stack that grew meanwhile; a callback that removed memory",
    "XCUT-STACK-002/stack-with-an-rva": "a writer of a small dump with a Memory64List alone",
    "XCUT-XSTATE-001/one-context-without-xstate": "Crashpad, of a thread whose extended state it could not read",
}
"""Mutants that are faults against a truth, and that a real writer or target makes: why each does not fail alone."""


@pytest.mark.parametrize("name", EXCUSED)
def test_what_a_real_writer_does_is_reported_and_fails_no_dump_without_truth(name: str) -> None:
    subject = all_mutants()[name]
    made = subject.make(case_of(subject.base))
    report = check(ByteSource(made.data if isinstance(made, MutatedDump) else made))
    assert report.outcome is Outcome.CONFORMANT, EXCUSED[name]
    assert subject.rule in failed(report, counted=False)


def test_an_old_user_dump_of_an_itanium_is_sound_and_its_contexts_are_not_read() -> None:
    made = hand_pristine.pristine(BaseDump.USERDUMP)
    report = check(ByteSource(made.patched(("header", 0x10, pack("<I", 0x200)))))
    assert failed(report, counted=True) == set()
    assert report.outcome is Outcome.CONFORMANT
    other = check(ByteSource(made.patched(("header", 0x10, pack("<I", 0x14C)))))
    assert failed(other, counted=True) == {"UDMP-HEADER-002"}


@pytest.mark.parametrize(("stream", "rules"), [(25, set()), (0x7000, set()), (0x10000, {"MDMP-MEMORY64-002"})])
def test_full_memory_that_is_shorter_than_its_ranges_is_sound_only_if_it_is_compressed(
    stream: int, rules: set[str]
) -> None:
    case = pristine(BaseDump.DEFAULT)
    edit = Surgery(case)
    edit.add_entry(stream)
    report = check(ByteSource(edit.data[: -len(edit.data) // 4]))
    assert failed(report, counted=True) == rules
