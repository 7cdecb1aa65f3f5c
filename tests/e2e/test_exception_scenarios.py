"""Programs that handle exceptions are dumped where a debugger would stop, and their dumps conform.

The dumps of both chances are judged against the truth of that chance, with the replay.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from dumptruth.emu.debugger.client import DebugClient
from dumptruth.emu.process.outcome import CHANCES
from dumptruth.emu.scenarios.process import run_program
from dumptruth.emu.snapshot.process import ProcessSnapshot
from dumptruth.emu.truth import store
from dumptruth.fixtures.replay.judging import judge, requested
from dumptruth.oracle import Outcome, Verdict, load_truth

from ..exception_cases import PROGRAMS, argument, build
from ..marks import needs_compiler

pytestmark = [needs_compiler, pytest.mark.usefixtures("precompiled_headers")]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("exceptions"))


@pytest.mark.parametrize("name", PROGRAMS)
def test_the_exception_is_the_one_of_its_chance_and_every_dump_conforms(built: Path, tmp_path: Path, name: str) -> None:
    program = PROGRAMS[name]
    for chance, (code, information) in zip(CHANCES, (program.first, program.second), strict=True):
        snapshot = run_program(built, [argument(name)], chance=chance)
        event = snapshot.exception
        assert event is not None
        assert event.code == code
        assert event.first_chance is (chance == "first" and name != "fast-fail")
        if code == 0xC00000FD:
            assert event.information[0] == 1
        else:
            assert event.information == information
        thread = next(thread for thread in snapshot.threads if thread.thread_id == event.thread_id)
        assert event.context["Rip"] == event.address == thread.context["Rip"]
        assert thread.context.registers == event.context.registers
        assert thread.stack_limit <= event.context["Rsp"] < thread.stack_base
        _conforms(snapshot, tmp_path / chance)


# Qualifier, profile. A full minidump is replayed; a USERDUMP holds the chance.
REQUESTS = ((1024, "modern"), (1025, "modern"), (1025, "legacy"))


def _conforms(snapshot: ProcessSnapshot, folder: Path) -> None:
    store.save(snapshot, folder / "truth", source="a program")
    truth = load_truth(folder / "truth")
    for number, (qualifier, profile) in enumerate(REQUESTS):
        dump = folder / f"{number}.dmp"
        DebugClient(snapshot, profile=profile).write(dump, qualifier)
        report = judge(dump, truth, requested(qualifier, profile=profile))
        assert report.outcome is Outcome.CONFORMANT, report.failing()
        verdicts = [result.verdict for result in report.results if result.rule == "XCUT-REPLAY-001"]
        if (qualifier, profile) == (1025, "modern"):
            assert verdicts == [Verdict.PASS]
