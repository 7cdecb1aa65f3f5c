"""Models the handle table and the object namespace of the process.

Handle values are multiples of 4 from 4 up; a new handle gets the lowest free value. Bits 0 and 1 of a value are ignored
(ntdef.h, OBJ_HANDLE_TAGBITS). Names are those of the object manager for a process in session 1.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from heapq import heappop, heappush
from typing import TypeVar

from .ceilings import Ceilings
from .handle_trace import OperationType
from .objects import KernelObject
from .winnt import Status, StatusError

OBJ_PROTECT_CLOSE = 0x01  # ntdef.h, like the next three constants
OBJ_INHERIT = 0x02
OBJ_CASE_INSENSITIVE = 0x40
OBJ_OPENIF = 0x80

CURRENT_PROCESS = (1 << 64) - 1  # NtCurrentProcess() (HANDLE)-1
CURRENT_THREAD = (1 << 64) - 2  # NtCurrentThread() (HANDLE)-2

Kind = TypeVar("Kind", bound=KernelObject)


@dataclass(slots=True)
class HandleEntry:
    """One open handle."""

    object: KernelObject
    granted_access: int
    attributes: int
    """OBJ_PROTECT_CLOSE and OBJ_INHERIT only."""


class HandleTable:
    """The open handles of the process. ``meter`` limits their number."""

    def __init__(self, meter: Ceilings | None = None) -> None:
        self._meter = meter or Ceilings()
        self._entries: dict[int, HandleEntry] = {}
        self._free: list[int] = []  # a heap
        self._next = 4
        self.on_operation: Callable[[OperationType, int], None] | None = None
        """Called with every handle that is opened or closed, and with every invalid handle that is used."""

    def __iter__(self) -> Iterator[tuple[int, HandleEntry]]:
        """Ascending by value."""
        yield from sorted(self._entries.items())

    def admit(self) -> None:
        """Admit one more handle. A service calls it before it makes an object. Raises INSUFFICIENT_RESOURCES."""
        self._meter.admit("handles", len(self._entries))

    def insert(self, target: KernelObject, granted_access: int, attributes: int = 0) -> int:
        """Open a handle and return its value. ``granted_access`` has no generic rights (see ``KernelObject.grant``).

        Raises INSUFFICIENT_RESOURCES.
        """
        self.admit()
        if self._free:
            value = heappop(self._free)
        else:
            value, self._next = self._next, self._next + 4
        self._entries[value] = HandleEntry(target, granted_access, attributes & (OBJ_PROTECT_CLOSE | OBJ_INHERIT))
        target.handle_count += 1
        self._tell(OperationType.OPEN, value)
        return value

    def _tell(self, kind: OperationType, handle: int) -> None:
        if self.on_operation is not None:
            self.on_operation(kind, handle)

    def entry(self, handle: int) -> HandleEntry:
        """The entry of a handle. Raises StatusError (INVALID_HANDLE)."""
        entry = self._entries.get(handle & ~3)
        if entry is None:
            self._tell(OperationType.BAD_REFERENCE, handle)
            raise StatusError(Status.INVALID_HANDLE)
        return entry

    def get(self, handle: int, kind: type[Kind], access: int = 0) -> Kind:
        """The object of a handle.

        Raises INVALID_HANDLE, OBJECT_TYPE_MISMATCH unless it is a ``kind``, ACCESS_DENIED without all of ``access``.
        """
        entry = self.entry(handle)
        if not isinstance(entry.object, kind):
            raise StatusError(Status.OBJECT_TYPE_MISMATCH)
        if access & ~entry.granted_access:
            raise StatusError(Status.ACCESS_DENIED)
        return entry.object

    def close(self, handle: int) -> KernelObject:
        """Close a handle and return its object. The caller drops the object after its last handle.

        Raises INVALID_HANDLE.
        """
        entry = self.entry(handle)
        if entry.attributes & OBJ_PROTECT_CLOSE:
            raise StatusError(Status.INVALID_HANDLE)  # STATUS_HANDLE_NOT_CLOSABLE needs a debugger option
        value = handle & ~3
        del self._entries[value]
        heappush(self._free, value)
        entry.object.handle_count -= 1
        self._tell(OperationType.CLOSE, value)
        return entry.object


class Namespace:
    """Named objects. Lookup ignores case. Closing the last handle to an object removes its name.

    ``meter`` limits the length of all names.
    """

    def __init__(self, meter: Ceilings | None = None) -> None:
        self._meter = meter or Ceilings()
        self._bytes = 0
        self._named: dict[str, KernelObject] = {}

    def find(self, path: str) -> KernelObject | None:
        """The object with that path, or None."""
        return self._named.get(path.lower())

    def add(self, path: str, target: KernelObject) -> None:
        """Name ``target``. Raises INSUFFICIENT_RESOURCES."""
        self.charge(path)
        target.name = path
        self._named[path.lower()] = target

    def charge(self, name: str) -> None:
        """Add the length of a name. Raises INSUFFICIENT_RESOURCES."""
        self._meter.admit("names", self._bytes, 2 * len(name))
        self._bytes += 2 * len(name)

    def dropped(self, target: KernelObject) -> None:
        """Remove the name of ``target`` if it has no handle left. Called after a handle was closed."""
        if target.name is not None and target.handle_count == 0 and self.find(target.name) is target:
            del self._named[target.name.lower()]
            self._bytes -= 2 * len(target.name)


def object_path(name: str, root: str | None) -> str:
    """The full path of a name passed to a create or open service. ``root`` is the path of the root directory.

    Raises OBJECT_PATH_SYNTAX_BAD for a relative name without root or an absolute name with root, OBJECT_NAME_INVALID
    for an empty component (NtCreateEvent and similar, ntifs.h).
    """
    if (root is None) != name.startswith("\\"):
        raise StatusError(Status.OBJECT_PATH_SYNTAX_BAD)
    path = name if root is None else f"{root}\\{name}"
    if not all(path.split("\\")[1:]):
        raise StatusError(Status.OBJECT_NAME_INVALID)
    return path
