"""Records handle operations with their call stacks (PROCESSINFOCLASS ProcessHandleTracing)."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum

DEFAULT_SLOTS = 0x1000
"""Default number of operations that the kernel keeps. It drops the oldest first."""
MAXIMUM_SLOTS = 0x20000
MAXIMUM_STACKS = 16
"""ntpsapi.h PROCESS_HANDLE_TRACING_MAX_STACKS: maximum number of return addresses of one operation."""


class OperationType(IntEnum):
    """avrfsdk.h eHANDLE_TRACE_OPERATIONS."""

    OPEN = 1
    CLOSE = 2
    BAD_REFERENCE = 3


@dataclass(frozen=True, slots=True)
class Operation:
    """One handle operation."""

    handle: int
    thread_id: int
    type: OperationType
    index: int
    """Number of the operation since tracing began. Dropped operations count too."""
    return_addresses: tuple[int, ...]


class HandleTrace:
    """The last ``slots`` handle operations."""

    def __init__(self, slots: int = DEFAULT_SLOTS) -> None:
        self._kept: deque[Operation] = deque(maxlen=slots)
        self._count = 0

    def __iter__(self) -> Iterator[Operation]:
        """Oldest first."""
        return iter(self._kept)

    def record(self, kind: OperationType, handle: int, thread_id: int, return_addresses: tuple[int, ...]) -> None:
        """Add an operation. Drops the oldest one if all slots are in use."""
        self._kept.append(Operation(handle, thread_id, kind, self._count, return_addresses))
        self._count += 1
