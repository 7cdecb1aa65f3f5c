"""Handles page faults of user code as the memory manager does: guard pages, stack growth, copy on write."""

from __future__ import annotations

from ..constants import MEM_COMMIT, PAGE_GUARD, PAGE_READWRITE
from .address_space import USER_END, page_floor
from .layouts import TEB, Structure
from .memory import GuestMemory
from .objects import Thread
from .winnt import PAGE_SIZE, Status, StatusError


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

    The first access clears the PAGE_GUARD bit. Sources: winnt.h PAGE_GUARD; Windows Research Kernel,
    MiCheckForUserStackOverflow.
    """
    space = memory.space
    page = page_floor(address)
    space.set_protection(page, page + PAGE_SIZE, space.protection(page) & ~PAGE_GUARD)
    if not thread.stack.allocation <= page < thread.stack.base:
        return Status.GUARD_PAGE_VIOLATION
    Structure(memory, thread.teb, TEB)["NtTib.StackLimit"] = thread.stack_limit = page
    below = page - PAGE_SIZE
    if below <= thread.stack.allocation:
        # The lowest page of a stack is never committed, so there is no further guard page.
        return Status.STACK_OVERFLOW
    try:
        space.allocate(below, PAGE_SIZE, MEM_COMMIT, PAGE_READWRITE | PAGE_GUARD)
    except StatusError:
        return Status.STACK_OVERFLOW
    return None
