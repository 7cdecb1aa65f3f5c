"""DebugClient: names, handles, HRESULTs, and the files that remain after success and failure."""

from __future__ import annotations

import errno
import io
import os
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import IO, Any

import pytest
from dumptruth.emu.constants import (
    DEBUG_DUMP_ACTIVE,
    DEBUG_DUMP_DEFAULT,
    DEBUG_DUMP_FULL,
    DEBUG_DUMP_SMALL,
    DEBUG_FORMAT_NO_OVERWRITE,
    DEBUG_USER_WINDOWS_DUMP,
    DEBUG_USER_WINDOWS_SMALL_DUMP,
)
from dumptruth.emu.debugger.client import DebugClient, DumpWriteError
from dumptruth.emu.debugger.host_errors import hresult_of
from dumptruth.emu.request import Request
from dumptruth.emu.synthetic.process import Pages, synthetic_process
from dumptruth.emu.writer.minidump import dump_bytes

SNAPSHOT = synthetic_process()
SMALL = dump_bytes(SNAPSHOT, Request(DEBUG_DUMP_SMALL))[0]
DEFAULT = dump_bytes(SNAPSHOT, Request(DEBUG_DUMP_DEFAULT))[0]

S_OK = 0
E_NOTIMPL = 0x80004001
E_FAIL = 0x80004005
E_INVALIDARG = 0x80070057
PATH_NOT_FOUND = 0x80070003
ACCESS_DENIED = 0x80070005
INVALID_HANDLE = 0x80070006
FILE_EXISTS = 0x80070050
READ_FAULT = 0x8007001E


@pytest.fixture
def client(tmp_path: Path) -> DebugClient:
    return DebugClient(SNAPSHOT, start_directory=tmp_path)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_the_two_user_mode_qualifiers_write_their_dumps(client: DebugClient, tmp_path: Path) -> None:
    assert client.WriteDumpFile("small.dmp", DEBUG_USER_WINDOWS_SMALL_DUMP) == S_OK
    assert client.WriteDumpFile("default.dmp", DEBUG_USER_WINDOWS_DUMP) == S_OK
    assert (tmp_path / "small.dmp").read_bytes() == SMALL
    assert (tmp_path / "default.dmp").read_bytes() == DEFAULT
    assert names(tmp_path) == ["default.dmp", "small.dmp"]
    assert client.last_error is None


def test_a_relative_name_is_relative_to_the_folder_that_is_current_at_the_call(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "started").mkdir()
    (tmp_path / "later").mkdir()
    monkeypatch.chdir(tmp_path / "started")
    client = DebugClient(SNAPSHOT)
    monkeypatch.chdir(tmp_path / "later")
    assert client.WriteDumpFile("x.dmp", DEBUG_DUMP_SMALL) == S_OK
    assert names(tmp_path / "started") == []
    assert names(tmp_path / "later") == ["x.dmp"]


