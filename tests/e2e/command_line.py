"""Runs command lines of ``dumptruth`` in this process and returns their output and exit status."""

from __future__ import annotations

import json
from typing import Any

import pytest
from dumptruth.fixtures.app.cli import run_command


class Done:
    """The output and the exit status of a command."""

    def __init__(self, status: int, out: str, err: str) -> None:
        self.status, self.out, self.err = status, out, err

    def json(self) -> Any:
        return json.loads(self.out)


class CommandLine:
    """Runs command lines in the current folder; ``before`` holds the first words of each."""

    def __init__(self, capsys: pytest.CaptureFixture[str], *before: str) -> None:
        self._capsys = capsys
        self._before = before

    def __call__(self, *arguments: object) -> Done:
        status = run_command([*self._before, *map(str, arguments)])
        captured = self._capsys.readouterr()
        return Done(status, captured.out, captured.err)
