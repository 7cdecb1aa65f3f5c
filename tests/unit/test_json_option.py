"""`--json` alone is standard output; the word after it is a file only if it cannot be an argument."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import typer
from dumptruth.fixtures.app.commands.json_option import JsonCommand, JsonOption, means_output

SEEN: list[Any] = []


def command(files: list[Path], comment: str | None = None, flag: bool = False, as_json: JsonOption = None) -> None:
    SEEN.append(([str(file) for file in files], comment, flag, as_json))


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("folder").mkdir()
    Path("a.bin").write_bytes(b"MDMP")
    Path("old.json").write_text('\n{"a": 1}', encoding="utf-8")
    Path("empty").write_bytes(b"")


@pytest.mark.parametrize("word", ["-", "new", "new.json", "old.json", "empty", "no/such/folder/a.json"])
def test_a_new_file_or_one_with_json_is_the_output(word: str) -> None:
    assert means_output(word)


@pytest.mark.parametrize("word", ["", "-f", "--flag", "folder", "a.bin", "n.dmp", "N.MDMP", "x.cab", "*.json", "a?"])
def test_a_dump_folder_pattern_or_option_is_not(word: str) -> None:
    assert not means_output(word)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("a.dmp --json", (["a.dmp"], None, False, "-")),
        ("--json a.dmp", (["a.dmp"], None, False, "-")),
        ("--json a.dmp b.dmp", (["a.dmp", "b.dmp"], None, False, "-")),
        ("a.dmp --json out", (["a.dmp"], None, False, "out")),
        ("a.dmp --json=b.dmp", (["a.dmp"], None, False, "b.dmp")),
        ("--json out a.dmp", (["a.dmp"], None, False, "out")),
        ("--json --flag a.dmp", (["a.dmp"], None, True, "-")),
        ("--json - -", (["-"], None, False, "-")),
        ("a.dmp --comment --json", (["a.dmp"], "--json", False, None)),
        ("a.dmp -- --json", (["a.dmp", "--json"], None, False, None)),
        ("a.dmp", (["a.dmp"], None, False, None)),
    ],
)
def test_a_command_line_keeps_its_arguments(words: str, expected: Any) -> None:
    app = typer.Typer(rich_markup_mode=None)
    app.command(cls=JsonCommand)(command)
    typer.main.get_command(app).main(words.split(), standalone_mode=False)
    assert SEEN.pop() == expected
