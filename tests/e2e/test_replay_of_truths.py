"""A full dump is replayed only if its target raises its exception again: a process that was made by hand need not."""

from __future__ import annotations

from pathlib import Path

import pytest
from dumptruth.emu.debugger.client import DebugClient
from dumptruth.emu.scenarios.process import run_scenario
from dumptruth.emu.snapshot.process import ProcessSnapshot
from dumptruth.emu.synthetic.process import synthetic_process
from dumptruth.emu.truth import store
from dumptruth.fixtures.replay.judging import judge, requested
from dumptruth.oracle import Outcome, Report, Verdict, load_truth

RULE = "XCUT-REPLAY-001"


def judged(folder: Path, target: ProcessSnapshot) -> Report:
    """The report on a full dump of ``target``, as ``dumptruth check`` judges it."""
    DebugClient(target).write(folder / "full.dmp", "default")
    store.save(target, folder / "truth", source="a program")
    return judge(folder / "full.dmp", load_truth(folder / "truth"), requested(1025))


def verdict(report: Report) -> Verdict:
    (result,) = [result for result in report.results if result.rule == RULE]
    return result.verdict


@pytest.mark.parametrize("architecture", ["amd64", "x86", "arm64"])
def test_a_process_that_was_made_by_hand_is_not_replayed(tmp_path: Path, architecture: str) -> None:
    report = judged(tmp_path, synthetic_process(architecture))
    assert report.outcome is Outcome.CONFORMANT, report.failing()
    assert verdict(report) is Verdict.NOT_APPLICABLE


@pytest.mark.parametrize("scenario", ["null-read", "guard-page", "raised-exception"])
def test_a_process_that_ran_is_replayed_whatever_its_truth_is_called(tmp_path: Path, scenario: str) -> None:
    report = judged(tmp_path, run_scenario(scenario))
    assert verdict(report) is Verdict.PASS
