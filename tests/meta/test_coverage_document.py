"""README's tables of flags and streams are what the registries say, and no row of them is without proof."""

from __future__ import annotations

import pytest
from dumptruth.emu.constants import StreamType
from dumptruth.emu.plan.flags import FLAG_ROWS, FlagRow
from dumptruth.emu.plan.user import STREAM_ROWS
from dumptruth.fixtures.coverage_document import (
    COMMENTS,
    README,
    flag_name,
    flag_vector,
    ignoring,
    replaced,
    rules_of_stream,
    stream_vector,
)
from dumptruth.fixtures.mutants import mutants_of


def test_readme_has_the_tables_as_they_should_be() -> None:
    text = README.read_text("utf-8")
    assert replaced(text) == text, "run: python -m dumptruth.fixtures.coverage_document --write"


@pytest.mark.parametrize("row", FLAG_ROWS, ids=flag_name)
def test_every_flag_has_a_vector_and_a_mutant_that_ignores_it(row: FlagRow) -> None:
    assert flag_vector(row)
    assert ignoring(flag_name(row))


@pytest.mark.parametrize("stream", [row.type for row in STREAM_ROWS] + [*COMMENTS], ids=lambda stream: stream.name)
def test_every_stream_that_is_written_has_rules_mutants_and_a_vector(stream: StreamType) -> None:
    rules = rules_of_stream(stream)
    assert {rule.id.partition("-")[0] for rule in rules} >= {"MDMP"}
    # Against truth: by rules of the stream, or of the memory that it lists.
    assert {rule.id.partition("-")[0] for rule in rules} & {"TRUE", "PAGE"}
    assert all(mutants_of(rule.id) for rule in rules)
    assert stream_vector(stream)
