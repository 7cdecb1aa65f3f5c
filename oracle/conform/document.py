"""The facts that a reader should report of a dump, as a JSON value (schemas/facts-1.json, docs/conform-facts.md).

Memory is given as totals and one hash: its bytes are in the dump.
"""

from __future__ import annotations

import hashlib
from typing import Any, Final

from ..memory.source import ByteSource
from ..truth.load import Truth
from .catalog import LIST, RECORD, Fact, Member, catalog
from .expected import Bytes, Expected, Memory
from .expecting import expected_facts

FORMAT: Final = "dumptruth-facts"
VERSION: Final = 1
_CHUNK: Final = 1 << 20


def facts_document(source: ByteSource, name: str, truth: Truth | None = None) -> dict[str, Any]:
    """The facts of the dump, which conforms. ``name`` is that of the vector. Never raises on content."""
    return {"format": FORMAT, "version": VERSION, "name": name, **as_object(expected_facts(source, truth))}


def as_object(expected: Expected) -> dict[str, Any]:
    """``facts`` as a reader reports them, and ``memory``: the totals of the facts ``memory`` and ``virtual_memory``."""
    held = {name: value for name, value in expected.facts.items() if isinstance(value, Memory)}
    return {
        "facts": {
            fact.name: _fact(fact, expected.facts[fact.name])
            for fact in catalog().values()
            if fact.name in expected.facts and fact.name not in held
        },
        "memory": {name: _totals(value) for name, value in held.items()},
    }


def _fact(fact: Fact, value: Any) -> Any:
    if fact.name == "extra":
        held = {name: item for name, item in value.items() if item is not None}
        return {name: hex(item) if isinstance(item, int) else item for name, item in held.items()}
    if fact.name == "dump_kind":
        return sorted(value)
    if fact.shape == LIST:
        return [_record(fact, item) for item in value]
    if fact.shape == RECORD:
        return None if value is None else _record(fact, value)
    return _member(fact.members[0], value)


def _record(fact: Fact, item: dict[str, Any]) -> dict[str, Any]:
    """The members that are known."""
    return {
        member.name: _member(member, item[member.name]) for member in fact.members if item.get(member.name) is not None
    }


def _member(member: Member, value: Any) -> Any:
    if isinstance(value, Bytes):
        return hashlib.sha256(value.read()).hexdigest()
    if member.kind == "number":
        return hex(value)
    if member.kind == "numbers":
        return [hex(item) for item in value]
    if member.kind == "registers":
        return {name: hex(item) for name, item in value.items()}
    return value


def _totals(memory: Memory) -> dict[str, Any]:
    """Counts, and the SHA-256 of all bytes in the order of their addresses; null if a byte cannot be read."""
    found = {"ranges": len(memory.ranges), "bytes": sum(end - start for start, end in memory.ranges)}
    hashed = hashlib.sha256()
    for start, end in memory.ranges:
        for at in range(start, end, _CHUNK):
            data = memory.read(at, min(_CHUNK, end - at))
            if data is None:
                return {**found, "sha256": None}
            hashed.update(data)
    return {**found, "sha256": hashed.hexdigest()}
