"""The handle table and the object namespace of the process.

Handle values are multiples of 4 from 4 up, the lowest free one first; bits 0 and 1 of a value are ignored (ntdef.h,
OBJ_HANDLE_TAGBITS). Names: the object manager's, as Windows gives them to a process in session 1.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeVar

from .handle_trace import OperationType
from .objects import KernelObject
from .winnt import Status, StatusError

OBJ_PROTECT_CLOSE = 0x01  # ntdef.h, as the next three
OBJ_INHERIT = 0x02
OBJ_CASE_INSENSITIVE = 0x40
OBJ_OPENIF = 0x80

CURRENT_PROCESS = (1 << 64) - 1  # NtCurrentProcess() (HANDLE)-1
CURRENT_THREAD = (1 << 64) - 2  # NtCurrentThread() (HANDLE)-2

Kind = TypeVar("Kind", bound=KernelObject)


@dataclass(slots=True)
class HandleEntry:
    object: KernelObject
    granted_access: int
    attributes: int
    """OBJ_PROTECT_CLOSE and OBJ_INHERIT only."""


class HandleTable:
    def __init__(self) -> None:
        self._entries: dict[int, HandleEntry] = {}
        self._free: list[int] = []
        self._next = 4
        self.on_operation: Callable[[OperationType, int], None] | None = None
        """Is told of every handle that is made, closed, or used though it is none."""

    def __iter__(self) -> Iterator[tuple[int, HandleEntry]]:
        """Ascending by value."""
        yield from sorted(self._entries.items())

    def insert(self, target: KernelObject, granted_access: int, attributes: int = 0) -> int:
        """A new handle. ``granted_access`` is final: generic rights are mapped already."""
        if self._free:
            value = min(self._free)
            self._free.remove(value)
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
        """Raises StatusError (INVALID_HANDLE)."""
        entry = self._entries.get(handle & ~3)
        if entry is None:
            self._tell(OperationType.BAD_REFERENCE, handle)
            raise StatusError(Status.INVALID_HANDLE)
        return entry

    def get(self, handle: int, kind: type[Kind], access: int = 0) -> Kind:
        """The object, of that type, with at least ``access``; INVALID_HANDLE, OBJECT_TYPE_MISMATCH or ACCESS_DENIED."""
        entry = self.entry(handle)
        if not isinstance(entry.object, kind):
            raise StatusError(Status.OBJECT_TYPE_MISMATCH)
        if access & ~entry.granted_access:
            raise StatusError(Status.ACCESS_DENIED)
        return entry.object

    def close(self, handle: int) -> KernelObject:
        """Returns the object, which the caller drops when its last handle is gone."""
        entry = self.entry(handle)
        if entry.attributes & OBJ_PROTECT_CLOSE:
            raise StatusError(Status.INVALID_HANDLE)  # STATUS_HANDLE_NOT_CLOSABLE only with a debugger option set
        value = handle & ~3
        del self._entries[value]
        self._free.append(value)
        entry.object.handle_count -= 1
        self._tell(OperationType.CLOSE, value)
        return entry.object


class Namespace:
    """Named objects, found without regard to case. A name goes with the last handle to its object."""

    def __init__(self) -> None:
        self._named: dict[str, KernelObject] = {}

    def find(self, path: str) -> KernelObject | None:
        return self._named.get(path.lower())

    def add(self, path: str, target: KernelObject) -> None:
        target.name = path
        self._named[path.lower()] = target

    def dropped(self, target: KernelObject) -> None:
        """To be called when a handle to ``target`` was closed."""
        if target.name is not None and target.handle_count == 0 and self.find(target.name) is target:
            del self._named[target.name.lower()]


def object_path(name: str, root: str | None) -> str:
    """The full path of a name given to a create or open service, below ``root`` when a root directory is given.

    OBJECT_PATH_SYNTAX_BAD for a relative name without a root or an absolute one with it, OBJECT_NAME_INVALID for an
    empty component (NtCreateEvent and kin, ntifs.h).
    """
    if (root is None) != name.startswith("\\"):
        raise StatusError(Status.OBJECT_PATH_SYNTAX_BAD)
    path = name if root is None else f"{root}\\{name}"
    if not all(path.split("\\")[1:]):
        raise StatusError(Status.OBJECT_NAME_INVALID)
    return path
