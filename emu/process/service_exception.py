"""Implements the system services for exceptions and time."""

from __future__ import annotations

import struct

from .context import CONTEXT_SIZE, context_from_bytes, load_context
from .exceptions import EXCEPTION_RECORD_SIZE, record_from_bytes
from .outcome import Control, Crashed
from .peb import PERFORMANCE_FREQUENCY
from .services import Call, boolean, service
from .system import BOOT_TIME
from .winnt import Status


@service
def NtRaiseException(call: Call) -> Control:
    """Raises an exception with the context of the caller's choice."""
    record_at, context_at, chance = call.arguments
    process = call.process
    record = record_from_bytes(process.memory.read(record_at, EXCEPTION_RECORD_SIZE))
    data = process.memory.read(context_at, CONTEXT_SIZE)
    first_chance = boolean(chance)
    if not process.dispatches:  # the context is told as the caller captured it
        process.end(Crashed(call.thread, record, context_from_bytes(data), first_chance=first_chance))
        return Control.ENDED
    load_context(process.cpu, data)
    return Control.CONTINUES if process.raise_exception(call.thread, record, first_chance) else Control.ENDED


@service
def NtContinue(call: Call) -> Control:
    """Goes on with the context. There are no user APCs that TestAlert could deliver."""
    load_context(call.process.cpu, call.process.memory.read(call.arguments[0], CONTEXT_SIZE))
    return Control.CONTINUES


@service
def NtQuerySystemTime(call: Call) -> int:
    call.process.memory.put_u64(call.arguments[0], call.process.scheduler.now)
    return Status.SUCCESS


@service
def NtQueryPerformanceCounter(call: Call) -> int:
    counter_at, frequency_at = call.arguments
    # The counter runs at 10 MHz since boot: the same unit as the system time.
    call.process.memory.write(counter_at, struct.pack("<Q", call.process.scheduler.now - BOOT_TIME))
    if frequency_at:
        call.process.memory.put_u64(frequency_at, PERFORMANCE_FREQUENCY)
    return Status.SUCCESS
