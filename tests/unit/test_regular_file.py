"""A file that changes while it is read is told, and kills no process. What is no regular file is refused at once."""

from __future__ import annotations

import os
import socket
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from dumptruth.oracle import ByteSource, TruthError, check, identify, load_any_truth
from dumptruth.oracle.conform import load_known_failures
from dumptruth.oracle.memory import regular_file, source
from dumptruth.oracle.memory.regular_file import FileChangedError, SpecialFileError, head_of, read_regular
from hypothesis import given
from hypothesis import strategies as st

from .public_goldens import KERNEL, MACHINE, PROCESS, USER, path_of

posix = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no FIFOs")
linux = pytest.mark.skipif(sys.platform != "linux", reason="only Linux has /proc")


@pytest.fixture(params=[source.WHOLE, 0], ids=["read at once", "read in pieces"])
def both_ways(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source, "WHOLE", request.param)


def copied(folder: Path) -> Path:
    path = folder / "a.dmp"
    path.write_bytes(path_of(USER).read_bytes())
    return path


def shortened(path: Path) -> None:
    os.truncate(path, 4096)


def longer(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"more")


def replaced(path: Path) -> None:
    other = path.with_suffix(".new")
    other.write_bytes(path.read_bytes())
    other.replace(path)


def written(path: Path) -> None:
    with path.open("r+b") as file:
        file.write(b"MDMP")
    os.utime(path, ns=(1, 1))  # in case both writes are in one tick of the clock


@pytest.mark.usefixtures("both_ways")
@pytest.mark.parametrize("change", [shortened, longer, replaced, written])
def test_a_file_that_changes_while_it_is_read_is_told(change: Callable[[Path], object], tmp_path: Path) -> None:
    if sys.platform == "win32" and change is replaced:
        pytest.skip("Windows has no FIFOs, and moves no open file")
    path = copied(tmp_path)

    def read() -> None:
        with ByteSource.open(path) as opened:
            assert opened.read(0, 4) == b"MDMP"
            change(path)
            opened.read(8192, 64)

    with pytest.raises(FileChangedError, match="changed while it was read") as told:
        read()
    assert told.value.filename == str(path)


@pytest.mark.usefixtures("both_ways")
@pytest.mark.skipif(sys.platform == "win32", reason="Windows removes no open file")
def test_a_file_that_is_removed_still_has_its_bytes(tmp_path: Path) -> None:
    path = copied(tmp_path)
    with ByteSource.open(path) as opened:
        path.unlink()
        assert opened.read(0, 4) == b"MDMP"


@pytest.mark.parametrize("at_most", [source.WHOLE, 0])
def test_check_gives_no_verdict_on_a_file_that_is_shortened_meanwhile(
    at_most: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(source, "WHOLE", at_most)
    path = copied(tmp_path)
    kind = ByteSource if at_most else source._LargeFile
    real, calls = kind.view, iter(range(1 << 20))

    def view(self: Any, offset: int, length: int) -> memoryview:
        if next(calls) == 5:
            shortened(path)
        return real(self, offset, length)

    monkeypatch.setattr(kind, "view", view)
    with pytest.raises(FileChangedError):
        check(path)


@pytest.mark.parametrize("vector", [PROCESS, KERNEL], ids=["process", "machine"])
def test_check_gives_no_verdict_against_a_truth_that_changes_meanwhile(vector: object, tmp_path: Path) -> None:
    folder = vector.truth_folder  # type: ignore[attr-defined]
    for name in ("truth.json", "memory.bin"):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    truth = load_any_truth(tmp_path)
    longer(tmp_path / "memory.bin")
    with pytest.raises(FileChangedError, match=r"memory\.bin"):
        check(vector.read(), truth, vector.request())  # type: ignore[attr-defined]


@given(data=st.data())
def test_a_file_that_is_read_in_pieces_has_the_bytes_of_one_that_is_read_at_once(data: st.DataObject) -> None:
    path = path_of(MACHINE)
    expected = path.read_bytes()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(source, "WHOLE", 0)
        opened = ByteSource.open(path)
    with opened:
        assert opened.size == len(expected)
        for _ in range(8):
            at = data.draw(st.integers(-2, len(expected) + 2))
            length = data.draw(st.integers(-1, 3 * source._BLOCK))
            wanted = expected[at : at + length] if at >= 0 and length > 0 else b""
            assert opened.read(at, length) == wanted
            assert bytes(opened.view(at, length)) == wanted


def test_a_large_file_keeps_a_bounded_number_of_blocks(tmp_path: Path) -> None:
    path = tmp_path / "large"
    size = 2 * source._BLOCKS * source._BLOCK
    with path.open("wb") as file:
        file.truncate(size)
    with ByteSource.open(path) as opened:
        assert isinstance(opened, source._LargeFile)
        for at in range(0, size, source._BLOCK):
            opened.read(at, 16)
        assert len(opened._blocks) == len(opened._kept) == source._BLOCKS


def test_reads_without_pread_are_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "pread", raising=False)
    path = copied(tmp_path)
    file = regular_file.RegularFile(path)
    found: list[bytes] = []
    threads = [threading.Thread(target=lambda: found.extend(file.read(at, 64) for at in range(512))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    file.close()
    expected = path.read_bytes()
    assert sorted(found) == sorted([expected[at : at + 64] for at in range(512)] * 4)


def test_a_closed_file_is_not_read(tmp_path: Path) -> None:
    file = regular_file.RegularFile(copied(tmp_path))
    file.close()
    file.close()
    with pytest.raises(ValueError, match="closed"):
        file.read(0, 1)


def refused(path: Path) -> list[str]:
    """The words of every function that reads a file."""
    said = []
    for function in (ByteSource.open, check, identify, read_regular, load_known_failures):
        with pytest.raises(SpecialFileError) as told:
            function(path)
        assert told.value.filename == str(path)
        said.append(str(told.value.strerror))
    with pytest.raises(SpecialFileError):
        head_of(path, 16)
    return said


@posix
def test_a_fifo_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.dmp")
    assert set(refused(tmp_path / "a.dmp")) == {"is a FIFO: expected a regular file"}
    (tmp_path / "truth").mkdir()
    os.mkfifo(tmp_path / "truth" / "truth.json")
    with pytest.raises(TruthError, match=r"truth\.json: cannot be read: is a FIFO: expected a regular file"):
        load_any_truth(tmp_path / "truth")


@posix
def test_a_device_and_a_socket_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert set(refused(Path(os.devnull))) == {"is a device: expected a regular file"}
    monkeypatch.chdir(tmp_path)  # the name of a socket must be short
    with socket.socket(socket.AF_UNIX) as made:
        made.bind("socket")
        assert set(refused(Path("socket"))) == {"is a socket: expected a regular file"}


@linux
def test_files_of_the_kernel_are_refused() -> None:
    for name in ("/proc/self/status", "/sys/kernel/mm/transparent_hugepage/enabled"):
        if Path(name).exists():
            assert set(refused(Path(name))) == {"is a file of the kernel: expected a regular file"}


def test_a_folder_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(IsADirectoryError) as told:
        ByteSource.open(tmp_path)
    assert told.value.filename == str(tmp_path)
