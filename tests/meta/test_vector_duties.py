"""Every vector says what a reader must do and why, and has facts where the reason says so."""

from __future__ import annotations

import hashlib
import json
import tomllib
from fnmatch import fnmatchcase
from typing import Any

import pytest
from dumptruth.fixtures.vectors import reading
from dumptruth.fixtures.vectors.recipe import Kind
from dumptruth.oracle import ByteSource, Outcome, all_rules, check
from dumptruth.oracle.conform.cases import Duty
from dumptruth.oracle.conform.catalog import catalog
from dumptruth.oracle.conform.expecting import expected_facts
from dumptruth.oracle.conform.facts import compare
from dumptruth.oracle.vectors import Vector, VectorsError, choose, load_vectors, packaged
from jsonschema import Draft202012Validator

VECTORS = load_vectors(packaged())
HELD = json.loads((packaged() / "manifest.json").read_text(encoding="utf-8"))
READERS: dict[str, dict[str, Any]] = HELD["readers"]
THERE = [vector for vector in VECTORS if vector.path is not None]
COMPARABLE = [vector for vector in THERE if vector.comparable]
SCHEMA = Draft202012Validator(
    json.loads((packaged().parents[1] / "oracle" / "schemas" / "facts-1.json").read_text(encoding="utf-8"))
)
PAGES = {path for name in ("memory", "virtual_memory") for path in catalog()[name].paths}


def truth_of(vector: Vector) -> Any:
    return vector.truth() if vector.entry["judged"]["truth"] and vector.kind != "invalid" else None


def test_every_vector_with_a_file_says_what_a_reader_must_do_and_why() -> None:
    for vector in VECTORS:
        if vector.kind == "refused":
            assert (vector.reader, vector.comparable, "why" in vector.entry) == (None, False, False)
        else:
            row = READERS[vector.entry["why"]]
            assert (vector.reader, vector.comparable) == (row["must"], row["facts"]), vector.name
    assert {vector.entry["why"] for vector in VECTORS if vector.reader} == set(READERS) == set(reading.readings())


def test_the_duty_fits_the_kind() -> None:
    duties = {(vector.kind, vector.reader) for vector in VECTORS if vector.reader}
    assert duties == {
        ("valid", "must-read"), ("acceptable", "may-reject"), ("invalid", "may-reject"), ("invalid", "must-reject"),
    }  # fmt: skip
    assert {str(duty) for duty in Duty} == {duty for _, duty in duties}


def test_every_pattern_of_the_table_names_a_rule() -> None:
    for why, row in reading.readings().items():
        for pattern in row.rules:
            assert any(fnmatchcase(rule, pattern) for rule in all_rules()), f"{why}: {pattern}"


def test_a_broken_file_has_facts_exactly_if_it_is_sound_without_its_truth() -> None:
    for vector in THERE[::4]:
        if vector.kind == "invalid":
            sound = check(ByteSource(vector.read(), vector.name)).outcome is Outcome.CONFORMANT
            assert sound is vector.comparable, vector.name


@pytest.mark.parametrize(
    ("rules", "why"),
    [
        (["MDMP-THREAD-001"], "broken"),
        (["MDMP-HANDLE-001"], "part"),
        (["MDMP-HANDLE-001", "MDMP-MODULE-001"], "broken"),
        (["MDMP-LAYOUT-001", "MDMP-HANDLE-001"], "waste"),
        ([], "broken"),
    ],
)
def test_one_rule_that_every_reader_needs_makes_the_dump_one_to_reject(rules: list[str], why: str) -> None:
    assert reading.of_rules(rules).why == why


def test_a_refused_request_asks_nothing_of_a_reader() -> None:
    assert reading.of_kind(Kind.REFUSED) is None


@pytest.mark.parametrize("vector", COMPARABLE[::3], ids=lambda vector: vector.name)
def test_a_reader_that_reports_the_facts_of_the_file_agrees_in_all_of_them(vector: Vector) -> None:
    document = json.loads(json.dumps(vector.expected()))
    assert [error.message[:200] for error in SCHEMA.iter_errors(document)] == []
    assert document["name"] == vector.name
    kinds = document["facts"].pop("dump_kind")
    with ByteSource(vector.read(), vector.name) as source:
        expected = expected_facts(source, truth_of(vector))
        for kind in kinds:
            found = compare(expected, {**document["facts"], "dump_kind": kind})
            assert found.differences == ()
            assert set(found.known) - set(found.compared) <= PAGES
    assert set(document["facts"]) | set(document["memory"]) | {"dump_kind"} == set(expected.facts)


def test_the_totals_of_memory_are_those_of_the_dump() -> None:
    (vector,) = choose(THERE, name="by-hand/rich")
    with ByteSource(vector.read(), vector.name) as source:
        memory = expected_facts(source).facts["memory"]
        data = b"".join(memory.read(start, end - start) for start, end in memory.ranges)
    assert vector.expected()["memory"]["memory"] == {
        "ranges": len(memory.ranges),
        "bytes": len(data),
        "sha256": hashlib.sha256(data).hexdigest(),
    }


def test_a_broken_dump_has_no_facts() -> None:
    broken = choose(THERE, reader="must-reject")[0]
    with pytest.raises(ValueError, match="unknown"):
        broken.expected()
    with pytest.raises(VectorsError, match="unknown member"):
        choose(THERE, readers="must-read")


def test_the_table_is_the_one_of_the_file() -> None:
    path = packaged().parent / "vectors" / "readers.toml"
    table = tomllib.loads(path.read_text(encoding="utf-8"))
    assert {why: {key: row[key] for key in ("must", "facts", "reason")} for why, row in table.items()} == READERS
