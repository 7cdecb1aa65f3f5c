"""The tables of docs/readers.md by fact and by architecture are what the real readers say of a fixed list of dumps."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
from dumptruth.fixtures.adapters import KERNEL_READERS, READERS
from dumptruth.fixtures.adapters.by_fact import CASES, MACHINE, Reading, facts_of_group, readings
from dumptruth.fixtures.adapters.facts import Facts, ReaderFailedError
from dumptruth.fixtures.adapters.known import VERSIONS
from dumptruth.fixtures.vectors.conform import CaseFolder
from dumptruth.oracle import ByteSource
from dumptruth.oracle.conform.expected import Expected
from dumptruth.oracle.conform.expecting import expected_facts
from dumptruth.oracle.conform.facts import Comparison, compare

GROUPS = [
    (reader, group) for group in CASES for reader in (KERNEL_READERS if group == MACHINE else READERS)
]  # fmt: skip

Ask = Callable[[str, Path], Facts | ReaderFailedError]
Due = Callable[[str], tuple[Path, Expected]]


@pytest.fixture(scope="module")
def due(tmp_path_factory: pytest.TempPathFactory) -> Due:
    """The file of a case, and its facts."""
    folder = CaseFolder(tmp_path_factory.mktemp("cases"))
    cases = {case.name: case for case in folder.reader_cases()}

    @cache
    def made(name: str) -> tuple[Path, Expected]:
        dumped = cases[name].make()
        truth = None if dumped.target is None else dumped.target.truth
        return dumped.file, expected_facts(ByteSource(dumped.file.read_bytes()), truth)

    return made


@pytest.mark.parametrize(("reader", "group"), GROUPS)
def test_a_reader_reads_the_facts_that_the_table_says(ask_one: Ask, due: Due, reader: str, group: str) -> None:
    found: list[tuple[Expected, Comparison | None]] = []
    for name in CASES[group]:
        path, expected = due(name)
        answer = ask_one(reader, path)
        if isinstance(answer, Facts) and VERSIONS[reader] not in answer.reader:
            pytest.skip(f"the table is about {VERSIONS[reader]}; this is {answer.reader}")
        said = json.loads(json.dumps(answer.reported())) if isinstance(answer, Facts) else None
        found.append((expected, None if said is None else compare(expected, said)))
    reading = Reading.of(found)
    assert readings().get(reader, {}).get(group) == reading, f"known_facts.toml:\n{reading.as_toml(reader, group)}"


def test_the_table_has_every_reader_and_group() -> None:
    assert {(reader, group) for reader, groups in readings().items() for group in groups} == set(GROUPS)


@pytest.mark.parametrize("group", CASES)
def test_the_dumps_of_a_group_have_every_fact_that_some_reader_reports(due: Due, group: str) -> None:
    known = {path.partition(".")[0] for name in CASES[group] for path in due(name)[1].paths}
    reported = {fact for groups in readings().values() if group in groups for fact in groups[group].facts}
    assert reported <= known <= set(facts_of_group(group))


@pytest.mark.parametrize("group", ["amd64", MACHINE])
def test_every_fact_has_a_value_in_a_dump(due: Due, group: str) -> None:
    found = [due(name)[1].facts for name in CASES[group]]
    assert {fact for fact in facts_of_group(group) if not any(facts.get(fact) for facts in found)} == set()
