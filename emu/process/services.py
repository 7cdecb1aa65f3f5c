"""System services: from a SYSCALL instruction to the Python function that answers it.

Numbers, names and argument counts come from the one table, emu/images/services.toml. A service returns an NTSTATUS, or
a ``Control`` when the calling thread does not go on at once. ``StatusError`` ends it with that status; a bad pointer of
the caller's is one (ACCESS_VIOLATION).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ..images.services import Service, services
from .handles import CURRENT_PROCESS, object_path
from .objects import KernelObject, ProcessObject, Thread
from .outcome import Control
from .process import Process
from .winnt import Status, StatusError


@dataclass(frozen=True, slots=True)
class Call:
    """One service call. ``arguments`` are 64-bit values; their upper halves are undefined for 32-bit parameters."""

    process: Process
    thread: Thread
    arguments: tuple[int, ...]


Handler = Callable[[Call], int | Control]

_handlers: dict[str, Handler] = {}


def service(handler: Handler) -> Handler:
    """Register the function under its own name, which must be one of the table's."""
    _handlers[handler.__name__] = handler
    return handler


class ServiceTable:
    """Every service of the table with its function. Raises KeyError when a service has none."""

    def __init__(self) -> None:
        self._by_number = {row.number: (row, _handlers[row.name]) for row in services()}

    def find(self, number: int) -> tuple[Service, Handler] | None:
        return self._by_number.get(number)

    def serve(self, process: Process, thread: Thread, number: int) -> int | Control | None:
        """Answer a system call of the running thread: an NTSTATUS or a Control; None when no service has the number.

        Raises StatusError and PageNotPresent, as the service does.
        """
        found = self.find(number)
        if found is None:
            return None
        row, handler = found
        return handler(Call(process, thread, _arguments(process, row.arguments)))


def _arguments(process: Process, count: int) -> tuple[int, ...]:
    registers = tuple(process.cpu.get(name) for name in ("R10", "Rdx", "R8", "R9")[:count])
    if count <= 4:
        return registers
    # [RSP] is the stub's return address, then 0x20 bytes of home space.
    at = process.cpu.get("Rsp") + 0x28
    return registers + tuple(process.memory.u64(at + 8 * n) for n in range(count - 4))


# --- what arguments mean


def u32(value: int) -> int:
    return value & 0xFFFFFFFF


def boolean(value: int) -> bool:
    """BOOLEAN is one byte."""
    return bool(value & 0xFF)


def s32(value: int) -> int:
    return ((value & 0xFFFFFFFF) ^ 0x80000000) - 0x80000000


def own_process(call: Call, handle: int) -> None:
    """There is only one process: the handle must be the pseudo handle or a handle to it."""
    if handle != CURRENT_PROCESS:
        call.process.handles.get(handle, ProcessObject)


@dataclass(frozen=True, slots=True)
class ObjectAttributes:
    """OBJECT_ATTRIBUTES (ntdef.h); ``name`` is None when there is none."""

    root: int
    name: str | None
    attributes: int


def object_attributes(call: Call, address: int) -> ObjectAttributes:
    """Length 0x30 at 0, RootDirectory 8, ObjectName 0x10, Attributes 0x18 (ntdef.h, amd64). NULL means none."""
    if not address:
        return ObjectAttributes(0, None, 0)
    memory = call.process.memory
    if memory.u32(address) != 0x30:
        raise StatusError(Status.INVALID_PARAMETER)
    root, name = memory.u64(address + 8), memory.u64(address + 0x10)
    return ObjectAttributes(root, memory.unicode_string(name) if name else None, memory.u32(address + 0x18))


def path_of(call: Call, attributes: ObjectAttributes) -> str | None:
    """The object manager path that the attributes name, None for an unnamed object."""
    if not attributes.name:
        return None
    root = call.process.handles.get(attributes.root, KernelObject).name if attributes.root else None
    return object_path(attributes.name, root)
