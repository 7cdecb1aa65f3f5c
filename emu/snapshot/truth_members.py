"""The members of the truth format (oracle/truth-format.md), each with how it is written and read back.

A document that lacks a member, has one too many or a value of the wrong form is refused with the member named.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .model import (
    CodeView,
    Context,
    ExceptionEvent,
    Handle,
    Module,
    ProcessInformation,
    Region,
    Section,
    SystemInformation,
    Thread,
    UnloadedModule,
    VmCounters,
)


class TruthError(Exception):
    """A truth directory cannot be read or written: one line that names the file and the member."""


@dataclass(frozen=True)
class Where:
    """A place in a document, for errors."""

    file: Path
    member: str

    def __truediv__(self, name: str | int) -> Where:
        step = f"[{name}]" if isinstance(name, int) else f".{name}" if self.member else name
        return Where(self.file, self.member + step)

    def error(self, message: str) -> TruthError:
        return TruthError(f"{self.file}: {self.member + ': ' if self.member else ''}{message}")


@dataclass(frozen=True)
class Kind:
    """How one member is written and read back."""

    write: Callable[[Any], Any]
    read: Callable[[Any, Where], Any]


def _read_number(value: Any, where: Where) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise where.error(f"expected a number, found {json.dumps(value)[:40]}")
    return value


def _read_hex(value: Any, where: Where) -> int:
    if not isinstance(value, str) or not re.fullmatch(r"0x[0-9a-f]+", value):
        raise where.error(f"expected a string of lower-case hexadecimal with 0x, found {json.dumps(value)[:40]}")
    return int(value, 0)


def _read_text(value: Any, where: Where) -> str:
    if not isinstance(value, str):
        raise where.error(f"expected a string, found {json.dumps(value)[:40]}")
    return value


def _read_bytes(value: Any, where: Where) -> bytes:
    if not isinstance(value, str) or not re.fullmatch(r"([0-9a-f]{2})*", value):
        raise where.error("expected bytes in lower-case hexadecimal without prefix")
    return bytes.fromhex(value)


def _read_bool(value: Any, where: Where) -> bool:
    if not isinstance(value, bool):
        raise where.error(f"expected true or false, found {json.dumps(value)[:40]}")
    return value


NUMBER = Kind(int, _read_number)
HEX = Kind(hex, _read_hex)
TEXT = Kind(str, _read_text)
BYTES = Kind(bytes.hex, _read_bytes)
BOOL = Kind(bool, _read_bool)


def optional(kind: Kind) -> Kind:
    return Kind(
        lambda value: None if value is None else kind.write(value),
        lambda value, where: None if value is None else kind.read(value, where),
    )


def list_of(kind: Kind, length: int | None = None) -> Kind:
    """An array, a tuple in the snapshot; of exactly ``length`` items where one is given."""

    def read(value: Any, where: Where) -> tuple[Any, ...]:
        if not isinstance(value, list) or (length is not None and len(value) != length):
            raise where.error(f"expected an array{f' of {length}' if length is not None else ''}")
        return tuple(kind.read(item, where / index) for index, item in enumerate(value))

    return Kind(lambda value: [kind.write(item) for item in value], read)


def object_of(make: Callable[..., Any], members: Mapping[str, Kind]) -> Kind:
    """An object with exactly these members, which ``make`` takes by name."""

    def write(value: Any) -> dict[str, Any]:
        return {name: kind.write(getattr(value, name)) for name, kind in members.items()}

    def read(value: Any, where: Where) -> Any:
        found = members_of(value, where, members)
        return make(**{name: kind.read(found[name], where / name) for name, kind in members.items()})

    return Kind(write, read)


def members_of(value: Any, where: Where, expected: Mapping[str, Any] | Sequence[str]) -> dict[str, Any]:
    """The members of an object; each expected one is there and no other."""
    if not isinstance(value, dict):
        raise where.error("expected an object")
    for name in expected:
        if name not in value:
            raise (where / name).error("missing")
    for name in value:
        if name not in expected:
            raise (where / name).error("unknown member")
    return value


def _registers_read(value: Any, where: Where) -> tuple[tuple[str, int], ...]:
    if not isinstance(value, dict):
        raise where.error("expected an object")
    return tuple((name, _read_hex(number, where / name)) for name, number in value.items())


REGISTERS = Kind(lambda pairs: {name: hex(value) for name, value in pairs}, _registers_read)
CONTEXT = object_of(
    Context,
    {
        "context_flags": NUMBER,
        "registers": REGISTERS,
        "fxsave": BYTES,
    },
)
_SYSTEM = object_of(
    SystemInformation,
    {
        "architecture": TEXT,
        "processor_level": NUMBER,
        "processor_revision": NUMBER,
        "number_of_processors": NUMBER,
        "product_type": NUMBER,
        "major_version": NUMBER,
        "minor_version": NUMBER,
        "build_number": NUMBER,
        "csd_version": TEXT,
        "suite_mask": NUMBER,
        "processor_features": list_of(HEX, 2),
        "build_string": TEXT,
        "time_zone_id": NUMBER,
        "time_zone_bias": NUMBER,
        "standard_name": TEXT,
        "daylight_name": TEXT,
        "processor_max_mhz": NUMBER,
        "processor_current_mhz": NUMBER,
        "number_of_physical_pages": HEX,
        "lowest_physical_page_number": HEX,
        "highest_physical_page_number": HEX,
        "allocation_granularity": NUMBER,
        "minimum_user_mode_address": HEX,
        "maximum_user_mode_address": HEX,
        "timer_resolution": NUMBER,
        "available_pages": HEX,
        "committed_pages": HEX,
        "commit_limit": HEX,
        "peak_commitment": HEX,
    },
)
_VM = object_of(
    VmCounters,
    {
        "page_fault_count": NUMBER,
        "peak_working_set_size": HEX,
        "working_set_size": HEX,
        "quota_peak_paged_pool_usage": HEX,
        "quota_paged_pool_usage": HEX,
        "quota_peak_non_paged_pool_usage": HEX,
        "quota_non_paged_pool_usage": HEX,
        "pagefile_usage": HEX,
        "peak_pagefile_usage": HEX,
        "peak_virtual_size": HEX,
        "virtual_size": HEX,
        "private_usage": HEX,
        "private_working_set_size": HEX,
        "shared_commit_usage": HEX,
    },
)
_PROCESS = object_of(
    ProcessInformation,
    {
        "process_id": NUMBER,
        "create_time": HEX,
        "user_time": HEX,
        "kernel_time": HEX,
        "peb": HEX,
        "integrity_level": NUMBER,
        "execute_flags": NUMBER,
        "protected": NUMBER,
        "cookie": NUMBER,
        "command_line": TEXT,
        "vm": _VM,
    },
)
_THREAD = object_of(
    Thread,
    {
        "thread_id": NUMBER,
        "suspend_count": NUMBER,
        "priority_class": NUMBER,
        "priority": NUMBER,
        "teb": HEX,
        "stack_base": HEX,
        "stack_limit": HEX,
        "name": optional(TEXT),
        "create_time": HEX,
        "exit_time": HEX,
        "exit_status": NUMBER,
        "kernel_time": HEX,
        "user_time": HEX,
        "start_address": HEX,
        "affinity": HEX,
        "state": TEXT,
        "context": CONTEXT,
    },
)
_SECTION = object_of(
    Section, {"name": TEXT, "virtual_address": NUMBER, "virtual_size": NUMBER, "characteristics": NUMBER}
)
_CODE_VIEW = Kind(lambda value: value.record.hex(), lambda value, where: CodeView(_read_bytes(value, where)))
_MODULE = object_of(
    Module,
    {
        "base": HEX,
        "size": NUMBER,
        "checksum": NUMBER,
        "time_date_stamp": NUMBER,
        "name": TEXT,
        "version_info": optional(list_of(NUMBER, 13)),
        "code_view": optional(_CODE_VIEW),
        "dll_characteristics": NUMBER,
        "size_of_headers": NUMBER,
        "sections": list_of(_SECTION),
    },
)
_UNLOADED = object_of(
    UnloadedModule,
    {"base": HEX, "size": NUMBER, "checksum": NUMBER, "time_date_stamp": NUMBER, "name": TEXT},
)
_REGION = object_of(
    Region,
    {
        "base": HEX,
        "size": HEX,
        "allocation_base": HEX,
        "allocation_protect": NUMBER,
        "state": NUMBER,
        "protect": NUMBER,
        "type": NUMBER,
    },
)
_HANDLE = object_of(
    Handle,
    {
        "value": NUMBER,
        "type_name": TEXT,
        "object_name": optional(TEXT),
        "attributes": NUMBER,
        "granted_access": NUMBER,
        "handle_count": NUMBER,
        "pointer_count": NUMBER,
    },
)
_EXCEPTION = object_of(
    ExceptionEvent,
    {
        "thread_id": NUMBER,
        "code": NUMBER,
        "flags": NUMBER,
        "record": HEX,
        "address": HEX,
        "information": list_of(HEX),
        "first_chance": BOOL,
        "context": CONTEXT,
    },
)


def pair_of(*names: str) -> Kind:
    """An object of hexadecimal members; a tuple of their numbers in the snapshot."""

    def read(value: Any, where: Where) -> tuple[int, ...]:
        found = members_of(value, where, names)
        return tuple(_read_hex(found[name], where / name) for name in names)

    return Kind(lambda numbers: {name: hex(number) for name, number in zip(names, numbers, strict=True)}, read)


SNAPSHOT = {
    "system": _SYSTEM,
    "process": _PROCESS,
    "time": HEX,
    "start_directory": TEXT,
    "threads": list_of(_THREAD),
    "modules": list_of(_MODULE),
    "unloaded_modules": list_of(_UNLOADED),
    "regions": list_of(_REGION),
    "memory": list_of(object_of(dict, {"start": HEX, "size": HEX, "offset": HEX})),
    "unreadable": list_of(pair_of("start", "size")),
    "handles": list_of(_HANDLE),
    "exception": optional(_EXCEPTION),
}
