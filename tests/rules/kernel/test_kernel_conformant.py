"""Hand-made dumps of every kind conform with and without truth, and a structure owns every byte."""

from __future__ import annotations

from typing import Any

import pytest
from dumptruth.oracle import ByteSource, Outcome, Verdict, check

KINDS = (
    "full", "summary", "header only", "small A", "small B", "small 9600", "bitmap full", "bitmap kernel",
    "bitmap active", "ranges kernel", "ranges active", "ranges complete",
)  # fmt: skip


@pytest.mark.parametrize("name", KINDS)
def test_a_dump_made_by_hand_is_conformant_and_every_byte_has_an_owner(dumps: dict[str, Any], name: str) -> None:
    made = dumps[name]
    report = check(ByteSource(made.data, name), made.truth, made.request, strict=True)
    assert [(result.rule, result.findings[:2]) for result in report.results if result.verdict is Verdict.FAIL] == []
    assert report.outcome is Outcome.CONFORMANT, report.reason
    assert report.unclaimed == 0
    assert report.kind == "kernel-dump"


@pytest.mark.parametrize("name", KINDS)
def test_the_same_dump_is_conformant_without_truth(dumps: dict[str, Any], name: str) -> None:
    report = check(ByteSource(dumps[name].data, name), strict=True)
    failed = [(result.rule, result.findings[:2]) for result in report.results if result.verdict is Verdict.FAIL]
    assert failed == []
    assert report.outcome is Outcome.CONFORMANT, report.reason
