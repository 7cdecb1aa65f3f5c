"""A replay that meets a limit, or that the host cannot run, says nothing about the dump: it is no failure."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from dumptruth.emu.debugger.client import DebugClient
from dumptruth.emu.machine.ram import Ram
from dumptruth.emu.scenarios.run import run
from dumptruth.emu.truth.store import save
from dumptruth.fixtures.replay import kernel, process
from dumptruth.fixtures.replay.judging import judge, requested
from dumptruth.oracle import Outcome, Report, Verdict, load_any_truth

DEFAULT, FULL = 1025, 1026


def judged(folder: Path, qualifier: int) -> Report:
    request = requested(qualifier, profile="modern" if qualifier == DEFAULT else "portable", file="a.dmp")
    return judge(folder / "a.dmp", load_any_truth(folder / "truth"), request)


@pytest.fixture(scope="module")
def user(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return written(tmp_path_factory.mktemp("user"), "null-read", DEFAULT)


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return written(tmp_path_factory.mktemp("machine"), "bugcheck-d1", FULL)


def written(folder: Path, scenario: str, qualifier: int) -> Path:
    snapshot = run(scenario, ram="4M")
    save(snapshot, folder / "truth", source=scenario)
    DebugClient(snapshot, start_directory=folder).write("a.dmp", qualifier)
    return folder


def no_memory(*_: Any, **__: Any) -> None:
    raise MemoryError


def no_map(*_: Any, **__: Any) -> None:
    raise OSError(12, "Cannot allocate memory")


def no_emulator(*_: Any, **__: Any) -> None:
    raise RuntimeError("unicorn failed at 0x0: Out of memory (UC_ERR_NOMEM)")


@pytest.mark.parametrize(
    ("name", "value", "why"),
    [
        ("_RAM", 0x4000, "more pages are in use than 0x4000 bytes of RAM hold"),
        ("Ram", no_memory, "the host could not run it: MemoryError"),
        ("Ram", no_map, "the host could not run it: [Errno 12] Cannot allocate memory"),
        ("Cpu", no_emulator, "the host could not run it: unicorn failed"),
    ],
)
def test_a_user_dump_whose_replay_meets_a_limit_is_incomplete(
    user: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: object, why: str
) -> None:
    assert judged(user, DEFAULT).outcome is Outcome.CONFORMANT
    monkeypatch.setattr(process, name, value)
    told(judged(user, DEFAULT), "XCUT-REPLAY-001", why)


@pytest.mark.parametrize(
    ("name", "value", "why"),
    [
        ("_LARGEST_MEMORY", 1 << 20, "a replay holds at most 0x100000"),
        ("Cpu", no_emulator, "the host could not run it: unicorn failed"),
    ],
)
def test_a_kernel_dump_whose_replay_meets_a_limit_is_incomplete(
    machine: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: object, why: str
) -> None:
    assert judged(machine, FULL).outcome is Outcome.CONFORMANT
    monkeypatch.setattr(kernel, name, value)
    told(judged(machine, FULL), "KXCT-REPLAY-001", why)


def told(report: Report, rule: str, why: str) -> None:
    assert report.outcome is Outcome.INCOMPLETE
    assert why in (report.reason or "")
    assert not list(report.failing())
    assert next(result.verdict for result in report.results if result.rule == rule) is Verdict.INCOMPLETE


def test_memory_that_is_never_allocated_costs_nothing() -> None:
    ram = Ram(1 << 32)
    ram.write(0x5000, b"here")
    assert "_used" not in vars(ram)
    assert ram.allocate_page() == 0x1000
