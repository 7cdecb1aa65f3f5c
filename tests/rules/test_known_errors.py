"""The known errors of the engine in live minidumps are named, and similar faults are not."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from dumptruth.emu.debugger.client import DebugClient
from dumptruth.emu.scenarios.process import run_scenario
from dumptruth.emu.truth import store
from dumptruth.fixtures.replay.judging import requested
from dumptruth.oracle import ByteSource, Report, Truth, check, load_any_truth, read
from dumptruth.oracle.readers.facts import Dump

SMALL, EXTENDED = 1024, 0x20000
GARBAGE = bytes(range(8, 248)) * 8


@pytest.fixture(scope="module", name="made")
def a_dump_with_extended_state(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Truth]:
    folder = tmp_path_factory.mktemp("known-errors")
    target = run_scenario("every-stream")
    DebugClient(target, contract="e15063").write(folder / "x.dmp", SMALL, EXTENDED)
    store.save(target, folder / "truth")
    return folder / "x.dmp", load_any_truth(folder / "truth")


def judged(made: tuple[Path, Truth], contract: str, *, exception: int = 0, threads: int = 0) -> Report:
    """The verdict when the first bytes behind the contexts of the exception or of the threads are other memory."""
    path, truth = made
    data = bytearray(path.read_bytes())
    with read(path) as contents:
        assert isinstance(contents.facts, Dump)
        assert contents.facts.exception is not None
        spoiled = [(contents.facts.exception.context, exception)]
        spoiled += [(thread.context, threads) for thread in contents.facts.threads]
    for context, size in spoiled:
        assert context is not None
        end = min(context.extension.start + size, context.extension.end)
        data[context.extension.start : end] = GARBAGE[: end - context.extension.start]
    request = replace(requested(SMALL, EXTENDED), contract=contract)
    return check(ByteSource(bytes(data), "x.dmp"), truth, request)


def known(report: Report) -> set[str | None]:
    findings = [finding for result in report.failing() for finding in result.findings]
    return {None if finding.known is None else finding.known.id for finding in findings}


def test_other_memory_behind_the_exceptions_context_is_a_known_error_of_15063(made: tuple[Path, Truth]) -> None:
    assert known(judged(made, "e15063")) == set()
    report = judged(made, "e15063", exception=1 << 12)
    assert known(report) == {"ENGINE-EXCEPTION-XSTATE"}
    assert report.only_known_errors
    assert "ENGINE-EXCEPTION-XSTATE" not in known(judged(made, "e29507", exception=1 << 12))


def test_a_wrong_offset_of_the_exceptions_extended_state_is_none(made: tuple[Path, Truth]) -> None:
    assert known(judged(made, "e15063", exception=4)) == {None}


def test_contexts_that_are_all_wrong_are_none(made: tuple[Path, Truth]) -> None:
    assert None in known(judged(made, "e15063", exception=1 << 12, threads=1 << 12))
    assert "ENGINE-EXCEPTION-XSTATE" not in known(judged(made, "e15063", exception=1 << 12, threads=1 << 12))
