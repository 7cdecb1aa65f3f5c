"""docs/flags-and-streams.md is current, and every flag and stream has rules, mutants and a vector."""

from __future__ import annotations

import pytest
from dumptruth.emu.constants import StreamType
from dumptruth.emu.plan.flags import FLAG_ROWS, FlagRow
from dumptruth.emu.plan.user import STREAM_ROWS
from dumptruth.fixtures.documents.coverage import (
    COMMENTS,
    DOCUMENT,
    document,
    flag_name,
    flag_vector,
    ignoring,
    rules_of_stream,
    stream_vector,
)
from dumptruth.fixtures.mutants import mutants_of


def test_the_document_equals_its_regenerated_form() -> None:
    assert DOCUMENT.read_text("utf-8") == document(), "run: python -m dumptruth.fixtures.documents --write"


@pytest.mark.parametrize("row", FLAG_ROWS, ids=flag_name)
def test_every_flag_has_a_vector_and_a_mutant_that_ignores_it(row: FlagRow) -> None:
    assert flag_vector(row)
    assert ignoring(flag_name(row))


@pytest.mark.parametrize("stream", [row.type for row in STREAM_ROWS] + [*COMMENTS], ids=lambda stream: stream.name)
def test_every_stream_that_is_written_has_rules_mutants_and_a_vector(stream: StreamType) -> None:
    rules = rules_of_stream(stream)
    assert {rule.id.partition("-")[0] for rule in rules} >= {"MDMP"}
    # A rule against truth is about the stream or about the memory that it lists.
    assert {rule.id.partition("-")[0] for rule in rules} & {"TRUE", "PAGE"}
    assert all(mutants_of(rule.id) for rule in rules)
    assert stream_vector(stream)
