"""Call stacks of targets that ran. What was called is known from the sources; no unwinder is asked."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from itertools import pairwise
from pathlib import Path

import pytest
from dumptruth.emu.images.services import FOLDER
from dumptruth.emu.scenarios.kernel import run_kernel_scenario
from dumptruth.emu.scenarios.process import STACK_SCENARIOS, run_scenario
from dumptruth.emu.scenarios.run import run
from dumptruth.emu.snapshot.process import ProcessSnapshot
from dumptruth.emu.snapshot.stack import StackFrame
from dumptruth.emu.symbols import read_pdb
from dumptruth.emu.truth import store
from dumptruth.oracle.truth.load import load_any_truth

# stacks.c and stack_sites.s. The compiler makes calls in a return statement tail calls: mainCRTStartup jumps to outer.
CALLERS = ["inner", "middle", "outer", "LdrInitializeThunk"]
INNERMOST = {
    "stack-leaf": ["leaf"],
    "stack-tail-call": ["tail_target"],
    "stack-dynamic": ["dynamic_leaf", "dynamic_stack"],
    "stack-epilogue": ["epilogue"],
    "stack-prologue": ["prologue"],
    "stack-no-unwind": ["no_unwind_leaf", "no_unwind"],
    "stack-chained": ["chained_leaf", "chained"],
    "stack-corrupted": ["corrupted"],
    "stack-long-jump": ["long_jump"],
    "stack-other": ["on_other_stack", "other_stack"],
}


@cache
def process(name: str) -> ProcessSnapshot:
    return run_scenario(name, stacks=True)


def names(frames: tuple[StackFrame, ...]) -> list[str | None]:
    return [frame.function for frame in frames]


def of_thread(snapshot: ProcessSnapshot, number: int) -> tuple[StackFrame, ...]:
    return snapshot.stacks[number].frames


def test_every_stack_scenario_has_its_frames_here() -> None:
    assert {scenario.name for scenario in STACK_SCENARIOS} == set(INNERMOST)


@pytest.mark.parametrize("name", INNERMOST)
def test_the_crashed_thread_has_the_frames_that_were_called(name: str) -> None:
    frames = of_thread(process(name), 0)
    assert names(frames) == [*INNERMOST[name], *CALLERS]
    assert [frame.entered for frame in frames] == ["call"] * (len(frames) - 1) + ["start"]


@pytest.mark.parametrize("name", INNERMOST)
def test_each_frame_returns_to_the_next_but_a_corrupted_one(name: str) -> None:
    snapshot = process(name)
    frames = of_thread(snapshot, 0)
    for frame, caller in pairwise(frames):
        stored = snapshot.read(caller.stack_pointer - 8, 8)
        assert stored is not None
        same = int.from_bytes(stored, "little") == caller.instruction_pointer
        assert same == (frame.function != "corrupted")


def test_threads_that_wait_have_their_frames() -> None:
    snapshot = process("stack-leaf")
    assert names(of_thread(snapshot, 1)) == ["NtDelayExecution", "Sleep", "sleeper", "RtlUserThreadStart"]
    assert names(of_thread(snapshot, 2)) == ["NtWaitForSingleObject", "WaitForSingleObject", "RtlUserThreadStart"]


def test_a_tail_call_shows_in_where_the_frame_was_entered() -> None:
    snapshot = process("stack-tail-call")
    frame = of_thread(snapshot, 0)[0]
    pdb = read_pdb((FOLDER / "stacks.pdb").read_bytes())
    assert frame.entry is not None
    entered = pdb.at(frame.entry - snapshot.modules[0].base)
    assert entered is not None
    assert (entered.name, frame.function) == ("tail_caller", "tail_target")


def test_the_innermost_frame_is_the_context_of_the_exception() -> None:
    for name in ("wild-call", "raised-exception", "stack-epilogue"):
        snapshot = process(name)
        assert snapshot.exception is not None
        frame = of_thread(snapshot, 0)[0]
        context = snapshot.exception.context
        assert (frame.instruction_pointer, frame.stack_pointer) == (context["Rip"], context["Rsp"])


def test_a_call_of_nothing_has_its_caller() -> None:
    frames = of_thread(process("wild-call"), 0)
    assert (frames[0].module, frames[0].function) == (None, None)
    assert names(frames)[1:] == ["crash_call", "mainCRTStartup", "LdrInitializeThunk"]


def test_a_software_exception_leaves_out_what_raised_it() -> None:
    frames = of_thread(process("raised-exception"), 0)
    assert names(frames) == ["RaiseException", "mainCRTStartup", "LdrInitializeThunk"]


def test_a_deep_recursion_is_kept_whole_and_its_nameless_function_gets_no_other_name() -> None:
    frames = of_thread(process("stack-overflow"), 0)
    assert len(frames) > 2000
    assert {frame.entry for frame in frames[:2000]} == {frames[0].entry}
    assert names(frames)[:2] == [None, None]
    assert names(frames)[-3:] == ["crash_overflow", "mainCRTStartup", "LdrInitializeThunk"]


@pytest.mark.parametrize("name", ["every-stream", "deadlock", "bugcheck-d1", "second-processor"])
def test_recording_changes_nothing_else(name: str) -> None:
    recorded = run(name, ram="4M", stacks=True)
    assert recorded.stacks
    if isinstance(recorded, ProcessSnapshot):
        assert replace(recorded, stacks=()) == run(name)
    else:
        assert replace(recorded, stacks=()) == run(name, ram="4M")


def test_a_crash_in_a_driver_goes_on_behind_its_trap_frame() -> None:
    snapshot = run_kernel_scenario("bugcheck-d1", "4M", stacks=True)
    crashed = snapshot.stacks[0]
    assert (crashed.processor, crashed.thread) == (0, snapshot.processors[0].current_thread)
    assert [(frame.function, frame.entered) for frame in crashed.frames] == [
        ("KeBugCheckEx", "call"),
        ("KiDispatchTrap", "call"),
        ("KiTrap", "call"),
        ("KiPageFault", "trap"),
        ("CrashRead", "call"),
        ("Worker", "call"),
        ("KiThreadStart", "call"),
        ("KiThreadEntry", "start"),
    ]


def test_a_thread_that_waits_in_a_system_call_goes_on_in_its_program() -> None:
    snapshot = run_kernel_scenario("bugcheck-d1", "4M", stacks=True)
    csrss = next(process for process in snapshot.processes if process.image_file_name == "csrss.exe")
    found = next(stack for stack in snapshot.stacks if stack.thread == csrss.threads[0].thread)
    assert found.processor is None
    assert [(frame.function, frame.entered) for frame in found.frames] == [
        ("KiSwapContext", "call"),
        ("KiSwitchAway", "call"),
        ("KiWait", "call"),
        ("KiSystemService", "call"),
        ("KiDispatchTrap", "call"),
        ("KiTrap", "call"),
        ("KiSystemCall64", "system_call"),
        ("NtDelay", "call"),
        ("AppMain", "start"),
    ]
    assert {frame.module for frame in found.frames} == {"ntoskrnl.exe", "app.exe"}


def test_a_breakpoint_in_the_kernel_is_interrupted_at_itself() -> None:
    snapshot = run_kernel_scenario("bugcheck-7e-breakpoint", "4M", stacks=True)
    trapped = next(number for number, frame in enumerate(snapshot.stacks[0].frames) if frame.entered == "trap")
    interrupted = snapshot.stacks[0].frames[trapped + 1]
    assert (interrupted.function, interrupted.function_offset) == ("CrashBreakpoint", 0)


def test_a_lost_stack_pointer_does_not_lose_the_callers() -> None:
    snapshot = run_kernel_scenario("bugcheck-7f", "4M", stacks=True)
    found = [frame.function for frame in snapshot.stacks[0].frames]
    assert found[found.index("KiDoubleFaultAbort") :] == [
        "KiDoubleFaultAbort", "CrashStack", "Worker", "KiThreadStart", "KiThreadEntry",
    ]  # fmt: skip


@pytest.mark.parametrize("name", ["stack-chained", "bugcheck-d1"])
def test_the_stacks_come_back_from_a_truth(name: str, tmp_path: Path) -> None:
    snapshot = run(name, ram="4M", stacks=True)
    store.save(snapshot, tmp_path, source=name)
    assert store.load_snapshot(tmp_path).stacks == snapshot.stacks
    truth = load_any_truth(tmp_path)
    assert truth.stacks is not None
    mine = [stack.frames for stack in snapshot.stacks]
    theirs = [stack.frames for stack in truth.stacks]
    for frames, loaded in zip(mine, theirs, strict=True):
        for frame, read in zip(frames, loaded, strict=True):
            assert [getattr(frame, name) for name in frame.__slots__] == [
                getattr(read, name) for name in read.__slots__
            ]
