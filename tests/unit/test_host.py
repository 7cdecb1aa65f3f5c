"""Trouble of the host is told in one line with the file's name and what to do. It is never a verdict."""

from __future__ import annotations

import errno
from typing import NoReturn

import pytest
from dumptruth.emu.machine import cpu
from dumptruth.emu.machine.cpu import Cpu
from dumptruth.emu.machine.paging import PageTables
from dumptruth.emu.machine.ram import Ram
from dumptruth.fixtures.app.commands import failure
from dumptruth.fixtures.app.commands.failure import USAGE
from dumptruth.fixtures.app.host import about, is_poor, told
from dumptruth.oracle import all_rules, check
from dumptruth.oracle.conform import Command, Limits, Options, WriterCase, run_writer
from dumptruth.oracle.conform.results import CaseResult, Summary, Verdict
from unicorn.unicorn_const import UC_ERR_NOMEM
from unicorn.unicorn_py3 import UcError

from .public_goldens import USER, path_of

TROUBLE = (
    MemoryError(),
    OSError(errno.ENOSPC, "No space left on device"),
    OSError(errno.EMFILE, "Too many open files"),
)


@pytest.mark.parametrize("error", TROUBLE)
def test_trouble_of_the_host_is_one_line_with_the_file_and_what_to_do(
    error: OSError | MemoryError, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(type(error)) as raised, about("a.dmp"):
        raise error
    assert failure.report(raised.value) == USAGE
    line = capsys.readouterr().err
    assert line.startswith("dumptruth: a.dmp: ")
    assert line == f"dumptruth: a.dmp: {told(error)}\n"
    assert any(verb in line for verb in ("give the process", "free space", "raise the limit"))


def test_an_error_that_names_its_file_keeps_the_name(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(OSError, match="No space") as raised, about("a.dmp"):
        raise OSError(errno.ENOSPC, "No space left on device", "report.html")
    failure.report(raised.value)
    assert capsys.readouterr().err.startswith("dumptruth: report.html: No space left on device: free space")


def test_only_a_lack_of_something_is_a_poor_host() -> None:
    assert all(map(is_poor, TROUBLE))
    assert not is_poor(FileNotFoundError(errno.ENOENT, "No such file"))
    refused = RuntimeError("refused")
    refused.__cause__ = TROUBLE[1]
    assert is_poor(refused)


@pytest.mark.parametrize("error", TROUBLE)
def test_a_rule_that_meets_trouble_of_the_host_gives_no_verdict(
    error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = next(rule for rule in all_rules().values() if rule.id == "MDMP-DIR-001")

    def fails(_selected: object, _case: object) -> NoReturn:
        raise error

    monkeypatch.setattr("dumptruth.oracle.judge._judged", fails)
    with pytest.raises(type(error)):
        check(path_of(USER), select=first.id)


def test_an_emulator_without_memory_is_a_lack_of_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    def started(*_arguments: object) -> NoReturn:
        raise UcError(UC_ERR_NOMEM)

    monkeypatch.setattr(cpu, "UcIntel", started)
    ram = Ram(1 << 20)
    with pytest.raises(MemoryError, match="the emulator cannot start"):
        Cpu(ram, PageTables(ram).root)


def test_a_case_that_the_host_cannot_judge_keeps_the_results_of_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[str] = []

    def target(name: str) -> NoReturn:
        made.append(name)
        raise OSError(errno.ENOSPC, "No space left on device", "memory.bin") if name == "b" else MemoryError

    cases = [WriterCase(name, lambda name=name: target(name)) for name in "abc"]  # type: ignore[misc]
    summary = run_writer(Command(("nothing",), Limits()), cases, Options())
    assert made == ["a", "b", "c"]
    assert [result.verdict for result in summary.results] == [Verdict.UNJUDGED] * 3
    assert summary.results[1].details == ("memory.bin: No space left on device",)
    assert (summary.exit_status, summary.outcome, summary.judged) == (2, "nothing judged", 0)


def test_a_run_with_an_unjudged_case_has_no_verdict() -> None:
    fails = CaseResult("a", Verdict.FAILS, False, ("bad",))
    unjudged = CaseResult("b", Verdict.UNJUDGED, False, ("not enough memory",))
    both = Summary("writer", (fails, unjudged))
    assert (both.exit_status, both.outcome, both.judged) == (2, "not all judged", 1)
    assert Summary("writer", (fails,)).exit_status == 1
