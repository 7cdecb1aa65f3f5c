"""Finding the image files of a target."""

from __future__ import annotations

from pathlib import Path

from dumptruth.emu.image_files import FoundFiles
from dumptruth.emu.images.services import FOLDER


def test_a_file_is_found_by_its_base_name_in_any_case(tmp_path: Path) -> None:
    (tmp_path / "Own.EXE").write_bytes(b"own")
    found = FoundFiles(tmp_path)
    assert found("C:\\work\\own.exe") == tmp_path / "Own.EXE"
    assert found("/build/OWN.exe") == tmp_path / "Own.EXE"
    assert found("C:\\work\\other.exe") is None


def test_the_built_images_of_both_modes_are_known_and_a_folder_of_the_users_comes_first(tmp_path: Path) -> None:
    assert FoundFiles()("C:\\Windows\\System32\\ntdll.dll") == FOLDER / "ntdll.dll"
    assert FoundFiles()("\\SystemRoot\\system32\\ntoskrnl.exe") == FOLDER / "kernel" / "ntoskrnl.exe"
    assert FoundFiles()("ntkrnlmp.pdb") == FOLDER / "kernel" / "ntkrnlmp.pdb"
    (tmp_path / "ntdll.dll").write_bytes(b"theirs")
    assert FoundFiles(tmp_path)("ntdll.dll") == tmp_path / "ntdll.dll"


def test_files_made_for_the_run_come_before_folders(tmp_path: Path) -> None:
    (tmp_path / "own.exe").write_bytes(b"old")
    assert FoundFiles(tmp_path, made={"Own.exe": b"new"})("own.EXE") == b"new"


def test_a_folder_of_that_name_and_a_missing_folder_give_no_file(tmp_path: Path) -> None:
    (tmp_path / "own.exe").mkdir()
    assert FoundFiles(tmp_path, tmp_path / "gone")("own.exe") is None
