"""The transcripts in docs/windbg.md are what the debugger engine prints.

``python tests/interop/test_windbg_page.py`` writes the present output into the page, except outputs with a line
``...``.
"""

from __future__ import annotations

import re
import shlex
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import pytest
from dumptruth.fixtures.adapters.engine.process import Harness
from dumptruth.fixtures.adapters.facts import ReaderMissingError
from dumptruth.fixtures.app.cli import run_command

PAGE = Path(__file__).resolve().parents[2] / "docs" / "windbg.md"
BLOCK = re.compile(r"^```(console|windbg)( [^\n]*)?\n(.*?)^```$", re.MULTILINE | re.DOTALL)
PROMPT = re.compile(r"^(0:000> |0: kd> )", re.MULTILINE)
NOISE = ("No .natvis files found", "Unable to add extension DLL")
"""Starts of lines that depend on the debugger's installation."""
VERSION = "10.0.15063"


@dataclass(frozen=True)
class Asked:
    """A command of the debugger, and the output that the page shows."""

    prompt: str
    command: str
    output: str


def _commands() -> list[list[str]]:
    """The arguments of each ``$ dumptruth`` line."""
    blocks = [text for language, _, text in BLOCK.findall(PAGE.read_text(encoding="utf-8")) if language == "console"]
    return [shlex.split(line)[1:] for text in blocks for line in re.findall(r"^\$ (.*)$", text, re.MULTILINE)]


def _sessions() -> list[tuple[str, str, list[Asked]]]:
    """Dump, folder of symbols and commands of each transcript."""
    found = []
    for language, names, text in BLOCK.findall(PAGE.read_text(encoding="utf-8")):
        if language == "windbg":
            dump, symbols = names.split()
            parts = PROMPT.split(text)[1:]
            asked = [Asked(prompt, *part.split("\n", 1)) for prompt, part in zip(parts[::2], parts[1::2], strict=True)]
            found.append((dump, symbols, asked))
    return found


def _said(harness: Harness, folder: Path, dump: str, symbols: str, asked: list[Asked]) -> list[str]:
    """What the engine prints for each command; paths are shown relative to ``folder``."""
    harness.open(folder / dump, symbols=folder / symbols)
    harness.ask("execute", command=".reload /f")
    here = re.compile(re.escape(harness.path(folder) + "\\"), re.IGNORECASE)
    printed = []
    for item in asked:
        said = harness.ask("execute", command=item.command)["said"].replace("\r", "")
        lines = [here.sub("", line.rstrip()) for line in said.split("\n") if not line.startswith(NOISE)]
        printed.append("\n".join(lines).strip("\n") + "\n")
    harness.ask("end")
    return printed


def _matches(expected: list[str], actual: list[str]) -> bool:
    if not expected:
        return not actual
    if expected[0].strip() == "...":
        return any(_matches(expected[1:], actual[index:]) for index in range(len(actual) + 1))
    return bool(actual) and expected[0] == actual[0] and _matches(expected[1:], actual[1:])


def _transcripts(folder: Path) -> list[list[tuple[Asked, str]]]:
    """Each command of the page with what the engine prints for it. Raises ReaderMissingError without an engine."""
    with Harness() as harness, pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for arguments in _commands():
            assert run_command(arguments) == 0, arguments
        return [
            list(zip(asked, _said(harness, folder, dump, symbols, asked), strict=True))
            for dump, symbols, asked in _sessions()
        ]


def test_the_transcripts_are_what_the_engine_prints(tmp_path: Path) -> None:
    try:
        with Harness() as harness:
            version = harness.version
    except ReaderMissingError as missing:
        pytest.skip(f"the debugger engine cannot run: {missing}")
    if not version.startswith(VERSION):
        pytest.skip(f"the debugger engine cannot run: the page is about {VERSION}, this is {version}")
    transcripts = _transcripts(tmp_path)
    for transcript in transcripts:
        for asked, said in transcript:
            shown = asked.output.rstrip("\n").split("\n")
            assert _matches(shown, said.rstrip("\n").split("\n")), f"{asked.prompt}{asked.command}\n{said}"


def _renew() -> None:
    text = PAGE.read_text(encoding="utf-8")
    with tempfile.TemporaryDirectory() as name:
        for transcript in _transcripts(Path(name)):
            for asked, said in transcript:
                before = f"{asked.prompt}{asked.command}\n"
                if "..." not in asked.output.split("\n"):
                    assert text.count(before + asked.output) == 1, asked.command
                    text = text.replace(before + asked.output, before + said)
    PAGE.write_text(text, encoding="utf-8", newline="\n")


if __name__ == "__main__":
    _renew()
    sys.exit(0)
