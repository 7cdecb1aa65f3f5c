"""The facts that a reader may report, as facts.toml lists them (docs/conform-facts.md)."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Final

VALUE, RECORD, LIST = "value", "record", "list"
PROCESS, MACHINE, BOTH = "process", "machine", "both"
FIRST_SINCE: Final = "1.2"
"""The version that added a member without a version of its own."""


@dataclass(frozen=True, slots=True)
class Member:
    """A number, a text or another value of a fact."""

    name: str
    """Empty for the only member of a value."""
    kind: str
    """number, signed, text, guid, digest, numbers, registers or object."""
    meaning: str
    since: str
    """The version of the protocol that added it."""


@dataclass(frozen=True, slots=True)
class Fact:
    """A fact of the protocol: one value, one record, or a list of records."""

    name: str
    shape: str
    of: str
    """PROCESS, MACHINE or BOTH: the dumps that have it."""
    key: str
    """The member that identifies an item of a list; empty for other shapes."""
    members: tuple[Member, ...]

    def path(self, member: Member) -> str:
        """The name of a member in reports: ``threads.teb``; of a value: ``comment``."""
        return f"{self.name}.{member.name}" if member.name else self.name

    @property
    def paths(self) -> tuple[str, ...]:
        return tuple(self.path(member) for member in self.members)


@cache
def catalog() -> dict[str, Fact]:
    """Every fact of the protocol, by name."""
    document = tomllib.loads((files(__package__) / "facts.toml").read_text(encoding="utf-8"))
    facts = (
        Fact(
            row["name"],
            row["shape"],
            row["of"],
            row.get("key", ""),
            tuple(
                Member(name, kind, meaning, since[0] if since else FIRST_SINCE)
                for name, kind, meaning, *since in row["members"]
            ),
        )
        for row in document["fact"]
    )
    return {fact.name: fact for fact in facts}


def facts_of(mode: str) -> tuple[str, ...]:
    """The names of the facts that dumps of ``mode`` (PROCESS or MACHINE) can have."""
    return tuple(fact.name for fact in catalog().values() if fact.of in (mode, BOTH))