def test_an_absolute_name_is_taken_as_it_is(client: DebugClient, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    assert client.WriteDumpFile(str(tmp_path / "elsewhere" / "x.dmp"), DEBUG_DUMP_SMALL) == S_OK
    assert names(tmp_path / "elsewhere") == ["x.dmp"]


@pytest.mark.parametrize("name", ["dump", ".dmp", "a b"])
def test_a_name_without_extension_is_taken_and_not_extended(client: DebugClient, tmp_path: Path, name: str) -> None:
    assert client.WriteDumpFile(name, DEBUG_DUMP_SMALL) == S_OK
    assert names(tmp_path) == [name]


@pytest.mark.parametrize(("name", "hresult"), [("", 0x80070003), ("a\0.dmp", 0x8007007B)])
def test_a_name_that_is_none_is_refused(client: DebugClient, tmp_path: Path, name: str, hresult: int) -> None:
    assert client.WriteDumpFile(name, DEBUG_DUMP_SMALL) == hresult
    assert names(tmp_path) == []
    assert client.last_error


def test_a_request_without_name_and_handle_is_refused(client: DebugClient) -> None:
    assert client.WriteDumpFileWide(None, 0, DEBUG_DUMP_SMALL) == 0x8007007B
    assert client.last_error == "neither a file name nor a file handle was given"


@pytest.mark.parametrize("qualifier", [DEBUG_DUMP_FULL, DEBUG_DUMP_ACTIVE, 1027, 1028, 1029, 0, 1, 1031, 0xFFFFFFFF])
def test_other_qualifiers_are_refused_in_user_mode_and_nothing_is_written(
    client: DebugClient, tmp_path: Path, qualifier: int
) -> None:
    (tmp_path / "old.dmp").write_bytes(b"old")
    for name in ("old.dmp", "new.dmp"):
        assert client.WriteDumpFile(name, qualifier) == E_INVALIDARG
    assert names(tmp_path) == ["old.dmp"]
    assert (tmp_path / "old.dmp").read_bytes() == b"old"
    assert client.last_error
    assert client.last_error.startswith("Qualifier ")


@pytest.mark.parametrize(
    ("flags", "hresult", "text"),
    [
        (0x00200000, E_INVALIDARG, "0x00200000: not for DEBUG_DUMP_SMALL"),
        (1 << 40, E_INVALIDARG, "more than 32 bits"),
    ],
)
def test_flags_that_are_unknown_are_refused_by_their_bits(
    client: DebugClient, tmp_path: Path, flags: int, hresult: int, text: str
) -> None:
    assert client.WriteDumpFile2("x.dmp", DEBUG_DUMP_SMALL, flags) == hresult
    assert text in str(client.last_error)
    assert names(tmp_path) == []


@pytest.mark.parametrize(("profile", "hresult"), [("refuse", E_NOTIMPL), ("odd", E_INVALIDARG)])
def test_other_profiles_refuse_default_and_write_small(tmp_path: Path, profile: str, hresult: int) -> None:
    client = DebugClient(SNAPSHOT, start_directory=tmp_path, profile=profile)
    assert client.WriteDumpFile("x.dmp", DEBUG_DUMP_DEFAULT) == hresult
    assert names(tmp_path) == []
    if profile != "odd":
        assert client.WriteDumpFile("x.dmp", DEBUG_DUMP_SMALL) == S_OK


def test_the_api_replaces_an_old_file_and_no_overwrite_keeps_it(client: DebugClient, tmp_path: Path) -> None:
    (tmp_path / "x.dmp").write_bytes(b"old")
    assert client.WriteDumpFile2("x.dmp", DEBUG_DUMP_SMALL, DEBUG_FORMAT_NO_OVERWRITE) == FILE_EXISTS
    assert (tmp_path / "x.dmp").read_bytes() == b"old"
    assert client.WriteDumpFile("x.dmp", DEBUG_DUMP_SMALL) == S_OK
    assert (tmp_path / "x.dmp").read_bytes() == SMALL
    assert client.WriteDumpFile2("y.dmp", DEBUG_DUMP_SMALL, DEBUG_FORMAT_NO_OVERWRITE) == S_OK
    assert (tmp_path / "y.dmp").read_bytes() == SMALL
    assert names(tmp_path) == ["x.dmp", "y.dmp"]


def test_places_that_cannot_hold_a_file_have_their_hresults(client: DebugClient, tmp_path: Path) -> None:
    (tmp_path / "folder.dmp").mkdir()
    (tmp_path / "file.txt").write_bytes(b"")
    assert client.WriteDumpFile("folder.dmp", DEBUG_DUMP_SMALL) == ACCESS_DENIED
    assert client.WriteDumpFile(Path("missing") / "x.dmp", DEBUG_DUMP_SMALL) == PATH_NOT_FOUND
    assert client.WriteDumpFile(Path("file.txt") / "x.dmp", DEBUG_DUMP_SMALL) == PATH_NOT_FOUND
    assert client.WriteDumpFile("n" * 300 + ".dmp", DEBUG_DUMP_SMALL) != S_OK
    assert names(tmp_path) == ["file.txt", "folder.dmp"]
    assert names(tmp_path / "folder.dmp") == []


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="needs a user whom permissions bind")
def test_a_folder_that_may_not_be_written_denies_access(client: DebugClient, tmp_path: Path) -> None:
    (tmp_path / "locked").mkdir(mode=0o500)
    assert client.WriteDumpFile(Path("locked") / "x.dmp", DEBUG_DUMP_SMALL) == ACCESS_DENIED


