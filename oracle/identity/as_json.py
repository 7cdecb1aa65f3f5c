"""The description as JSON (schemas/identity-1.json). Within a version members may be added, but not renamed or changed.

Codes, ids, addresses, sizes and flags are strings of lower-case hexadecimal with 0x, as in the report. Counts are
numbers.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any, Final

from .model import Crash, Description, DumpDescription, Lists, MemoryHeld
from .text import counts

SCHEMA: Final = "dumptruth-identity"
VERSION: Final = 1

_HEXADECIMAL: Final = frozenset({"id", "base", "size", "value", "type", "instruction_pointer", "time_date_stamp"})
"""Members of the lists that are numbers of 32 or 64 bits."""


def as_object(description: Description, file: str, *, lists: bool = False) -> dict[str, Any]:
    """One JSON object. ``lists``: with threads, modules, handles and the rest, not only their counts."""
    dump = description.dump
    return {
        "schema": SCHEMA,
        "version": VERSION,
        "file": file,
        "kind": description.kind,
        "description": description.description,
        "size": hex(description.size),
        "member": description.member,
        "members": [{**asdict(item), "size": hex(item.size)} for item in description.members],
        "dump": None if dump is None else _dump(dump, lists),
    }


def _dump(dump: DumpDescription, with_lists: bool) -> dict[str, Any]:
    return {
        "kind": dump.kind,
        "description": dump.description,
        "size": hex(dump.size),
        "form": dump.form,
        "time": dump.time,
        "uptime": dump.uptime,
        "system": None if dump.system is None else asdict(dump.system),
        "process": None if dump.process is None else asdict(dump.process) | {"id": _hex(dump.process.id)},
        "crash": None if dump.crash is None else _crash(dump.crash),
        "memory": _memory(dump.memory),
        "counts": counts(dump.lists),
        "holds": list(dump.holds),
        "lacks": list(dump.lacks),
        "damaged": list(dump.damaged),
        "writer": {
            "name": dump.writer.name,
            "asked_by": dump.writer.asked_by,
            "evidence": list(dump.writer.evidence),
        },
        "comment": dump.comment,
        "lists": _lists(dump.lists) if with_lists else None,
    }


def _crash(crash: Crash) -> dict[str, Any]:
    return {
        "kind": crash.kind,
        "code": hex(crash.code),
        "name": crash.name,
        "meaning": crash.meaning,
        "address": _hex(crash.address),
        "address_from": crash.address_from,
        "location": crash.location,
        "thread": None if crash.thread is None else {"id": hex(crash.thread.id), "name": crash.thread.name},
        "parameters": [{**asdict(item), "value": hex(item.value)} for item in crash.parameters],
    }


def _memory(memory: MemoryHeld) -> dict[str, Any]:
    return {
        "extent": memory.extent,
        "bytes": hex(memory.bytes),
        "ranges": memory.ranges,
        "stack_bytes": hex(memory.stack_bytes),
        "stacks": memory.stacks,
        "committed": _hex(memory.committed),
        "pages": memory.pages,
    }


def _lists(lists: Lists) -> dict[str, Any]:
    return {
        name: None if items is None else [_entry(item) for item in items]
        for name, items in (
            ("threads", lists.threads),
            ("modules", lists.modules),
            ("unloaded", lists.unloaded),
            ("handles", lists.handles),
            ("streams", lists.streams),
        )
    }


def _entry(item: Any) -> dict[str, Any]:
    return {
        name: hex(value) if name in _HEXADECIMAL and isinstance(value, int) else value
        for name, value in asdict(item).items()
    }


def _hex(value: int | None) -> str | None:
    return None if value is None else hex(value)
