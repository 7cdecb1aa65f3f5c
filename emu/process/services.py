"""Calls the Python function that implements a system service.

Numbers, names and argument counts come from emu/images/services.toml. A service returns an NTSTATUS, or a ``Control``
if the calling thread does not continue at once. A ``StatusError`` ends it with that status, for example
ACCESS_VIOLATION for a bad pointer.
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
    """One service call. ``arguments`` are 64-bit values. The upper half of a 32-bit parameter is undefined."""

    process: Process
    thread: Thread
    arguments: tuple[int, ...]


Handler = Callable[[Call], int | Control]

_handlers: dict[str, Handler] = {}


def service(handler: Handler) -> Handler:
    """Register the function under its name, which must be in services.toml."""
    _handlers[handler.__name__] = handler
    return handler


class ServiceTable:
    """Every service of services.toml with its function. Raises KeyError for a service without function."""

    def __init__(self) -> None:
        self._by_number = {row.number: (row, _handlers[row.name]) for row in services()}

    def find(self, number: int) -> tuple[Service, Handler] | None:
        """The service with that number and its function, or None."""
        return self._by_number.get(number)

    def serve(self, process: Process, thread: Thread, number: int) -> int | Control | None:
        """Run a system call of the running thread. Returns an NTSTATUS or a Control; None if no service has the number.

        Raises StatusError and PageNotPresent.
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
    # [RSP] holds the stub's return address. 0x20 bytes of home space follow.
    at = process.cpu.get("Rsp") + 0x28
    return registers + tuple(process.memory.u64(at + 8 * n) for n in range(count - 4))


# --- decoding of arguments


def u32(value: int) -> int:
    return value & 0xFFFFFFFF


def boolean(value: int) -> bool:
    """BOOLEAN is one byte."""
    return bool(value & 0xFF)


def s32(value: int) -> int:
    return ((value & 0xFFFFFFFF) ^ 0x80000000) - 0x80000000


def own_process(call: Call, handle: int) -> None:
    """Check that the handle refers to the only process: a pseudo handle or a process handle. Raises StatusError."""
    if handle != CURRENT_PROCESS:
        call.process.handles.get(handle, ProcessObject)


@dataclass(frozen=True, slots=True)
class ObjectAttributes:
    """OBJECT_ATTRIBUTES (ntdef.h). ``name`` is None without an ObjectName."""

    root: int
    name: str | None
    attributes: int


def object_attributes(call: Call, address: int) -> ObjectAttributes:
    """Read OBJECT_ATTRIBUTES; NULL means no attributes. Raises INVALID_PARAMETER unless Length is 0x30.

    Offsets (ntdef.h, amd64): Length 0, RootDirectory 8, ObjectName 0x10, Attributes 0x18.
    """
    if not address:
        return ObjectAttributes(0, None, 0)
    memory = call.process.memory
    if memory.u32(address) != 0x30:
        raise StatusError(Status.INVALID_PARAMETER)
    root, name = memory.u64(address + 8), memory.u64(address + 0x10)
    return ObjectAttributes(root, memory.unicode_string(name) if name else None, memory.u32(address + 0x18))


def path_of(call: Call, attributes: ObjectAttributes) -> str | None:
    """The object manager path of the attributes, None for an unnamed object."""
    if not attributes.name:
        return None
    root = call.process.handles.get(attributes.root, KernelObject).name if attributes.root else None
    return object_path(attributes.name, root)
