"""Reads the event that a dump stores from structures in the target's memory (docs/format/dot-dump.md#stored-event).

The options of ``.dump`` name them: ``/xc`` a CONTEXT, ``/xr`` an EXCEPTION_RECORD, ``/xp`` an EXCEPTION_POINTERS
(winnt.h), ``/j`` a JIT_DEBUG_INFO (winbase.h), ``/xt`` a thread.
"""

from __future__ import annotations

import ctypes
import struct
from dataclasses import dataclass, replace
from typing import Any

from ..constants import Hresult
from ..request import DumpRefused
from ..snapshot.process import Context, ExceptionEvent, ProcessSnapshot, Thread
from ..snapshot.processor_state import REGISTERS
from ..writer.contexts import CONTEXTS

_NAMES = {"context": "xc", "record": "xr", "pointers": "xp", "thread": "xt", "jit": "j"}
_MAXIMUM_PARAMETERS = 15  # winnt.h EXCEPTION_MAXIMUM_PARAMETERS
_CONTEXT_XSTATE = 0x40
"""winnt.h: the bit of ContextFlags for extended state after the record, on amd64 and x86."""
_JIT_DEBUG_INFO = struct.Struct("<IIIIQQQ")


@dataclass(frozen=True, slots=True)
class EventSource:
    """Addresses in the target, and a thread id. None: not given."""

    context: int | None = None
    """Address of a CONTEXT."""
    record: int | None = None
    """Address of an EXCEPTION_RECORD."""
    pointers: int | None = None
    """Address of an EXCEPTION_POINTERS."""
    thread: int | None = None
    jit: int | None = None
    """Address of a JIT_DEBUG_INFO."""

    def given(self) -> list[str]:
        """The options of ``.dump`` that were given, without the slash."""
        return [option for name, option in _NAMES.items() if getattr(self, name) is not None]


def with_event(snapshot: ProcessSnapshot, source: EventSource) -> ProcessSnapshot:
    """Return the target with the event that ``source`` describes. Missing parts come from the target.

    - Thread: the given one, else the thread of the target's event, else the first thread.
    - Exception record: the given one, else that of the target's event.
    - Context: the given one, else that of the target's event if it is on this thread, else the context of the thread.

    Raises DumpRefused with ERROR_PARTIAL_COPY for memory that cannot be read. Raises it with E_INVALIDARG for an
    unknown thread, for a malformed structure, or without an exception record.
    """
    if not source.given():
        return snapshot
    own = snapshot.exception
    context, record, thread_id = source.context, source.record, source.thread
    if source.pointers is not None:
        record, context = _pointers(snapshot, source.pointers)
    if source.jit is not None:
        size, _, thread_id, _, _, record, context = _JIT_DEBUG_INFO.unpack(
            _read(snapshot, source.jit, _JIT_DEBUG_INFO.size, "JIT_DEBUG_INFO")
        )
        if size < _JIT_DEBUG_INFO.size:
            raise DumpRefused(
                Hresult.E_INVALIDARG,
                f"JIT_DEBUG_INFO {source.jit:#x}: dwSize is {size:#x}, expected at least {_JIT_DEBUG_INFO.size:#x}",
            )
    if thread_id is None and own is not None:
        thread_id = own.thread_id
    thread = _thread(snapshot, thread_id)
    if record is not None:
        event = _event(snapshot, record, thread)
    elif own is not None:
        event = own
    else:
        raise DumpRefused(
            Hresult.E_INVALIDARG, "no exception record: the target has no exception, and no address was given"
        )
    if context is not None:
        state = _context(snapshot, context)
    elif own is not None and thread.thread_id == own.thread_id:
        state = own.context
    else:
        state = thread.context
    return replace(snapshot, exception=replace(event, thread_id=thread.thread_id, context=state))


def _thread(snapshot: ProcessSnapshot, thread_id: int | None) -> Thread:
    for thread in snapshot.threads:
        if thread_id in (None, thread.thread_id):
            return thread
    wanted = "" if thread_id is None else f" {thread_id:#x}"
    raise DumpRefused(Hresult.E_INVALIDARG, f"the target has no thread{wanted}")


def _read(snapshot: ProcessSnapshot, address: int, size: int, what: str) -> bytes:
    data = snapshot.read(address, size)
    if data is None:
        raise DumpRefused(Hresult.ERROR_PARTIAL_COPY, f"{what} {address:#x}: {size} bytes cannot be read")
    return bytes(data)


def _pointers(snapshot: ProcessSnapshot, address: int) -> tuple[int, int]:
    """Return ExceptionRecord and ContextRecord of the EXCEPTION_POINTERS at ``address``."""
    form = "<QQ" if snapshot.system.pointer_size == 8 else "<II"
    record, context = struct.unpack(form, _read(snapshot, address, struct.calcsize(form), "EXCEPTION_POINTERS"))
    return record, context


def _event(snapshot: ProcessSnapshot, address: int, thread: Thread) -> ExceptionEvent:
    """Return the EXCEPTION_RECORD at ``address`` as an event of ``thread``."""
    wide = snapshot.system.pointer_size == 8
    head = "<IIQQI4x" if wide else "<IIIII"
    body = f"<{_MAXIMUM_PARAMETERS}{'Q' if wide else 'I'}"
    size = struct.calcsize(head)
    data = _read(snapshot, address, size + struct.calcsize(body), "EXCEPTION_RECORD")
    code, flags, record, place, count = struct.unpack_from(head, data)
    if count > _MAXIMUM_PARAMETERS:
        raise DumpRefused(
            Hresult.E_INVALIDARG,
            f"EXCEPTION_RECORD {address:#x}: {count} parameters, expected at most {_MAXIMUM_PARAMETERS}",
        )
    information = struct.unpack_from(body, data, size)[:count]
    return ExceptionEvent(thread.thread_id, code, flags, record, place, information, thread.context, first_chance=False)


def _context(snapshot: ProcessSnapshot, address: int) -> Context:
    """Return the CONTEXT at ``address``, without the extended state after it."""
    architecture = snapshot.system.architecture
    kind = CONTEXTS[architecture]
    found: Any = kind.from_buffer_copy(_read(snapshot, address, ctypes.sizeof(kind), "CONTEXT"))

    def register(name: str) -> int:
        array = name[:3]
        if architecture == "arm64" and array in ("Bcr", "Bvr", "Wcr", "Wvr"):
            return int(getattr(found, array)[int(name[3:])])
        return int(getattr(found, name))

    registers = tuple((name, register(name)) for name in REGISTERS[architecture])
    if architecture == "arm64":
        return Context(registers, b"", found.ContextFlags, v=bytes(found.V))
    flags = found.ContextFlags & ~_CONTEXT_XSTATE
    if architecture == "x86":
        return Context(registers, bytes(found.ExtendedRegisters), flags, float_save=bytes(found.FloatSave))
    return Context(registers, bytes(found.FltSave), flags)
