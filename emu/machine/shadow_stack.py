"""Records the calls of running guest code, so that call stacks are known without unwinding.

A block hook sees every basic block. The last instruction of the block before says how the processor came there. Only
calls and returns do work; what a block ends with is decoded once (`block_end.py`).

A call is live while RSP is below the stack pointer of its caller after the return. So one rule ends calls: a return, an
unwinder, a long jump and a discarded stack all raise RSP. It holds within one stack. `find_stack` tells the
stacks apart, and each stack that is left keeps its calls until code runs on it again.
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from .block_end import BlockEnd, Ending

Span = tuple[int, int, int]
"""Lowest address of a stack, the address after its last byte, and the address space that it belongs to."""
FindStack = Callable[[int], Span | None]
_NOWHERE: Span = (0, 0, 0)


class Entered(enum.StrEnum):
    """How the code of a frame came to run."""

    CALL = "call"
    TRAP = "trap"
    """By an exception or an interrupt."""
    SYSTEM_CALL = "system_call"
    START = "start"
    """By none of these: it is the outermost frame of a thread."""


@dataclass(eq=False, slots=True)
class Call:
    """One call that has not returned, or one interrupted instruction stream. The older ones follow by `below`."""

    how: Entered
    stack: Span | None
    """The stack of the caller."""
    caller_sp: int
    """RSP of the caller when it goes on."""
    return_address: int
    entry: int
    """The first instruction that ran."""
    below: Call | None


@dataclass(frozen=True, slots=True)
class Frame:
    """A frame of a call stack. It returns to the instruction pointer of the next frame."""

    instruction_pointer: int
    stack_pointer: int
    """RSP at that instruction."""
    entered: Entered
    entry: int | None
    """The first instruction that ran; after a tail call it lies in another function. None for START."""


@dataclass(slots=True)
class _Thread:
    """What is known of a thread that does not run."""

    top: Call | None = None
    stack: Span | None = None
    left_at: tuple[int, int, int] | None = None


class ShadowStack:
    """The calls of one processor. Processors of a machine share `kept`, because their threads move between them.

    `find_stack` returns the stack that a stack pointer uses, None if there is none. `read_sp` and `read_word` read RSP
    and guest memory.
    """

    def __init__(
        self,
        find_stack: FindStack,
        read_sp: Callable[[], int],
        read_word: Callable[[int], int | None],
        blocks: BlockEnd,
        kept: dict[Span, Call | None] | None = None,
    ) -> None:
        self._find_stack = find_stack
        self._read_sp, self._read_word = read_sp, read_word
        self.blocks: Final = blocks
        self._kept: Final = {} if kept is None else kept
        self._stacks: dict[Span, Span] = {}
        self._threads: dict[int, _Thread] = {}
        self._thread: int | None = None
        self._top: Call | None = None
        self._stack: Span | None = None
        self._left_at: tuple[int, int, int] | None = None
        """Rip and RSP of the last stop, and where the processor would go on."""

    # --- while the guest runs ----------------------------------------------------------------------------------------

    def transfer(self, end: Ending, address: int) -> None:
        """The block with this end ran, and the processor goes on at `address`."""
        if not end.call:
            top, sp = self._top, self._read_sp()
            if top is not None and top.caller_sp == sp and top.how is Entered.CALL:
                self._top = top.below  # the usual return
            elif address not in (end.address, end.jump):
                self._follow(sp)
            return
        sp = self._read_sp()
        if end.target != address and (end.target is not None or self._read_word(sp) != end.address):
            return  # bytes that only look like a call
        after = sp + 8
        stack, top = self._stack, self._top
        if stack is None or not stack[0] < sp <= stack[1]:
            found = self._on(sp)
            if found is not stack:
                stack, top = found, self._changed(found, after)
        while top is not None and top.caller_sp <= after and top.stack is stack:
            top = top.below
        self._top = Call(Entered.CALL, stack, after, end.address, address, top)

    def _changed(self, stack: Span, sp: int) -> Call | None:
        """The code has moved RSP to another stack and calls: a function with a stack of its own, or a fiber goes on."""
        if self._stack is not None:
            self._kept[self._stack] = self._top
        self._stack = stack
        if self._top is not None and self._top.how is not Entered.CALL:
            return self._top  # the kernel was entered, and what was on its stack is gone
        back = _live(self._top, stack, sp)
        if back is None and not _has(self._top, stack):
            back = _live(self._kept.get(stack), stack, sp)
        return self._top if back is None else back

    def _follow(self, sp: int) -> None:
        """End the calls that RSP has left."""
        stack = self._on(sp)
        top = self._top
        if stack is self._stack:
            while top is not None and top.stack is stack and top.caller_sp <= sp:
                top = top.below
            self._top = top
            return
        if self._stack is not None:
            self._kept[self._stack] = top
        self._stack = stack
        self._top = _settled(top if _has(top, stack) else self._kept.get(stack), stack, sp)

    def _on(self, sp: int) -> Span:
        """The stack that holds `sp`: the same object for the same stack."""
        stack = self._stack
        if stack is not None and stack[0] < sp <= stack[1]:
            return stack
        found = self._find_stack(sp)
        if found is None:
            return _NOWHERE if stack is None else stack
        return self._stacks.setdefault(found, found)

    # --- around a run ------------------------------------------------------------------------------------------------

    def begin(self, rip: int, sp: int, *, supervisor: bool, called: bool = False) -> None:
        """A run begins. Whatever changed Rip since the last stop delivered an exception, or continued elsewhere.

        `called`: the last stop was a system call.
        """
        if self._left_at is None:
            self._stack = self._on(sp)
            return
        left_rip, left_sp, resume = self._left_at
        if rip in (left_rip, resume):
            return
        if supervisor or (left_sp > sp and self._on(sp) is self._stack):
            stack = self._on(left_sp)
            how = Entered.SYSTEM_CALL if called else Entered.TRAP
            self._top = Call(how, stack, left_sp, resume, rip, self._top)
            if self._on(sp) is not stack:
                self._kept[stack] = self._top
                self._stack = self._on(sp)
        else:
            self._follow(sp)

    def end(self, rip: int, sp: int, resume: int, pending: Ending | None, within: bool) -> None:
        """A run ended at `rip`, and goes on at `resume` if nothing interferes.

        `pending` is the end of the last block that began. `within`: `rip` lies in it, so its end did not run.
        """
        if pending is not None and not within:
            self.transfer(pending, rip)
        self._left_at = rip, sp, resume

    def switch_to(self, thread: int) -> None:
        """Another thread gets the processor. Only for a host that switches threads itself."""
        if thread == self._thread:
            return
        if self._thread is not None:
            self._threads[self._thread] = _Thread(self._top, self._stack, self._left_at)
        self._thread = thread
        found = self._threads.pop(thread, None) or _Thread()
        self._top, self._stack, self._left_at = found.top, found.stack, found.left_at

    def forget_code(self) -> None:
        """Code has changed."""
        self.blocks.clear()

    # --- stacks ------------------------------------------------------------------------------------------------------

    def frames(self, rip: int, sp: int) -> tuple[Frame, ...]:
        """The call stack of the code that runs at `rip` with the stack pointer `sp`, innermost frame first."""
        return self._frames(self._top, self._stack, rip, sp)

    def frames_of_thread(self, thread: int, rip: int, sp: int) -> tuple[Frame, ...]:
        """The same of a thread of `switch_to`."""
        if thread == self._thread:
            return self.frames(rip, sp)
        found = self._threads.get(thread) or _Thread()
        return self._frames(found.top, found.stack, rip, sp)

    def frames_of_stack(self, sp: int) -> tuple[Frame, ...]:
        """The frames of the code that left its stack with the stack pointer `sp`, from its caller on."""
        stack = self._find_stack(sp)
        top = None if stack is None else _settled(self._kept.get(stack), stack, sp)
        return () if top is None else _walked(top.below, top.return_address, top.caller_sp)

    def _frames(self, top: Call | None, current: Span | None, rip: int, sp: int) -> tuple[Frame, ...]:
        stack = self._find_stack(sp)
        if stack is None:  # RSP is lost; what was called is not
            return _walked(top, rip, sp)
        if stack != current and not _has(top, stack):
            top = self._kept.get(stack)
        return _walked(_settled(top, stack, sp), rip, sp)


def _walked(top: Call | None, rip: int, sp: int) -> tuple[Frame, ...]:
    found = []
    while top is not None:
        found.append(Frame(rip, sp, top.how, top.entry))
        rip, sp, top = top.return_address, top.caller_sp, top.below
    return (*found, Frame(rip, sp, Entered.START, None))


def _settled(top: Call | None, stack: Span, sp: int) -> Call | None:
    """The innermost call that is live when code runs on `stack` with the stack pointer `sp`."""
    if top is not None and top.stack != stack and not _has(top, stack):
        return top
    while top is not None and (top.stack != stack or top.caller_sp <= sp):
        top = top.below
    return top


def _live(top: Call | None, stack: Span, sp: int) -> Call | None:
    """The innermost call of `stack` that is live at `sp`; None if there is none."""
    while top is not None and (top.stack != stack or top.caller_sp <= sp):
        top = top.below
    return top


def _has(top: Call | None, stack: Span) -> bool:
    """Whether a caller of the chain uses `stack`."""
    while top is not None:
        if top.stack == stack:
            return True
        top = top.below
    return False
