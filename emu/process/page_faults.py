"""What the memory manager does about a page fault before anybody hears of an exception."""

from __future__ import annotations

from ..constants import MEM_COMMIT, PAGE_GUARD, PAGE_READWRITE
from .address_space import USER_END, page_floor
from .layouts import TEB, Structure
from .memory import GuestMemory
from .objects import Thread
from .winnt import PAGE_SIZE, Status, StatusError


def page_fault(memory: GuestMemory, thread: Thread, address: int, *, write: bool) -> Status | None:
    """None when the instruction can be tried again, else what the exception is."""
    if address >= USER_END:
        return Status.ACCESS_VIOLATION
    if memory.space.protection(address) & PAGE_GUARD:
        return guard_page(memory, thread, address)
    if write and memory.copy_on_write(address):
        return None
    return Status.ACCESS_VIOLATION


def guard_page(memory: GuestMemory, thread: Thread, address: int) -> Status | None:
    """A guard page is one-shot: the bit goes, then the stack grows (None) or the exception is raised.

    winnt.h PAGE_GUARD; WRK MiCheckForUserStackOverflow.
    """
    space = memory.space
    page = page_floor(address)
    space.set_protection(page, page + PAGE_SIZE, space.protection(page) & ~PAGE_GUARD)
    if not thread.stack.allocation <= page < thread.stack.base:
        return Status.GUARD_PAGE_VIOLATION
    Structure(memory, thread.teb, TEB)["NtTib.StackLimit"] = thread.stack_limit = page
    below = page - PAGE_SIZE
    if below <= thread.stack.allocation:
        # The lowest page of a stack is never committed; here the last guard page is used up.
        return Status.STACK_OVERFLOW
    try:
        space.allocate(below, PAGE_SIZE, MEM_COMMIT, PAGE_READWRITE | PAGE_GUARD)
    except StatusError:
        return Status.STACK_OVERFLOW
    return None