@pytest.mark.skipif(os.name == "nt", reason="links need a privilege on Windows")
def test_a_link_leads_to_the_file_that_is_replaced(client: DebugClient, tmp_path: Path) -> None:
    (tmp_path / "real.dmp").write_bytes(b"old")
    (tmp_path / "link.dmp").symlink_to(tmp_path / "real.dmp")
    assert client.WriteDumpFile("link.dmp", DEBUG_DUMP_SMALL) == S_OK
    assert (tmp_path / "link.dmp").is_symlink()
    assert (tmp_path / "real.dmp").read_bytes() == SMALL


def test_memory_that_cannot_be_read_fails_the_dump_and_writes_nothing(tmp_path: Path) -> None:
    snapshot = synthetic_process(extra=[Pages(0x300_0000_0000, 0x1000, unreadable=True)])
    client = DebugClient(snapshot, start_directory=tmp_path)
    no_ignore = 0x0400_0001  # FULL_MEMORY, NO_IGNORE_INACCESSIBLE_MEM
    assert client.WriteDumpFile2("x.dmp", DEBUG_DUMP_SMALL, no_ignore, None) == READ_FAULT
    assert "0x30000000000" in str(client.last_error)
    assert names(tmp_path) == []
    assert client.WriteDumpFile("x.dmp", DEBUG_DUMP_DEFAULT) == S_OK


def test_a_binary_file_wins_over_the_name_and_stays_open(client: DebugClient, tmp_path: Path) -> None:
    with (tmp_path / "handle.bin").open("w+b") as file:
        file.write(b"x" * 100_000)
        flags = DEBUG_FORMAT_NO_OVERWRITE
        assert client.WriteDumpFileWide("ignored", file, DEBUG_DUMP_SMALL, flags, None) == S_OK
        assert not file.closed
    assert client.last_warnings == ("DEBUG_FORMAT_NO_OVERWRITE has no effect on a file handle",)
    data = (tmp_path / "handle.bin").read_bytes()
    assert data == SMALL + b"x" * (100_000 - len(SMALL))
    assert names(tmp_path) == ["handle.bin"]


@pytest.mark.skipif(sys.platform == "win32", reason="on Windows a number is a HANDLE")
def test_a_descriptor_is_written_from_its_start_and_stays_open(client: DebugClient, tmp_path: Path) -> None:
    descriptor = os.open(tmp_path / "d.bin", os.O_RDWR | os.O_CREAT)
    try:
        os.write(descriptor, b"before")
        assert client.WriteDumpFileWide(None, descriptor, DEBUG_DUMP_DEFAULT) == S_OK
        os.fstat(descriptor)
    finally:
        os.close(descriptor)
    assert (tmp_path / "d.bin").read_bytes() == DEFAULT


def number(file: IO[bytes]) -> int:
    """The number of an open file, as WriteDumpFileWide takes it."""
    if sys.platform == "win32":
        import msvcrt  # noqa: PLC0415 - only there

        return msvcrt.get_osfhandle(file.fileno())
    return file.fileno()


def test_the_number_of_an_open_file_takes_dumps_and_stays_open(client: DebugClient, tmp_path: Path) -> None:
    with (tmp_path / "n.bin").open("w+b") as file:
        assert client.WriteDumpFileWide("x.dmp", number(file), DEBUG_DUMP_SMALL) == S_OK
        assert client.WriteDumpFileWide("x.dmp", number(file), DEBUG_DUMP_DEFAULT) == S_OK
        file.seek(0)
        assert file.read() == DEFAULT


