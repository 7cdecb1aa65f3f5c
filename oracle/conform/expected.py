"""The facts that a reader should report: those that the oracle reads from a dump that it judged conformant."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from ..memory.intervals import Range
from ..memory.source import ByteSource
from ..model import Span
from .catalog import LIST, RECORD, catalog


@dataclass(frozen=True, slots=True)
class Memory:
    """The target's memory, which a reader may report in any parts."""

    ranges: list[Range]
    """Sorted ``[start, end)`` that neither overlap nor touch."""
    read: Callable[[int, int], bytes | None]
    """The target's bytes by address and size; None if the dump lacks any of them."""
    beyond: Callable[[int, int], bytes | None] | None = None
    """The target's bytes outside the ranges. A reader may report them, since the dump has them without an address:
    an EPROCESS, for example.
    """


@dataclass(frozen=True, slots=True)
class Bytes:
    """Bytes of the file, of which a reader reports a digest."""

    source: ByteSource
    span: Span

    def read(self) -> bytes:
        return self.source.read(self.span.start, len(self.span))


@dataclass(frozen=True, slots=True)
class Expected:
    """The expected facts of a dump."""

    facts: dict[str, Any] = field(default_factory=dict)
    """Fact -> value, record, list of records, Memory, or a set of right values.

    A fact that is absent does not exist for this kind of dump, and is not compared. A record that is None: the dump has
    none. A member that is None or absent is not compared.

    In ``extra``, a value None means that the dump lacks the field, so any reported value is wrong."""

    @property
    def paths(self) -> tuple[str, ...]:
        """The facts that the dump has, member by member: ``threads.teb``."""
        known = catalog()
        found: list[str] = []
        for name, value in self.facts.items():
            fact = known[name]
            if isinstance(value, Memory):
                found += fact.paths
            elif fact.shape == LIST or (fact.shape == RECORD and value is not None):
                items = value if fact.shape == LIST else [value]
                found += [
                    fact.path(member)
                    for member in fact.members
                    if member.name == fact.key or any(item.get(member.name) is not None for item in items)
                ]
            else:
                found.append(fact.paths[0])
        return tuple(found)
