"""What README shows is what happens: its commands and its Python are run, and their outputs compared.

In a shown output a line ``...`` stands for any lines, and durations are not compared. After a change that is meant,
``python tests/e2e/test_readme.py`` puts the new outputs in, but for those that are shown in part.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "README.md").read_text(encoding="utf-8")
DURATION = re.compile(r"\b\d+\.\d+ s\b")


@dataclass(frozen=True)
class Shown:
    """Something to run and what README says it prints."""

    run: str
    """A command line of ``dumptruth``, or Python source."""
    python: bool
    output: str


def _blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)


def _shown() -> list[Shown]:
    """Every ``$ command`` of the console blocks, and every block of Python with the text block after it, in order."""
    found: list[Shown] = []
    blocks = re.findall(r"^```(console|python|text)\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)
    for index, (language, block) in enumerate(blocks):
        if language == "console":
            for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
                command, _, output = part.partition("\n")
                found.append(Shown(command, False, output))
        elif language == "python":
            following, output = blocks[index + 1]
            assert following == "text", "Python without the text that it prints"
            found.append(Shown(block, True, output))
    return found


def _normal(lines: str) -> list[str]:
    return [DURATION.sub("0.0 s", line.rstrip()) for line in lines.rstrip("\n").split("\n")]


def _matches(expected: list[str], actual: list[str]) -> bool:
    if not expected:
        return not actual
    if expected[0].strip() == "...":
        return any(_matches(expected[1:], actual[index:]) for index in range(len(actual) + 1))
    return bool(actual) and expected[0] == actual[0] and _matches(expected[1:], actual[1:])


def _printed(item: Shown, folder: Path) -> str:
    """What it prints, run in ``folder``: standard output, then standard error."""
    program, _, arguments = item.run.partition(" ")
    if item.python:
        command = [item.run]
    else:
        assert program == "dumptruth", item.run
        command = ["from dumptruth.fixtures.app.cli import main; main()", *shlex.split(arguments)]
    done = subprocess.run(
        [sys.executable, "-c", *command],
        cwd=folder,
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
        env={**os.environ, "COLUMNS": "110", "NO_COLOR": "1", "PYTHONIOENCODING": "utf-8"},
    )
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One folder for the whole tour: a later command may use what an earlier one wrote."""
    return tmp_path_factory.mktemp("tour")


def test_what_the_tour_shows_is_what_is_printed(folder: Path) -> None:
    shown = _shown()
    assert {item.python for item in shown} == {True, False}
    for item in shown:
        actual = _normal(_printed(item, folder))
        assert _matches(_normal(item.output), actual), f"$ {item.run}\n" + "\n".join(actual)


def test_the_two_commands_are_these() -> None:
    commands = _blocks("sh")[0].strip().split("\n")
    assert commands == [
        "python3 -m venv .venv && .venv/bin/pip install -e '.[test]' && .venv/bin/dumptruth demo",
        ".venv/bin/pytest",
    ]
    assert _blocks("bat")[0].strip().split("\n") == [
        r"py -m venv .venv && .venv\Scripts\pip install -e .[test] && .venv\Scripts\dumptruth demo",
        r".venv\Scripts\pytest",
    ]


def test_every_file_that_the_readme_links_to_exists() -> None:
    links = [link for link in re.findall(r"\]\(([^)]+)\)", TEXT) if "://" not in link]
    assert links
    assert [link for link in links if not (ROOT / link).exists()] == []


def _renew() -> None:
    text = TEXT
    with tempfile.TemporaryDirectory() as name:
        for item in _shown():
            printed = "\n".join(line.rstrip() for line in _printed(item, Path(name)).split("\n")).rstrip("\n") + "\n"
            if "..." not in item.output.split("\n"):
                before = f"{item.run}```\n\n```text\n" if item.python else f"$ {item.run}\n"
                assert text.count(before + item.output) == 1
                text = text.replace(before + item.output, before + printed)
    (ROOT / "README.md").write_text(text, encoding="utf-8", newline="\n")


if __name__ == "__main__":
    _renew()
