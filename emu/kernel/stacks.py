"""Tells which stack a stack pointer uses: a kernel stack of the machine, or the stack of a user thread."""

from __future__ import annotations

from bisect import bisect_left

from ..machine.cpu import Cpu
from ..machine.paging import FRAME
from ..machine.shadow_stack import FindStack, Span
from .boot import Boot
from .user_space import STACK_RESERVE

_USER_END = 1 << 47


def stack_finder(boot: Boot, cpu: Cpu) -> FindStack:
    """The stacks that code on ``cpu`` can use. Kernel stacks belong to every address space."""
    stacks = sorted(boot.stacks)
    ends = [end for _, end in stacks]

    def find(sp: int) -> Span | None:
        if sp < _USER_END:
            start = (sp - 1) & -STACK_RESERVE
            return start, start + STACK_RESERVE, cpu.get("Cr3") & FRAME
        index = bisect_left(ends, sp)
        if index == len(stacks) or sp <= stacks[index][0]:
            return None
        return (*stacks[index], 0)

    return find
