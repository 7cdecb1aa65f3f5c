"""Runs the command in this process, each test in its own folder. A worker runs each scenario once for all of them."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from types import ModuleType

import pytest
from dumptruth.fixtures.app import targets

from ..precompiled import precompiled_headers
from .command_line import CommandLine
from .github_action import Action, load

__all__ = ["dumptruth", "precompiled_headers"]


@pytest.fixture(scope="session", autouse=True)
def _scenarios_run_once() -> Iterator[None]:
    """A snapshot is frozen, and the same in every run (test_determinism.py)."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("run_scenario", "run_kernel_scenario"):
            patch.setattr(targets, name, lru_cache(maxsize=16)(getattr(targets, name)))
        yield


@pytest.fixture
def dumptruth(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CommandLine:
    monkeypatch.chdir(tmp_path)
    return CommandLine(capsys)


@pytest.fixture
def act(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Action:
    return Action(tmp_path, monkeypatch)


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The script of the GitHub Action as a module, for cases that no real dump causes."""
    return load("dumptruth_action_judge", monkeypatch)
