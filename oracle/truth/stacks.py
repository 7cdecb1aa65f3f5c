"""Call stacks of a truth, as they were executed (docs/truth-format.md#call-stacks)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated

from .members import U32, Wide, choice, fail


@dataclass(frozen=True, slots=True)
class StackFrameTruth:
    """A frame: where it runs or goes on, and how its code was entered."""

    instruction_pointer: Wide
    stack_pointer: Wide
    entered: Annotated[str, choice("call", "trap", "system_call", "start")]
    entry: Wide | None
    """The first instruction that ran. None if nothing called the code: ``start``."""
    module: str | None
    module_offset: U32 | None
    function: str | None
    function_offset: U32 | None


@dataclass(frozen=True, slots=True)
class ThreadStackTruth:
    """The call stack of a thread of a process, innermost frame first."""

    thread_id: U32
    frames: tuple[StackFrameTruth, ...]


@dataclass(frozen=True, slots=True)
class KernelStackTruth:
    """The call stack of a thread of a machine, innermost frame first. ``processor`` is None for one that waits."""

    thread: Wide
    processor: U32 | None
    frames: tuple[StackFrameTruth, ...]


def check_thread_stacks(stacks: Iterable[ThreadStackTruth], threads: Iterable[int], where: str) -> None:
    """Raises TruthError unless each stack has a thread of its own, and sound frames."""
    known, seen = set(threads), set[int]()
    for index, stack in enumerate(stacks):
        if stack.thread_id not in known or stack.thread_id in seen:
            fail(f"{where}[{index}].thread_id", "each thread of the process at most once", str(stack.thread_id))
        seen.add(stack.thread_id)
        _check_frames(stack.frames, f"{where}[{index}].frames")


def check_kernel_stacks(stacks: Iterable[KernelStackTruth], processors: int, where: str) -> None:
    """Raises TruthError unless each processor has one stack at most, and the frames are sound."""
    seen = set[int]()
    for index, stack in enumerate(stacks):
        number = stack.processor
        if number is not None:
            if number >= processors or number in seen:
                fail(f"{where}[{index}].processor", f"each of {processors} processors at most once", str(number))
            seen.add(number)
        _check_frames(stack.frames, f"{where}[{index}].frames")


def _check_frames(frames: tuple[StackFrameTruth, ...], where: str) -> None:
    if not frames or frames[-1].entered != "start":
        fail(where, "a last frame with entered start", "none")
    for index, frame in enumerate(frames):
        if frame.entered == "start" and index < len(frames) - 1:
            fail(f"{where}[{index}].entered", "start in the last frame only", "start")
        pairs = {
            "entry": (frame.entry, frame.entered != "start"),
            "module_offset": (frame.module_offset, frame.module is not None),
            "function_offset": (frame.function_offset, frame.function is not None),
        }
        for name, (value, due) in pairs.items():
            if due and value is None:
                fail(f"{where}[{index}].{name}", "a value", "null")
            if not due and value is not None:
                fail(f"{where}[{index}].{name}", "null", "a value")