def test_a_handle_of_windows_is_duplicated_before_it_is_opened(
    client: DebugClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Closing the C runtime's descriptor closes its HANDLE, which must not be the caller's. The test fakes Windows."""
    if sys.platform == "win32":
        pytest.skip("the real thing is tested there")
    path, calls = tmp_path / "h.bin", []

    def duplicate(*arguments: Any) -> int:
        calls.append(arguments)
        return int(arguments[1]) + 4

    def open_handle(handle: int, flags: int) -> int:
        calls.append((handle, flags))
        return os.open(path, os.O_RDWR | os.O_CREAT)

    winapi = SimpleNamespace(
        GetCurrentProcess=lambda: "this", DuplicateHandle=duplicate, DUPLICATE_SAME_ACCESS=2, CloseHandle=calls.append
    )
    monkeypatch.setitem(sys.modules, "_winapi", winapi)
    monkeypatch.setitem(sys.modules, "msvcrt", SimpleNamespace(open_osfhandle=open_handle))
    monkeypatch.setattr(os, "O_BINARY", 0x8000, raising=False)
    monkeypatch.setattr(sys, "platform", "win32")
    assert client.WriteDumpFileWide(None, 0x1_0000_01A4, DEBUG_DUMP_SMALL) == S_OK
    monkeypatch.undo()
    assert calls == [("this", 0x1_0000_01A4, "this", 0, False, 2), (0x1_0000_01A8, os.O_RDWR | 0x8000)]
    assert path.read_bytes() == SMALL


def test_a_file_that_only_appends_gets_no_dump_with_its_signature_at_the_end(
    client: DebugClient, tmp_path: Path
) -> None:
    with (tmp_path / "a.bin").open("ab") as file:
        assert client.WriteDumpFileWide(None, file, DEBUG_DUMP_SMALL) == ACCESS_DENIED
    assert (tmp_path / "a.bin").read_bytes() == b""


@pytest.mark.parametrize("buffering", [0, -1])
def test_a_file_that_only_appends_keeps_what_it_held(client: DebugClient, tmp_path: Path, buffering: int) -> None:
    path = tmp_path / "log.bin"
    for held in (b"x", b"a log\n" * 5000):
        path.write_bytes(held)
        with path.open("ab", buffering=buffering) as file:
            file.seek(0)
            assert client.WriteDumpFileWide(None, file, DEBUG_DUMP_SMALL) == ACCESS_DENIED
            assert client.last_error == "the file handle: is open for appending only"
            assert client.WriteDumpFileWide(None, number(file), DEBUG_DUMP_SMALL) == ACCESS_DENIED
        assert path.read_bytes() == held


def test_memory_files_take_dumps_too(client: DebugClient) -> None:
    file = io.BytesIO(b"something")
    result = client.write(file, DEBUG_DUMP_SMALL)
    assert file.getvalue() == SMALL
    assert result.path is None
    assert result.size == len(SMALL)


def test_handles_that_cannot_be_written_have_their_hresults(client: DebugClient, tmp_path: Path) -> None:
    (tmp_path / "ro.bin").write_bytes(b"keep")
    with (tmp_path / "ro.bin").open("rb") as file:
        assert client.WriteDumpFileWide(None, file, DEBUG_DUMP_SMALL) == ACCESS_DENIED
        assert client.WriteDumpFileWide(None, number(file), DEBUG_DUMP_SMALL) == ACCESS_DENIED
    assert client.WriteDumpFileWide(None, file, DEBUG_DUMP_SMALL) == INVALID_HANDLE
    assert client.WriteDumpFileWide(None, 99996, DEBUG_DUMP_SMALL) == INVALID_HANDLE
    assert client.WriteDumpFileWide(None, -1, DEBUG_DUMP_SMALL) == E_INVALIDARG
    assert client.WriteDumpFileWide(None, io.StringIO(), DEBUG_DUMP_SMALL) == E_INVALIDARG  # type: ignore[arg-type]
    assert (tmp_path / "ro.bin").read_bytes() == b"keep"


def test_write_raises_what_the_com_methods_return(client: DebugClient, tmp_path: Path) -> None:
    with pytest.raises(DumpWriteError, match="DEBUG_DUMP_FULL") as caught:
        client.write("x.dmp", DEBUG_DUMP_FULL)
    assert caught.value.hresult == E_INVALIDARG
    result = client.write(tmp_path / "x.dmp", DEBUG_DUMP_SMALL, comment="hello")
    assert result.path == tmp_path / "x.dmp"
    assert result.size == (tmp_path / "x.dmp").stat().st_size
    assert result.layout.entry("CommentW").size == 12


def test_errors_of_windows_keep_their_number_and_unknown_ones_are_e_fail() -> None:
    class WindowsError(OSError):
        winerror = 1224

    assert hresult_of(WindowsError()) == 0x800704C8
    assert hresult_of(OSError("text only")) == E_FAIL
    assert hresult_of(OSError(errno.EAGAIN, "later")) == E_FAIL


def test_two_clients_in_two_places_write_the_same_bytes(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        assert DebugClient(SNAPSHOT, start_directory=tmp_path / name).WriteDumpFile("x.dmp", DEBUG_DUMP_DEFAULT) == S_OK
    assert (tmp_path / "one" / "x.dmp").read_bytes() == (tmp_path / "two" / "x.dmp").read_bytes()
