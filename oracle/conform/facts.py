"""Compares the facts that a reader reports with the expected ones."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from ..memory.intervals import Range, minus, union
from ..memory.page import PAGE_SIZE
from . import values
from .catalog import LIST, RECORD, Fact, catalog
from .expected import Bytes, Expected, Memory
from .values import FactsError, bad, shown

_SHOWN: Final = 3
"""Differences that are reported of one fact."""
_MEMORY: Final = ("memory", "virtual_memory")

Item = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Comparison:
    compared: tuple[str, ...]
    """Facts that the reader reported and that were compared: ``threads.teb``."""
    known: tuple[str, ...]
    """Facts that the dump has."""
    differences: tuple[str, ...]
    """One line each: fact, expected, reported."""
    wrong: tuple[str, ...]
    """Facts that differ: ``threads.teb``."""


@dataclass(slots=True)
class _Found:
    """What the comparison of one fact found."""

    compared: set[str] = field(default_factory=set)
    wrong: set[str] = field(default_factory=set)
    lines: list[str] = field(default_factory=list)

    def differ(self, path: str, line: str) -> None:
        self.wrong.add(path)
        self.lines.append(line)

    def note(self, path: str, due: object, said: object, where: str = "") -> None:
        """Compare one member; ``due`` None: it is unknown. A difference becomes a line that starts with ``where``."""
        if due is None or said is None:
            return
        self.compared.add(path)
        if not _same(due, said):
            self.differ(path, f"{where or path}: expected {_expected(due)}, read {shown(said)}")


def compare(expected: Expected, reported: dict[str, Any]) -> Comparison:
    """Compare the facts in ``reported`` that are expected too. Raises FactsError if one breaks the protocol."""
    facts = catalog()
    if unknown := sorted(set(reported) - set(facts)):
        raise FactsError(f"answered fact {unknown[0][:40]!r}: expected {', '.join(facts)}")
    compared: list[str] = []
    differences: list[str] = []
    wrong: list[str] = []
    for fact in facts.values():
        if fact.name not in reported or (reported[fact.name] is None and fact.shape != RECORD):
            continue
        said = _parsed(fact, reported[fact.name])
        if fact.name not in expected.facts:
            continue
        found = _Found()
        _compare(fact, expected.facts[fact.name], said, found)
        compared += [path for path in fact.paths if path in found.compared]
        wrong += [path for path in fact.paths if path in found.wrong]
        differences += found.lines[:_SHOWN]
        if len(found.lines) > _SHOWN:
            differences.append(f"{fact.name}: {len(found.lines) - _SHOWN} more differences")
    return Comparison(tuple(compared), expected.paths, tuple(differences), tuple(wrong))


# What a reader reports


def _parsed(fact: Fact, value: object) -> Any:
    if fact.name == "extra":
        return _object(value, "extra")
    if fact.name == "dump_kind":
        return values.kind(value, "dump_kind")
    if fact.shape == RECORD:
        return None if value is None else _record(fact, _object(value, fact.name), fact.name)
    if fact.shape == LIST:
        if not isinstance(value, list):
            raise FactsError(f"answered facts.{fact.name} {type(value).__name__}: expected a list")
        return [
            _record(fact, _object(item, f"{fact.name}[{index}]"), f"{fact.name}[{index}]")
            for index, item in enumerate(value)
        ]
    return values.PARSERS[fact.members[0].kind](value, fact.name)


def _object(value: object, where: str) -> Item:
    if not isinstance(value, dict):
        raise FactsError(f"answered facts.{where} {type(value).__name__}: expected an object")
    return value


def _record(fact: Fact, item: Item, where: str) -> Item:
    """The members of an item that the protocol knows. An item of a list has its key."""
    parsed = {
        member.name: values.PARSERS[member.kind](item[member.name], f"{where}.{member.name}")
        for member in fact.members
        if item.get(member.name) is not None
    }
    if fact.key and fact.key not in parsed:
        raise bad(f"{where}.{fact.key}", item.get(fact.key), "a value: it identifies the item")
    if fact.name in _MEMORY:
        size = parsed.get("size")
        if size is None or size > PAGE_SIZE:
            start = shown(parsed["start"])
            raise FactsError(
                f"answered facts.{fact.name} at {start} with {shown(size)} bytes: expected at most {PAGE_SIZE:#x} in "
                "an item"
            )
    return parsed


# Differences


def _compare(fact: Fact, due: Any, said: Any, found: _Found) -> None:
    if isinstance(due, Memory):
        found.compared |= set(fact.paths)
        for line in _memory_differences(fact.name, due, said):
            found.differ(fact.paths[0], line)
    elif fact.name == "extra":
        _extra(due, said, found)
    elif fact.shape == LIST:
        _list(fact, due, said, found)
    elif fact.shape == RECORD:
        if due is None or said is None:
            found.compared |= {fact.paths[0]}
            if due is not said:
                held, read = ("none" if side is None else "one" for side in (due, said))
                found.differ(fact.paths[0], f"{fact.name}: expected {held}, read {read}")
            return
        _members(fact, due, said, found, "")
    else:
        found.note(fact.name, due, said)


def _members(fact: Fact, due: Item, said: Item, found: _Found, where: str) -> None:
    """Compare the members of one record. ``where`` names the item of a list."""
    for member in fact.members:
        mine, theirs = due.get(member.name), said.get(member.name)
        path = fact.path(member)
        if member.kind == "registers" and mine is not None and theirs is not None:
            for name, value in theirs.items():
                if name in mine:
                    found.note(path, mine[name], value, f"{where or fact.name} {name}")
        else:
            found.note(path, mine, theirs, f"{where} {member.name}" if where else "")


def _list(fact: Fact, due: list[Item], said: list[Item], found: _Found) -> None:
    """Compare two lists whose items are identified by their key. Several items may have one key."""
    what = fact.name
    path = f"{what}.{fact.key}"
    found.compared.add(path)
    if len(due) != len(said):
        found.differ(path, f"{what}: expected {len(due)}, read {len(said)}")
    left: dict[Any, list[Item]] = {}
    for item in said:
        left.setdefault(item[fact.key], []).append(item)
    for item in due:
        key = item[fact.key]
        same = left.get(key)
        where = f"{what} {shown(key)}"
        if not same:
            found.differ(path, f"{where}: expected one, read none")
            continue
        at = next((index for index, other in enumerate(same) if _agree(fact, item, other)), 0)
        _members(fact, item, same.pop(at), found, where)
    for key, items in left.items():
        for _ in items:
            found.differ(path, f"{what} {shown(key)}: expected none, read one")


def _agree(fact: Fact, due: Item, said: Item) -> bool:
    """Whether no member differs."""
    found = _Found()
    _members(fact, due, said, found, "")
    return not found.lines


def _same(due: object, said: object) -> bool:
    if isinstance(due, frozenset):
        return said in due
    if isinstance(due, Bytes):
        return isinstance(said, str) and values.is_digest(said, due.read())
    return due == said


def _expected(due: object) -> str:
    if isinstance(due, frozenset):
        return " or ".join(sorted(due))
    return "another digest" if isinstance(due, Bytes) else shown(due)


def _extra(due: dict[str, int | str | None], said: Item, found: _Found) -> None:
    """A name whose expected value is None must not be reported."""
    for name, value in said.items():
        if name not in due:
            continue
        expected, where = due[name], f"extra.{name}"
        read = values.text(value, where) if isinstance(expected, str) else values.number(value, where)
        found.compared.add("extra")
        if expected != read:
            found.differ("extra", f"{name}: expected {shown(expected)}, read {shown(read)}")


def _memory_differences(name: str, due: Memory, said: list[Item]) -> Iterator[str]:
    known: list[Range] = []
    for item in said:
        start, size = item["start"], item["size"]
        data = due.read(start, size) if size else None
        if data is None and size and due.beyond is not None and (data := due.beyond(start, size)) is not None:
            known.append((start, start + size))
        if data is not None and "digest" in item and not values.is_digest(item["digest"], data):
            yield f"{name} {start:#x}: the digest of {size:#x} bytes is not that of the dump"
    held = union((item["start"], item["start"] + item["size"]) for item in said if item["size"])
    for what, ranges in (
        ("expected, not read", list(minus(due.ranges, held))),
        ("read, not in the dump", list(minus(held, union([*due.ranges, *known])))),
    ):
        if ranges:
            total = sum(end - start for start, end in ranges)
            yield f"{name}: {total:#x} bytes in {len(ranges)} ranges {what}, the first at {ranges[0][0]:#x}"
