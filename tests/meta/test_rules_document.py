"""docs/rules.md is the generated list of all rules."""

from __future__ import annotations

from dumptruth.fixtures.documents.rules import AREAS, DOCUMENT, document
from dumptruth.oracle import all_rules


def test_rules_md_equals_its_regenerated_form() -> None:
    assert DOCUMENT.read_text("utf-8") == document(), "run: python -m dumptruth.fixtures.documents --write"


def test_every_rule_names_the_vectors_that_break_it() -> None:
    without = [line.split("|")[1].strip() for line in document().splitlines() if line.endswith("|  |")]
    # Their mutants change the truth or the replay, not a file.
    assert set(without) <= {"KXCT-REPLAY-001", "KXCT-VERSION-001"}


def test_every_area_has_a_section() -> None:
    assert {rule.partition("-")[0] for rule in all_rules()} == set(AREAS)
