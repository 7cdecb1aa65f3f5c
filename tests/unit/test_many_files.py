"""Which files the arguments of a command mean."""

from __future__ import annotations

import io
import os
from pathlib import Path

import pytest
from dumptruth.fixtures.app.commands.failure import CommandError
from dumptruth.fixtures.app.many.files import Found, find

MINIDUMP = b"MDMP" + bytes(60)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with dumps, a cabinet, and other files; also the current folder."""
    for name, data in {
        "d/a.dmp": MINIDUMP, "d/b.txt": b"text", "d/e/c.bin": b"PAGEDU64" + bytes(5000), "d/e/f.cab": b"MSCF",
        "d/e/empty.dmp": b"", "x[1].dmp": MINIDUMP, "x2.dmp": MINIDUMP,
    }.items():  # fmt: skip
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    (tmp_path / "spool").mkdir()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def found(*arguments: str) -> Found:
    return find([Path(argument) for argument in arguments], lambda: Path("spool"))


def names(*arguments: str) -> list[str]:
    return [file.name for file in found(*arguments).files]


def test_a_folder_stands_for_the_dumps_and_cabinets_below_it(here: Path) -> None:
    result = found("d")
    assert [file.name for file in result.files] == ["d/a.dmp", "d/e/c.bin", "d/e/f.cab"]
    assert result.others == ["d/b.txt", "d/e/empty.dmp"]
    assert not result.single


def test_a_named_file_is_taken_whatever_it_is(here: Path) -> None:
    assert names("d/b.txt", "d/e/empty.dmp") == ["d/b.txt", "d/e/empty.dmp"]
    assert found("d/b.txt").single


def test_patterns_are_expanded_in_order_and_reach_into_folders(here: Path) -> None:
    assert names("*.dmp") == ["x2.dmp", "x[1].dmp"]
    assert names("**/*.dmp") == ["d/a.dmp", "d/e/empty.dmp", "x2.dmp", "x[1].dmp"]
    assert names(str(here / "x2*")) == [(here / "x2.dmp").as_posix()]
    assert not found("x2*").single
    assert names("d*") == ["d/a.dmp", "d/e/c.bin", "d/e/f.cab"]


def test_an_existing_name_is_no_pattern(here: Path) -> None:
    assert names("x[1].dmp") == ["x[1].dmp"]
    assert found("x[1].dmp").single


def test_a_file_counts_once(here: Path) -> None:
    assert names("d/a.dmp", "d", "./d/a.dmp", str(here / "d" / "a.dmp")) == ["d/a.dmp", "d/e/c.bin", "d/e/f.cab"]


@pytest.mark.parametrize(("argument", "words"), [("none.dmp", "none.dmp: No such file"), ("n*", "n*: no file matches")])
def test_what_is_not_there_is_named(here: Path, argument: str, words: str) -> None:
    with pytest.raises(CommandError) as caught:
        found("x2.dmp", argument)
    assert str(caught.value).startswith(words)
    assert caught.value.status == 2


def test_standard_input_is_copied_to_a_file(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(MINIDUMP)))
    result = found("-")
    (file,) = result.files
    assert (file.name, file.title, file.path.read_bytes()) == ("-", "standard input", MINIDUMP)
    assert file.path.parent == Path("spool")
    assert result.single


def test_a_terminal_is_no_dump(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.TextIOWrapper(io.BytesIO())
    monkeypatch.setattr(stream, "isatty", lambda: True)
    monkeypatch.setattr("sys.stdin", stream)
    with pytest.raises(CommandError, match="terminal"):
        found("-")


def test_a_closed_standard_input_is_told(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", None)
    with pytest.raises(CommandError, match="standard input is closed"):
        found("-")


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="needs a user whom permissions bind")
def test_a_file_that_cannot_be_read_is_a_problem_of_that_file(here: Path) -> None:
    Path("d/a.dmp").chmod(0)
    result = found("d")
    assert [name for name, _ in result.problems] == ["d/a.dmp"]
    assert [file.name for file in result.files] == ["d/e/c.bin", "d/e/f.cab"]


def test_a_folder_that_vanishes_is_a_problem(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.scandir

    def scandir(path: str) -> object:
        if str(path).endswith("e"):
            raise PermissionError(13, "Permission denied", path)
        return real(path)

    monkeypatch.setattr("os.scandir", scandir)
    result = found("d")
    assert [name for name, _ in result.problems] == ["d/e"]
    assert [file.name for file in result.files] == ["d/a.dmp"]


def test_a_link_that_leads_back_is_not_followed(here: Path) -> None:
    try:
        Path("d/back").symlink_to(here / "d", target_is_directory=True)
    except OSError:
        pytest.skip("links need a right")
    assert names("d") == ["d/a.dmp", "d/e/c.bin", "d/e/f.cab"]


def test_other_processes_are_for_many_files_or_large_ones(here: Path) -> None:
    few = found("d")
    assert (few.jobs(None), few.jobs(4)) == (1, 4)
    with Path("d/a.dmp").open("r+b") as file:
        file.truncate(1 << 25)
    assert few.jobs(None) is None
    for number in range(16):
        Path(f"d/e/{number}.dmp").write_bytes(MINIDUMP)
    assert found("d/e").jobs(None) is None
