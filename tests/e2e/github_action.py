"""Runs the GitHub Action's script, and checks what it writes.

The script and the command that it starts run in this process, but for two tests that start the real processes.
"""

from __future__ import annotations

import contextlib
import importlib.util
import io
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml
from dumptruth.fixtures.app.cli import run_command

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / ".github" / "action" / "judge.py"
GOLDEN = ROOT / "fixtures" / "golden"
SOUND = GOLDEN / "user" / "small" / "process-amd64.dmp"


def action() -> dict[str, Any]:
    """Reads all scalars as text, as GitHub passes them on."""
    found: dict[str, Any] = yaml.load((ROOT / "action.yml").read_text(encoding="utf-8"), yaml.BaseLoader)
    return found


class Done:
    """Exit status, output and files of the script."""

    def __init__(self, status: int, out: bytes, err: bytes, workspace: Path, runner: Path) -> None:
        self.status = status
        self.out = out.decode("utf-8").replace("\r\n", "\n")
        self.err = err.decode("utf-8", "backslashreplace")
        self.workspace = workspace
        self.summary = (runner / "summary").read_text(encoding="utf-8")
        text = (runner / "output").read_text(encoding="utf-8")
        self.outputs = dict(re.findall(r"^(\w+)<<(?:end-\S+)\n(.*)\nend-\S+$", text, re.MULTILINE))

    @property
    def annotations(self) -> list[str]:
        return [line for line in self.out.split("\n") if line.startswith("::")]

    @property
    def run(self) -> dict[str, Any]:
        log = json.loads((self.workspace / self.outputs["sarif"]).read_text(encoding="ascii"))
        run = checked_run(log)
        assert run["invocations"][0]["exitCode"] == self.status
        return run


def checked_run(log: dict[str, Any]) -> dict[str, Any]:
    """The only run of a SARIF file, after checks of what GitHub requires."""
    assert log["version"] == "2.1.0"
    assert "sarif-schema-2.1.0" in log["$schema"]
    run: dict[str, Any]
    (run,) = log["runs"]
    rules = run["tool"]["driver"]["rules"]
    assert run["tool"]["driver"]["name"] == "dumptruth"
    assert len({rule["id"] for rule in rules}) == len(rules)
    for rule in rules:
        assert rule["shortDescription"]["text"]
        assert rule["fullDescription"]["text"]
        assert rule["help"]["text"]
        assert len(rule["properties"]["tags"]) <= 10
    for result in run["results"]:
        assert rules[result["ruleIndex"]]["id"] == result["ruleId"]
        assert result["level"] in ("error", "warning", "note")
        assert result["message"]["text"]
        assert len(result["locations"]) == 1
        for location in (*result["locations"], *result.get("relatedLocations", ())):
            physical = location["physicalLocation"]
            uri, index = physical["artifactLocation"]["uri"], physical["artifactLocation"]["index"]
            assert run["artifacts"][index]["location"] == {"uri": uri, "index": index}
            assert not uri.startswith("/")
            # GitHub needs a line. SARIF forbids byte offsets beside it that name other bytes.
            assert physical["region"]["startLine"] == 1
            assert not {"byteOffset", "byteLength"} & set(physical["region"])
    return run


def load(name: str, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, spec.name, module)
    spec.loader.exec_module(module)
    return module


class Here:
    """Stands for the module ``subprocess`` in the script: runs ``dumptruth`` in this process."""

    CalledProcessError = subprocess.CalledProcessError

    @staticmethod
    def run(arguments: list[str], **_options: Any) -> subprocess.CompletedProcess[str]:
        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            status = run_command(arguments[arguments.index("check") :])
        return subprocess.CompletedProcess(arguments, status, out.getvalue(), err.getvalue())


class Action:
    """Runs the script as the composite action does, in a workspace of the test.

    ``processes``: whether the script and the command are processes of their own.
    """

    def __init__(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.monkeypatch = monkeypatch
        self.processes = False
        self.workspace = tmp_path / "workspace"
        self.runner = tmp_path / "runner"
        for folder in (self.workspace, self.runner):
            folder.mkdir()

    def add(self, golden: Path, name: str) -> Path:
        path = self.workspace / name
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(golden, path)
        return path

    def __call__(self, dumps: str, **inputs: str) -> Done:
        values = {name: given.get("default", "") for name, given in action()["inputs"].items()}
        values |= {"dumps": dumps, **inputs}
        environment = {
            name: value for name, value in os.environ.items() if not name.startswith(("GITHUB_", "INPUT_", "RUNNER_"))
        }
        environment |= {f"INPUT_{name.upper()}": value for name, value in values.items() if "-" not in name}
        environment |= {
            "GITHUB_WORKSPACE": str(self.workspace),
            "GITHUB_OUTPUT": str(self.runner / "output"),
            "GITHUB_STEP_SUMMARY": str(self.runner / "summary"),
        }
        for name in ("output", "summary"):
            (self.runner / name).write_text("", encoding="utf-8")
        if self.processes:
            done = subprocess.run(
                [sys.executable, str(SCRIPT), "judge"],
                cwd=self.workspace, env=environment, capture_output=True, check=False,
            )  # fmt: skip
            return Done(done.returncode, done.stdout, done.stderr, self.workspace, self.runner)
        return self._here(environment)

    def _here(self, environment: dict[str, str]) -> Done:
        printed = io.BytesIO(), io.BytesIO()
        out, err = (io.TextIOWrapper(stream, encoding="ascii") for stream in printed)
        with self.monkeypatch.context() as patch, contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            patch.chdir(self.workspace)
            for name, value in environment.items():
                patch.setenv(name, value)
            patch.setattr(sys, "argv", [str(SCRIPT), "judge"])
            script = load("dumptruth_action_here", patch)
            patch.setattr(script, "subprocess", Here)
            status = script.main()
        for stream in (out, err):
            stream.flush()
        return Done(status, printed[0].getvalue(), printed[1].getvalue(), self.workspace, self.runner)
