"""Defines and checks the call stacks of a truth (docs/truth-format.md#call-stacks)."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from ..snapshot.stack import KernelStack, StackFrame, ThreadStack
from .members import HEX, TEXT, U32, BadValue, Later, list_of, object_of, optional, word

_START = "start"
_FRAME = object_of(
    StackFrame,
    {
        "instruction_pointer": HEX,
        "stack_pointer": HEX,
        "entered": word("call", "trap", "system_call", _START),
        "entry": optional(HEX),
        "module": optional(TEXT),
        "module_offset": optional(U32),
        "function": optional(TEXT),
        "function_offset": optional(U32),
    },
)
_FRAMES = list_of(_FRAME)
THREAD_STACKS = Later(list_of(object_of(ThreadStack, {"thread_id": U32, "frames": _FRAMES})), ())
KERNEL_STACKS = Later(
    list_of(object_of(KernelStack, {"thread": HEX, "processor": optional(U32), "frames": _FRAMES})), ()
)


def check_thread_stacks(stacks: Sequence[ThreadStack], thread_ids: Collection[int]) -> None:
    """Raise BadValue unless each stack is that of another thread, and its frames are well formed."""
    left = set(thread_ids)
    for number, stack in enumerate(stacks):
        if stack.thread_id not in left:
            raise BadValue("each thread of the process once", str(stack.thread_id), "stacks", number, "thread_id")
        left.remove(stack.thread_id)
        _check_frames(stack.frames, number)


def check_kernel_stacks(stacks: Sequence[KernelStack], processors: int) -> None:
    """Raise BadValue unless each processor has one stack at most, and the frames are well formed."""
    left = set(range(processors))
    for number, stack in enumerate(stacks):
        if stack.processor is not None and stack.processor not in left:
            raise BadValue("each processor once", str(stack.processor), "stacks", number, "processor")
        left.discard(-1 if stack.processor is None else stack.processor)
        _check_frames(stack.frames, number)


def _check_frames(frames: Sequence[StackFrame], stack: int) -> None:
    if not frames or frames[-1].entered != _START:
        raise BadValue(f"a last frame that is entered by {_START}", "none", "stacks", stack, "frames")
    for number, frame in enumerate(frames):
        place = ("stacks", stack, "frames", number)
        if frame.entered == _START and number + 1 < len(frames):
            raise BadValue(f"{_START} in the last frame only", _START, *place, "entered")
        for one, other, both in (
            ("entry", frame.entry, frame.entered != _START),
            ("module_offset", frame.module_offset, frame.module is not None),
            ("function_offset", frame.function_offset, frame.function is not None),
        ):
            if (other is not None) != both:
                raise BadValue("a value" if both else "null", "null" if both else "a value", *place, one)
