"""The tables of reader verdicts are complete and are about the versions that the extra ``interop`` pins."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from dumptruth.fixtures.adapters import KERNEL_READERS, READERS
from dumptruth.fixtures.adapters.known import FAULTS, KERNEL, USER, VERSIONS, FaultMendedError, Verdict, pins, rows

PROJECT = Path(__file__).resolve().parents[2] / "pyproject.toml"
PACKAGES = {"leechcorepyc": "LeechCore"}
"""Packages with another name than their reader."""
SYSTEMS_OWN = {"obj2yaml", "engine", "file"}
PIN = re.compile(r"^([a-z0-9-]+)==([^; ]+)")
SUPPORT = {"libusb-package"}
"""Packages that readers need and that are not readers."""


def test_the_versions_are_those_that_the_extra_pins() -> None:
    extra = tomllib.loads(PROJECT.read_text(encoding="utf-8"))["project"]["optional-dependencies"]["interop"]
    pinned = {name: version for requirement in extra for name, version in PIN.findall(requirement)}
    assert len(pinned) == len({requirement.partition("=")[0] for requirement in extra})
    assert {PACKAGES.get(name, name): version for name, version in pinned.items() if name not in SUPPORT} == {
        reader: version for reader, version in VERSIONS.items() if reader not in SYSTEMS_OWN
    }


def test_every_reader_has_a_row_with_its_cells_and_faults() -> None:
    table = {row.reader: row for row in rows()}
    assert set(table) == set(READERS) | set(KERNEL_READERS)
    assert {reader for reader, row in table.items() if row.user} == set(USER) == set(READERS)
    assert {reader for reader, row in table.items() if row.kernel} == set(KERNEL) == set(KERNEL_READERS)
    assert sum(len(row.faults) for row in table.values()) == len(FAULTS)
    # Every cell with another entry than agreement, header or refusal needs a listed fault.
    for row in table.values():
        unexplained = {Verdict.PARTLY, Verdict.MISREADS} & {*row.kernel.values(), *row.user.values()}
        assert row.faults or not unexplained


def test_a_fixed_fault_is_named_with_what_to_do() -> None:
    @pins("kdmp-page-0-ends-runs")
    def mended() -> None:
        raise AssertionError("all 16 pages are there")

    with pytest.raises(FaultMendedError, match=r"run that starts at page 0 .* from fixtures/adapters/known\.py"):
        mended()


def test_a_fault_that_is_not_listed_cannot_be_pinned() -> None:
    with pytest.raises(KeyError):
        pins("no-such-fault")
