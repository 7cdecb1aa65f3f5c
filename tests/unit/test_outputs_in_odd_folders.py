"""A folder that has a folder in the place of an output file is refused, and stays as it is."""

from __future__ import annotations

from pathlib import Path

import pytest
from dumptruth.emu.synthetic.process import synthetic_process
from dumptruth.emu.truth import store
from dumptruth.fixtures.app.cli import run_command
from dumptruth.fixtures.app.staging import StagedFolder

from ..truth_corpus import sound, write


def held(folder: Path) -> dict[str, bytes | None]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() if path.is_file() else None for path in folder.rglob("*")
    }


@pytest.mark.parametrize("place", ["truth.json", "memory.bin", "request.json"])
@pytest.mark.parametrize("command", ["run", "dump"])
def test_a_truth_never_replaces_a_folder(
    command: str, place: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    truth = write(tmp_path / "in", sound()["amd64"].document, sound()["amd64"].memory)
    folder = write(tmp_path / "out", {"old": 1}, b"old", {"old": 2})
    (folder / place).unlink()
    (folder / place).mkdir()
    (folder / place / "precious").write_bytes(b"data")
    before = held(folder)
    line = [command, str(truth), "--truth", str(folder)]
    assert run_command([*line, "-o", str(tmp_path / "new.dmp")] if command == "dump" else line) == 2
    assert f"{place} in it is a folder: expected a file" in capsys.readouterr().err
    assert held(folder) == before
    assert not (tmp_path / "new.dmp").exists()


@pytest.mark.parametrize("place", ["truth.json", "memory.bin", "request.json"])
def test_a_saved_snapshot_never_replaces_a_folder(place: str, tmp_path: Path) -> None:
    folder = write(tmp_path / "out", {"old": 1}, b"old", {"old": 2})
    (folder / place).unlink()
    (folder / place).mkdir()
    (folder / place / "precious").write_bytes(b"data")
    before = held(folder)
    with pytest.raises(store.TruthError, match=f"{place} in it is a folder, expected a file"):
        store.save(synthetic_process("amd64"), folder)
    assert held(folder) == before


def test_a_file_in_the_place_of_a_folder_is_refused_before_anything_moves(tmp_path: Path) -> None:
    (tmp_path / "below").write_bytes(b"data")
    (tmp_path / "last").write_bytes(b"old")
    before = held(tmp_path)
    with StagedFolder(tmp_path, "last") as staged:
        (staged.path / "below").mkdir()
        for name in ("below/file", "last", "a"):
            (staged.path / name).write_bytes(b"new")
        with pytest.raises(OSError, match="below in it is a file: expected a folder"):
            staged.commit()
    assert held(tmp_path) == before
