"""Handles page faults of user code as the memory manager does: guard pages, stack growth, copy on write."""

from __future__ import annotations

import contextlib

from ..constants import MEM_COMMIT, PAGE_GUARD, PAGE_READWRITE
from .address_space import USER_END, page_ceiling, page_floor
from .layouts import TEB, Structure
from .memory import WRITABLE, GuestMemory
from .objects import Thread
from .winnt import PAGE_SIZE, Status, StatusError

MINIMUM_GUARANTEE = 2 * PAGE_SIZE
"""Room that stays for the handler of a stack overflow, where the process handles exceptions.

The CRT's _resetstkoflw rebuilds a guard region of at least two pages. SetThreadStackGuarantee asks for more.
"""


def page_fault(memory: GuestMemory, thread: Thread, address: int, *, write: bool) -> Status | None:
    """Handle a page fault. None to retry the instruction, else the exception code."""
    if address >= USER_END:
        return Status.ACCESS_VIOLATION
    if memory.space.protection(address) & PAGE_GUARD:
        return guard_page(memory, thread, address)
    if write and memory.copy_on_write(address):
        return None
    return Status.ACCESS_VIOLATION


def guard_page(memory: GuestMemory, thread: Thread, address: int) -> Status | None:
    """Handle an access to a guard page. Returns None if the stack grew, else the exception code.

    The first access clears the PAGE_GUARD bit. When the stack overflows, the guaranteed room at its low end is
    committed. Sources: winnt.h PAGE_GUARD; Windows Research Kernel, MiCheckForUserStackOverflow.
    """
    space = memory.space
    page = page_floor(address)
    space.set_protection(page, page + PAGE_SIZE, space.protection(page) & ~PAGE_GUARD)
    if not thread.stack.allocation <= page < thread.stack.base:
        return Status.GUARD_PAGE_VIOLATION
    below = page - PAGE_SIZE
    if below - _guarantee(memory, thread) <= thread.stack.allocation:
        # The lowest page of a stack is never committed, so there is no further guard page.
        lowest = thread.stack.allocation + PAGE_SIZE
        with contextlib.suppress(StatusError):
            if lowest < page:
                space.allocate(lowest, page - lowest, MEM_COMMIT, PAGE_READWRITE)
                page = lowest
        _set_stack_limit(memory, thread, page)
        return Status.STACK_OVERFLOW
    _set_stack_limit(memory, thread, page)
    try:
        space.allocate(below, PAGE_SIZE, MEM_COMMIT, PAGE_READWRITE | PAGE_GUARD)
    except StatusError:
        return Status.STACK_OVERFLOW
    return None


def _set_stack_limit(memory: GuestMemory, thread: Thread, limit: int) -> None:
    Structure(memory, thread.teb, TEB)["NtTib.StackLimit"] = thread.stack_limit = limit


def _guarantee(memory: GuestMemory, thread: Thread) -> int:
    """The room for the handler of a stack overflow; 0 in a process without handlers."""
    if not thread.stack.guarantee:
        return 0
    return max(thread.stack.guarantee, page_ceiling(Structure(memory, thread.teb, TEB)["GuaranteedStackBytes"]))


def make_writable(memory: GuestMemory, thread: Thread, address: int, size: int) -> tuple[Status, int] | None:
    """Grow the stack and copy pages as writes to ``[address, address + size)`` would. None if each write can go on.

    Else the exception code and the address of the first write that fails, from the highest page down.
    """
    if address < 0 or address + size > USER_END:
        return Status.ACCESS_VIOLATION, address
    space = memory.space
    for page in range(page_floor(address + size - 1), page_floor(address) - 1, -PAGE_SIZE):
        if not space.protection(page) & PAGE_GUARD and space.protection(page) & WRITABLE:
            continue
        at = max(page, address)
        status = page_fault(memory, thread, at, write=True)
        if status is not None:
            return status, at
    return None
