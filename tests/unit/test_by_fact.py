"""What a reader made of several dumps, put into words by fact, and read back from the table."""

from __future__ import annotations

import tomllib
from typing import Any

import pytest
from dumptruth.fixtures.adapters import by_fact
from dumptruth.fixtures.adapters.by_fact import Reading, readings
from dumptruth.oracle.conform.expected import Expected, Memory
from dumptruth.oracle.conform.facts import Comparison, compare

DUMP = Expected(
    {
        "flags": 2,
        "comment": "a comment",
        "threads": [{"thread_id": 1, "teb": 0x1000}],
        "handles": [],
        "memory": Memory([], lambda _start, _size: None),
    }
)
WHOLE = {"flags": 2, "comment": "a comment", "threads": [{"thread_id": 1, "teb": 0x1000}]}


def _read(*reported: dict[str, Any] | None) -> Reading:
    dumps: list[tuple[Expected, Comparison | None]] = [
        (DUMP, None if facts is None else compare(DUMP, facts)) for facts in reported
    ]
    return Reading.of(dumps)


def test_a_fact_agrees_if_every_member_is_right_in_every_dump() -> None:
    assert _read(WHOLE, WHOLE).facts == {"threads": "agrees", "comment": "agrees", "flags": "agrees"}


def test_a_fact_that_lacks_a_member_or_is_missing_in_a_dump_is_partly_read() -> None:
    found = _read(WHOLE | {"threads": [{"thread_id": 1}]}, {"flags": 2}).facts
    assert found == {"threads": "partly", "comment": "partly", "flags": "agrees"}


def test_a_fact_that_is_wrong_once_is_misread_and_counted() -> None:
    found = _read(WHOLE, WHOLE | {"flags": 3})
    assert found.facts["flags"] == "misreads"
    assert (found.right, found.wrong, found.known) == (3, 1, 8)


def test_a_refused_dump_counts_for_no_fact() -> None:
    assert _read(WHOLE, None).facts == _read(WHOLE).facts
    assert _read(WHOLE, None).refused == 1
    assert _read(None) == Reading(refused=1, known=8)


def test_a_reading_is_read_back_as_it_was_written(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    found = _read(WHOLE, {"flags": 3}, None)
    path = tmp_path / "known.toml"
    path.write_text(found.as_toml("a-reader 1.0", "amd64"), encoding="utf-8")
    assert tomllib.loads(path.read_text(encoding="utf-8"))
    monkeypatch.setattr(by_fact, "TABLE", path)
    assert readings() == {"a-reader 1.0": {"amd64": found}}
