"""Implements the system services for exceptions and time."""

from __future__ import annotations

import struct

from .context import CONTEXT_SIZE, context_from_bytes
from .exceptions import EXCEPTION_RECORD_SIZE, record_from_bytes
from .outcome import Control, Crashed
from .peb import PERFORMANCE_FREQUENCY
from .services import Call, boolean, service
from .system import BOOT_TIME
from .winnt import Status


@service
def NtRaiseException(call: Call) -> Control:
    """Ends the run, because the debugger sees every raised exception first."""
    record_at, context_at, first_chance = call.arguments
    memory = call.process.memory
    record = record_from_bytes(memory.read(record_at, EXCEPTION_RECORD_SIZE))
    context = context_from_bytes(memory.read(context_at, CONTEXT_SIZE))
    call.process.end(Crashed(call.thread, record, context, first_chance=boolean(first_chance)))
    return Control.ENDED


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
