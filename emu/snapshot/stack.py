"""Defines call stacks as they were executed: no unwinder made them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class StackFrame:
    """A frame of a call stack (docs/truth-format.md#call-stacks). It returns to where the next frame goes on."""

    instruction_pointer: int
    """Where it runs, or goes on after the frame before returns to it."""
    stack_pointer: int
    """The stack pointer at that instruction."""
    entered: str
    """How its code came to run: ``call``, ``trap``, ``system_call`` or ``start``."""
    entry: int | None
    """The first instruction that ran. After a tail call it lies in another function. None for ``start``."""
    module: str | None
    """Base name of the image of the instruction; None for code outside of images."""
    module_offset: int | None
    """The instruction's offset from the module's base."""
    function: str | None
    """Name by the PDB; None if it names no function there."""
    function_offset: int | None
    """The instruction's offset from the function's first byte."""


@dataclass(frozen=True, slots=True)
class ThreadStack:
    """The call stack of a thread of a process, innermost frame first."""

    thread_id: int
    frames: tuple[StackFrame, ...]


@dataclass(frozen=True, slots=True)
class KernelStack:
    """The call stack of a thread of a machine, innermost frame first.

    That of a running thread starts at the context of its processor. That of a waiting thread starts where its caller
    gave up the processor.
    """

    thread: int
    """Address of its ETHREAD."""
    processor: int | None
    """The processor on which it runs; None for a thread that waits."""
    frames: tuple[StackFrame, ...]
