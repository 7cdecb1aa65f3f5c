"""Runs the command in this process, each test in its own folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from .command_line import CommandLine


@pytest.fixture
def dumptruth(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CommandLine:
    monkeypatch.chdir(tmp_path)
    return CommandLine(capsys)
