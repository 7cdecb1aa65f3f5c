"""Creates and frees the stack and the TEB of a thread."""

from __future__ import annotations

import contextlib

from ..constants import MEM_COMMIT, MEM_RESERVE, PAGE_GUARD, PAGE_READWRITE
from .address_space import page_ceiling
from .layouts import TEB, TEB_SIZE, Structure
from .memory import GuestMemory
from .objects import Stack
from .winnt import MEM_DECOMMIT, MEM_RELEASE, PAGE_SIZE, StatusError

MINIMUM_COMMIT = 0x4000
NORMAL_BASE_PRIORITY = 8  # NORMAL_PRIORITY_CLASS


def create_stack(memory: GuestMemory, low: int, reserve: int, commit: int, *, guarantee: int = 0) -> tuple[Stack, int]:
    """Reserve a stack at or above ``low`` and commit its top with a guard page below. Returns (stack, StackLimit).

    ``guarantee`` is the least room that a stack overflow leaves for its handler.
    Sizes are in bytes, rounded as Windows does (CreateThread reference, "Thread Stack Size"). Raises StatusError.
    """
    commit = page_ceiling(max(commit, MINIMUM_COMMIT))
    if commit + 2 * PAGE_SIZE > reserve:
        reserve = (commit + 2 * PAGE_SIZE + 0xFFFFF) & ~0xFFFFF
    reserve = (reserve + 0xFFFF) & ~0xFFFF
    space = memory.space
    allocation, _ = space.allocate(space.find_free(reserve, low), reserve, MEM_RESERVE, PAGE_READWRITE)
    limit = allocation + reserve - commit
    try:
        space.allocate(limit, commit, MEM_COMMIT, PAGE_READWRITE)
        space.allocate(limit - PAGE_SIZE, PAGE_SIZE, MEM_COMMIT, PAGE_READWRITE | PAGE_GUARD)
    except StatusError:
        space.free(allocation, 0, MEM_RELEASE)
        raise
    return Stack(allocation, allocation + reserve, guarantee), limit


def write_teb(
    memory: GuestMemory, address: int, stack: Stack, *, limit: int, peb: int, client: tuple[int, int]
) -> None:
    """Fill a zeroed TEB. ``limit`` is the StackLimit, ``client`` is (process id, thread id)."""
    teb = Structure(memory, address, TEB)
    teb["NtTib.StackBase"] = stack.base
    teb["NtTib.StackLimit"] = limit
    teb["NtTib.FiberData"] = 0x1E00  # NtTib.Version, in the union with FiberData
    teb["NtTib.Self"] = address
    for prefix in ("ClientId", "RealClientId"):
        teb[f"{prefix}.UniqueProcess"], teb[f"{prefix}.UniqueThread"] = client
    teb["ProcessEnvironmentBlock"] = peb
    teb["CurrentLocale"] = 0x409
    teb["StaticUnicodeString.MaximumLength"] = 0x20A
    teb["StaticUnicodeString.Buffer"] = teb.at("StaticUnicodeBuffer")
    teb["DeallocationStack"] = stack.allocation


def free_stack(memory: GuestMemory, stack: Stack) -> None:
    """Free the stack. Does nothing if the program has freed it already."""
    with contextlib.suppress(StatusError):
        memory.space.free(stack.allocation, 0, MEM_RELEASE)


def free_teb(memory: GuestMemory, address: int) -> None:
    """Decommit the pages of a TEB."""
    memory.space.free(address, TEB_SIZE, MEM_DECOMMIT)
