"""The facts of the protocol as the writer's target has them: what an honest reader of its dump would report.

They come from the snapshot, and share nothing with the judge, which reads them from the file.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from typing import Any
from uuid import UUID

from dumptruth.emu.snapshot.kernel import KernelSnapshot
from dumptruth.emu.snapshot.process import Context, Module, ProcessSnapshot

_DEBUG = ("Dr0", "Dr1", "Dr2", "Dr3", "Dr6", "Dr7")
_DEBUG_REGISTERS = 0x10
"""winnt.h CONTEXT_DEBUG_REGISTERS of amd64."""
_EPOCH = 11_644_473_600
"""Seconds from 1601 to 1970."""
_AVX = 2
_PAGE = 0x1000

Item = dict[str, Any]


def process_facts(target: ProcessSnapshot, memory: Iterable[tuple[int, bytes]]) -> Item:
    """``memory``: the captured ranges. For an amd64 process."""
    event = target.exception
    assert event is not None
    return {
        "architecture": target.system.architecture,
        "dump_kind": "minidump",
        "exception": {
            "thread_id": event.thread_id, "code": event.code, "flags": event.flags, "next_record": event.record,
            "address": hex(event.address), "parameters": list(event.information),
        },
        "exception_context": _registers(event.context),
        "threads": [
            {
                "thread_id": thread.thread_id, "teb": hex(thread.teb), "suspend_count": thread.suspend_count,
                "priority_class": thread.priority_class, "priority": thread.priority,
                "instruction_pointer": thread.context["Rip"], "stack_pointer": thread.context["Rsp"],
                "exit_status": thread.exit_status, "create_time": thread.create_time, "exit_time": thread.exit_time,
                "kernel_time": thread.kernel_time, "user_time": thread.user_time,
                "start_address": thread.start_address, "affinity": thread.affinity, "name": thread.name,
            }
            for thread in target.threads
        ],
        "registers": [{"thread_id": thread.thread_id, **_registers(thread.context)} for thread in target.threads],
        "modules": [_module(module) for module in target.modules],
        "unloaded_modules": [
            {
                "base": module.base, "size": module.size, "name": module.name, "checksum": module.checksum,
                "time_stamp": module.time_date_stamp,
            }
            for module in target.unloaded_modules
        ],
        "handles": [
            {
                "handle": handle.value, "type": handle.type_name, "name": handle.object_name,
                "attributes": handle.attributes, "granted_access": handle.granted_access,
                "handle_count": handle.handle_count, "pointer_count": handle.pointer_count,
            }
            for handle in target.handles
        ],
        "handle_operations": [
            {
                "handle": done.handle, "process_id": done.process_id, "thread_id": done.thread_id,
                "operation": done.operation_type, "frames": list(done.return_addresses),
            }
            for done in target.handle_operations
        ],
        "regions": [
            {
                "base": region.base, "size": region.size, "state": region.state, "protect": region.protect,
                "type": region.type, "allocation_base": region.allocation_base,
                "allocation_protect": region.allocation_protect,
            }
            for region in target.regions
        ],
        "function_tables": [
            {
                "base": table.base_address, "start": table.minimum_address, "end": table.maximum_address,
                "entries": len(table.entries),
            }
            for table in target.function_tables
        ],
        "tokens": [{"token_id": token.token_id, "handle": token.handle} for token in target.tokens],
        "system": _system(target),
        "process": _process(target),
        "system_memory": {
            "page_size": _PAGE, "physical_pages": target.system.number_of_physical_pages,
            "available_pages": target.system.available_pages, "committed_pages": target.system.committed_pages,
            "commit_limit": target.system.commit_limit, "peak_commitment": target.system.peak_commitment,
        },
        "memory_counters": {
            "page_faults": target.process.vm.page_fault_count, "working_set": target.process.vm.working_set_size,
            "peak_working_set": target.process.vm.peak_working_set_size, "pagefile": target.process.vm.pagefile_usage,
            "peak_pagefile": target.process.vm.peak_pagefile_usage, "private": target.process.vm.private_usage,
        },
        "time_stamp": target.time // 10_000_000 - _EPOCH,
        "extra": {"image_base": target.modules[0].base, "command_line": target.process.command_line},
        "memory": [page for start, data in memory for page in _pages(start, data)],
    }  # fmt: skip


def _registers(context: Context) -> Item:
    """The registers of an amd64 context, from its FXSAVE image (Intel SDM volume 1, 10.5.1) and its AVX component."""
    image, state = context.fxsave, dict(context.xstate or ())
    low = [int.from_bytes(image[160 + 16 * index :][:16], "little") for index in range(16)]
    vector = {f"Xmm{index}": hex(value) for index, value in enumerate(low)} | {"MxCsr": context["MxCsr"]}
    if _AVX in state:
        for index in range(16):
            high = int.from_bytes(state[_AVX][16 * index :][:16], "little")
            vector[f"Ymm{index}"] = hex(low[index] | high << 128)
    return {
        "general": {name: hex(value) for name, value in context.registers if name not in _DEBUG and name != "MxCsr"},
        "debug": {name: context[name] for name in _DEBUG if context.context_flags & _DEBUG_REGISTERS},
        "x87": {"ControlWord": int.from_bytes(image[:2], "little")}
        | {f"St{index}": hex(int.from_bytes(image[32 + 16 * index :][:10], "little")) for index in range(8)},
        "vector": vector,
    }


def _module(module: Module) -> Item:
    item: Item = {
        "base": module.base, "size": module.size, "name": module.name, "checksum": module.checksum,
        "time_stamp": module.time_date_stamp,
    }  # fmt: skip
    if module.code_view is not None:
        record = module.code_view.record
        item |= {
            "codeview": record[:4].decode(), "pdb_guid": str(UUID(bytes_le=record[4:20])).upper(),
            "pdb_age": int.from_bytes(record[20:24], "little"), "pdb_name": record[24:].rstrip(b"\0").decode(),
        }  # fmt: skip
    if module.version_info is not None:
        # verrsrc.h VS_FIXEDFILEINFO: words 2 and 3 are the file version, 4 and 5 the product version
        for name, at in (("file_version", 2), ("product_version", 4)):
            words = module.version_info[at : at + 2]
            item[name] = ".".join(str(part) for word in words for part in (word >> 16, word & 0xFFFF))
    return item


def _system(target: ProcessSnapshot) -> Item:
    of = target.system
    return {
        "processors": of.number_of_processors, "processor_level": of.processor_level,
        "processor_revision": of.processor_revision, "major_version": of.major_version,
        "minor_version": of.minor_version, "build": of.build_number, "platform_id": 2, "product_type": of.product_type,
        "suite_mask": of.suite_mask, "service_pack": of.csd_version, "cpu_features": list(of.processor_features or ()),
    }  # fmt: skip


def _process(target: ProcessSnapshot) -> Item:
    of, system = target.process, target.system
    return {
        "process_id": of.process_id, "create_time": of.create_time // 10_000_000 - _EPOCH,
        "user_time": of.user_time // 10_000_000, "kernel_time": of.kernel_time // 10_000_000,
        "max_mhz": system.processor_max_mhz, "current_mhz": system.processor_current_mhz,
        "integrity_level": of.integrity_level, "execute_flags": of.execute_flags, "protected": of.protected,
        "cookie": of.cookie, "time_zone_id": system.time_zone_id, "time_zone_bias": system.time_zone_bias,
        "standard_name": system.standard_name, "daylight_name": system.daylight_name,
        "build_string": system.build_string,
    }  # fmt: skip


def machine_facts(target: KernelSnapshot) -> Item:
    """For a complete dump of an amd64 machine."""
    crashed = target.processors[target.crashing_processor]
    return {
        "architecture": "amd64",
        "dump_kind": "complete",
        "bug_check": {"code": target.bug_check.code, "parameters": list(target.bug_check.parameters)},
        "machine": {
            "processors": len(target.processors), "major_version": target.system.major_version,
            "build": target.system.build_number, "machine_type": 0x8664, "product_type": target.system.product_type,
            "suite_mask": target.system.suite_mask, "system_time": target.time, "up_time": target.up_time,
            "directory_table_base": target.directory_table_base, "pfn_database": target.symbols.mm_pfn_database,
            "loaded_module_list": target.symbols.ps_loaded_module_list,
            "active_process_head": target.symbols.ps_active_process_head,
            "debugger_data": target.symbols.kd_debugger_data_block, "kernel_base": target.symbols.kernel_base,
        },
        "exception": _bug_check_exception(target),
        "context": _registers(crashed.context),
        "processors": [
            {
                "number": processor.number,
                "general": _registers(processor.context)["general"],
                "special": dict(processor.special_registers),
            }
            for processor in target.processors
        ],
        "drivers": [
            {
                "base": driver.base, "size": driver.size, "name": driver.base_name, "entry_point": driver.entry_point,
                "checksum": driver.checksum, "time_stamp": driver.time_date_stamp,
            }
            for driver in target.drivers
        ],
        "unloaded_drivers": [
            {"start": driver.start, "end": driver.end, "name": driver.name} for driver in target.unloaded_drivers
        ],
        "processes": [
            {
                "process": process.process, "process_id": process.process_id, "name": process.image_file_name,
                "directory_table_base": process.directory_table_base,
            }
            for process in target.processes
        ],
        "secondary_data": [
            {
                "tag": str(UUID(bytes_le=blob.tag)), "size": len(blob.data),
                "digest": hashlib.sha256(blob.data).hexdigest(),
            }
            for blob in target.blobs
        ],
        "page_count": sum(count for _, count in target.physical_runs),
        "page_runs": [{"start": start * _PAGE, "size": count * _PAGE} for start, count in target.physical_runs],
    }  # fmt: skip


def _bug_check_exception(target: KernelSnapshot) -> Item:
    """The header's exception record; without one of its own it is that of a breakpoint where the machine stopped."""
    if target.exception is not None:
        return dict(zip(("code", "flags", "address"), target.exception, strict=True))
    crashed = target.processors[target.crashing_processor]
    return {"code": 0x8000_0003, "address": crashed.context["Rip"]}


def _pages(start: int, data: bytes) -> Iterator[Item]:
    at, end = start, start + len(data)
    while at < end:
        stop = min(end, (at // _PAGE + 1) * _PAGE)
        part = data[at - start : stop - start]
        yield {"start": hex(at), "size": len(part), "digest": hashlib.sha256(part).hexdigest()}
        at = stop
