"""The examples in README.md and docs/api.md are run, and their outputs are compared.

In a shown output a line ``...`` stands for any lines, and durations are not compared. The Python blocks of a document
run in a process of their own, so a later block may use the names of an earlier one; the commands run in this process.
``python tests/e2e/test_shown_examples.py`` writes the new outputs into the documents, except those with a line ``...``.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import shlex
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

import pytest
from dumptruth.fixtures.app.cli import run_command

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = ("README.md", "docs/api.md")
DURATION = re.compile(r"\b\d+\.\d+ s\b")
BLOCK = re.compile(r"^```(console|python|text)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
MARK = "-- end of block --"


@dataclass(frozen=True)
class Shown:
    """A command line of ``dumptruth`` or a block of Python, and the output that the document shows."""

    run: str
    python: bool
    output: str


def _text(document: str) -> str:
    return (ROOT / document).read_text(encoding="utf-8")


def _shown(document: str) -> list[Shown]:
    """Every ``$ command`` of the console blocks, and every Python block with the text block after it, in order."""
    found: list[Shown] = []
    blocks = BLOCK.findall(_text(document))
    for index, (language, block) in enumerate(blocks):
        if language == "console":
            for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
                command, _, output = part.partition("\n")
                found.append(Shown(command, False, output))
        elif language == "python":
            following, output = blocks[index + 1]
            assert following == "text", "a Python block is followed by a text block with its output"
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


PLAIN = {"COLUMNS": "110", "NO_COLOR": "1", "PYTHONIOENCODING": "utf-8"}


def _python(source: str, folder: Path) -> str:
    """Standard output and standard error of ``python -c``, in that order."""
    done = subprocess.run(
        [sys.executable, "-c", source],
        cwd=folder,
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
        env={**os.environ, **PLAIN},
    )
    return done.stdout + done.stderr


def _command(arguments: list[str], folder: Path) -> str:
    """Standard output and standard error of ``dumptruth``, in that order."""
    out, err = (io.TextIOWrapper(io.BytesIO(), encoding="utf-8") for _ in range(2))
    with (
        contextlib.chdir(folder), mock.patch.dict(os.environ, PLAIN),
        contextlib.redirect_stdout(out), contextlib.redirect_stderr(err),
    ):  # fmt: skip
        run_command(arguments)
    for stream in (out, err):
        stream.seek(0)
    return out.read() + err.read()


def _printed(shown: list[Shown], folder: Path) -> list[str]:
    """What each example prints, run in ``folder`` in the order of the document."""
    blocks = [item.run for item in shown if item.python]
    session = iter(_python(f"\nprint({MARK!r})\n".join(blocks), folder).split(f"{MARK}\n") if blocks else ())
    printed = []
    for item in shown:
        if item.python:
            printed.append(next(session, "the session ended before this block"))
        else:
            program, _, arguments = item.run.partition(" ")
            assert program == "dumptruth", item.run
            printed.append(_command(shlex.split(arguments), folder))
    return printed


@pytest.mark.parametrize("document", DOCUMENTS)
def test_each_example_of_a_document_prints_the_shown_output(document: str, tmp_path: Path) -> None:
    shown = _shown(document)
    assert any(item.python for item in shown)
    for item, printed in zip(shown, _printed(shown, tmp_path), strict=True):
        actual = _normal(printed)
        assert _matches(_normal(item.output), actual), f"$ {item.run}\n" + "\n".join(actual)


def test_the_two_commands_of_the_readme_are_these() -> None:
    def lines(language: str) -> list[str]:
        block = re.search(rf"^```{language}\n(.*?)^```$", _text("README.md"), re.MULTILINE | re.DOTALL)
        assert block is not None
        return block[1].strip().split("\n")

    assert lines("sh") == [
        "python3 -m venv .venv && .venv/bin/pip install -e '.[test]' && .venv/bin/dumptruth demo",
        ".venv/bin/pytest",
    ]
    assert lines("bat") == [
        r"py -m venv .venv && .venv\Scripts\pip install -e .[test] && .venv\Scripts\dumptruth demo",
        r".venv\Scripts\pytest",
    ]


def test_the_readme_has_at_most_200_lines() -> None:
    assert len(_text("README.md").splitlines()) <= 200


def _renew(document: str) -> None:
    text = _text(document)
    shown = _shown(document)
    with tempfile.TemporaryDirectory() as name:
        for item, output in zip(shown, _printed(shown, Path(name)), strict=True):
            printed = "\n".join(line.rstrip() for line in output.split("\n")).rstrip("\n") + "\n"
            if "..." not in item.output.split("\n"):
                before = f"{item.run}```\n\n```text\n" if item.python else f"$ {item.run}\n"
                assert text.count(before + item.output) == 1, item.run
                text = text.replace(before + item.output, before + printed)
    (ROOT / document).write_text(text, encoding="utf-8", newline="\n")


if __name__ == "__main__":
    for name in sys.argv[1:] or DOCUMENTS:
        _renew(name)
