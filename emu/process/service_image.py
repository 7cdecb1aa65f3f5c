"""Implements the system services for ntdll's loader, which Windows does not have (`Ntx` rows of services.toml)."""

from __future__ import annotations

from ..image import ImageError
from .missing_imports import describe
from .outcome import Control, RunError
from .services import Call, service, u32
from .winnt import Status, StatusError


@service
def NtxDebugPrint(call: Call) -> int:
    text, length = call.arguments
    process, length = call.process, u32(length)
    process.memory.probe_read(text, length)
    process.debug_output += process.memory.read(text, process.meter.keep("debug", process.debug_output, length))
    return Status.SUCCESS


@service
def NtxMapDll(call: Call) -> int:
    name_at, base_at = call.arguments
    process = call.process
    name = process.memory.unicode_string(name_at)
    process.memory.probe_write(base_at, 8)
    try:
        module = process.loader.load_dll(name, process.scheduler.now)
    except ImageError:
        raise StatusError(Status.INVALID_IMAGE_FORMAT) from None
    process.memory.put_u64(base_at, module.base)
    return Status.SUCCESS


@service
def NtxReleaseDll(call: Call) -> int:
    base, entry_at = call.arguments
    call.process.memory.probe_write(entry_at, 8)
    last, module = call.process.loader.release(base)
    if not last:
        return Status.PENDING
    call.process.memory.put_u64(entry_at, module.entry_point)
    return Status.SUCCESS


@service
def NtxUnmapDll(call: Call) -> int:
    call.process.loader.unmap(call.arguments[0])
    return Status.SUCCESS


@service
def NtxNextInitRoutine(call: Call) -> int:
    entry_at, base_at = call.arguments
    memory = call.process.memory
    memory.probe_write(entry_at, 8)
    memory.probe_write(base_at, 8)
    module = call.process.loader.next_init_routine()
    if module is None:
        return Status.NO_MORE_ENTRIES
    memory.put_u64(entry_at, module.entry_point)
    memory.put_u64(base_at, module.base)
    return Status.SUCCESS


@service
def NtxMissingImport(call: Call) -> Control:
    missing = call.process.loader.missing
    index = u32(call.arguments[0])
    if index >= len(missing):
        raise StatusError(Status.INVALID_PARAMETER)
    raise RunError(describe(missing, missing[index]))
