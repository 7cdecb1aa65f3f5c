"""Tests the contract of the three methods: strings, engine state, HRESULTs (docs/format/write-dump-file.md)."""

from __future__ import annotations

import errno
import inspect
import io
import os
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from dumptruth.emu.constants import (
    DEBUG_DUMP_DEFAULT,
    DEBUG_DUMP_FULL,
    DEBUG_DUMP_SMALL,
    DEBUG_FORMAT_NO_OVERWRITE,
    DEBUG_FORMAT_USER_SMALL_FULL_MEMORY,
    DEBUG_FORMAT_WRITE_CAB,
    EngineOption,
    Hresult,
    SessionClass,
)
from dumptruth.emu.debugger.client import DebugClient, DumpWriteError
from dumptruth.emu.debugger.host_errors import hresult_of_layout
from dumptruth.emu.request import Profile, UserStream
from dumptruth.emu.snapshot.kernel import KernelSnapshot
from dumptruth.emu.snapshot.process import MemoryRun, ProcessSnapshot
from dumptruth.emu.snapshot.sparse import SparseBytes
from dumptruth.emu.synthetic.kernel import bare_machine
from dumptruth.emu.synthetic.process import Pages, synthetic_process
from dumptruth.emu.writer.faults import FaultPoint, Faults
from dumptruth.emu.writer.layout import LayoutError, LayoutOverflow

SNAPSHOT = synthetic_process()


def parameters(method: Callable[..., Any]) -> list[str]:
    return [name for name in inspect.signature(method).parameters if name != "self"]


def test_names_and_order_of_arguments_are_those_of_the_reference_pages() -> None:
    assert parameters(DebugClient.WriteDumpFile) == ["DumpFile", "Qualifier"]
    assert parameters(DebugClient.WriteDumpFile2) == ["DumpFile", "Qualifier", "FormatFlags", "Comment"]
    assert parameters(DebugClient.WriteDumpFileWide) == [
        "FileName", "FileHandle", "Qualifier", "FormatFlags", "Comment",
    ]  # fmt: skip


def test_arguments_go_by_position_and_by_name(tmp_path: Path) -> None:
    client = DebugClient(SNAPSHOT, start_directory=tmp_path)
    assert client.WriteDumpFile2("a.dmp", DEBUG_DUMP_SMALL, 0, None) == 0
    assert client.WriteDumpFile2(DumpFile="b.dmp", Qualifier=DEBUG_DUMP_SMALL, FormatFlags=0, Comment=None) == 0
    assert client.WriteDumpFileWide("c.dmp", 0, DEBUG_DUMP_SMALL, 0, None) == 0
    wide = client.WriteDumpFileWide(
        FileName="d.dmp", FileHandle=0, Qualifier=DEBUG_DUMP_SMALL, FormatFlags=0, Comment=None
    )
    assert wide == 0
    assert len({(tmp_path / f"{name}.dmp").read_bytes() for name in "abcd"}) == 1


def test_ansi_strings_are_taken_by_the_ansi_methods_only(tmp_path: Path) -> None:
    client = DebugClient(SNAPSHOT, start_directory=tmp_path)
    assert client.WriteDumpFile(b"one.dmp", DEBUG_DUMP_SMALL) == 0
    assert client.WriteDumpFile2(b"two.dmp", DEBUG_DUMP_SMALL, 0, "Grö\u00dfe".encode("cp1252")) == 0
    assert b"Gr\xf6\xdfe\0" in (tmp_path / "two.dmp").read_bytes()
    wide: Any = client.WriteDumpFileWide
    assert wide(b"three.dmp", 0, DEBUG_DUMP_SMALL) == Hresult.E_INVALIDARG
    assert wide("three.dmp", 0, DEBUG_DUMP_SMALL, 0, b"comment") == Hresult.E_INVALIDARG
    assert client.last_error == "WriteDumpFileWide takes text, not bytes"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one.dmp", "two.dmp"]


@pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="file names on Windows and macOS are text")
def test_an_ansi_name_is_the_file_systems_own_bytes(tmp_path: Path) -> None:
    assert DebugClient(SNAPSHOT, start_directory=tmp_path).WriteDumpFile(b"\xff\xfe.dmp", DEBUG_DUMP_SMALL) == 0
    assert [os.fsencode(path.name) for path in tmp_path.iterdir()] == [b"\xff\xfe.dmp"]


@pytest.mark.parametrize(("comment", "entry", "size"), [("", "CommentW", 2), (b"", "CommentA", 1)])
def test_an_empty_comment_is_a_stream_of_one_nul(tmp_path: Path, comment: str | bytes, entry: str, size: int) -> None:
    client = DebugClient(SNAPSHOT, start_directory=tmp_path)
    assert client.write("a.dmp", DEBUG_DUMP_SMALL, 0, comment).layout.entry(entry).size == size


def huge(size: int) -> ProcessSnapshot:
    """A process with ``size`` bytes of memory that the host allocates only when they are touched."""
    base = 0x400_0000_0000
    snapshot = synthetic_process(extra=[Pages(base, 0x1000)])
    runs = [MemoryRun(base, SparseBytes(size)) if run.start == base else run for run in snapshot.memory]
    regions = list(snapshot.regions)
    at = next(index for index, region in enumerate(regions) if region.base == base)
    regions[at] = replace(regions[at], size=size)
    following = regions[at + 1]
    regions[at + 1] = replace(following, base=base + size, size=following.end - base - size)
    thread = replace(
        snapshot.threads[1],
        stack_base=base + size,
        stack_limit=base,
        context=replace(
            snapshot.threads[1].context,
            registers=tuple(
                (name, base if name == "Rsp" else value) for name, value in snapshot.threads[1].context.registers
            ),
        ),
    )
    return replace(snapshot, memory=tuple(runs), regions=tuple(regions), threads=(snapshot.threads[0], thread))


class Refuser(io.BytesIO):
    """A file whose disk is full."""

    def write(self, data: Any) -> int:
        raise OSError(errno.ENOSPC, f"no space for {len(data)} bytes")


def client(tmp_path: Path, **options: Any) -> DebugClient:
    return DebugClient(options.pop("snapshot", SNAPSHOT), start_directory=tmp_path, **options)


def existing(tmp_path: Path) -> str:
    (tmp_path / "old.dmp").write_bytes(b"old")
    return "old.dmp"


UNREADABLE = synthetic_process(extra=[Pages(0x300_0000_0000, 0x1000, unreadable=True)])
CASES: dict[str, tuple[int, Callable[[Path], int]]] = {
    # docs/format/write-dump-file.md#return-values-by-situation
    "success": (0, lambda at: client(at).WriteDumpFile("x.dmp", DEBUG_DUMP_SMALL)),
    "bad qualifier": (0x80070057, lambda at: client(at).WriteDumpFile("x.dmp", 7)),
    "FULL in user mode": (0x80070057, lambda at: client(at).WriteDumpFile("x.dmp", DEBUG_DUMP_FULL)),
    "empty name": (0x80070003, lambda at: client(at).WriteDumpFile("", DEBUG_DUMP_SMALL)),
    "a folder": (0x80070005, lambda at: client(at).WriteDumpFile(".", DEBUG_DUMP_SMALL)),
    "a folder, NO_OVERWRITE": (
        0x80070050,
        lambda at: client(at).WriteDumpFile2(".", DEBUG_DUMP_SMALL, DEBUG_FORMAT_NO_OVERWRITE),
    ),
    "no target": (0x8000FFFF, lambda at: client(at, snapshot=None).WriteDumpFile("x.dmp", DEBUG_DUMP_SMALL)),
    "Secure Mode": (0x80070005, lambda at: client(at, secure_mode=True).WriteDumpFile("x.dmp", DEBUG_DUMP_SMALL)),
    "sensitive data": (
        0x80004005,
        lambda at: client(at, engine_options=0x00400000).WriteDumpFile("x.dmp", DEBUG_DUMP_SMALL),
    ),
    "exists, NO_OVERWRITE": (
        0x80070050,
        lambda at: client(at).WriteDumpFile2(existing(at), DEBUG_DUMP_SMALL, DEBUG_FORMAT_NO_OVERWRITE),
    ),
    "exists, NO_OVERWRITE, CAB": (
        0x80070050,
        lambda at: client(at).WriteDumpFile2(
            existing(at), DEBUG_DUMP_SMALL, DEBUG_FORMAT_NO_OVERWRITE | DEBUG_FORMAT_WRITE_CAB
        ),
    ),
    "folder missing": (0x80070003, lambda at: client(at).WriteDumpFile("no/x.dmp", DEBUG_DUMP_SMALL)),
    "memory read failed": (
        0x8007001E,
        lambda at: client(at, snapshot=UNREADABLE).WriteDumpFile2("x.dmp", DEBUG_DUMP_SMALL, 0x0400_0001, None),
    ),
    "memory read failed, legacy": (
        0x8007012B,
        lambda at: client(at, snapshot=UNREADABLE, profile=Profile.LEGACY).WriteDumpFile("x.dmp", DEBUG_DUMP_DEFAULT),
    ),
    "disk full": (0x80070070, lambda at: client(at).WriteDumpFileWide("x.dmp", Refuser(), DEBUG_DUMP_SMALL)),
    "denied": (
        0x80070005,
        lambda at: client(at, faults=Faults(FaultPoint.CREATE, 0, OSError(errno.EACCES, "denied"))).WriteDumpFile(
            "x.dmp", DEBUG_DUMP_SMALL
        ),
    ),
    "out of memory": (
        0x8007000E,
        lambda at: client(at, faults=Faults(FaultPoint.WRITE, 0, OSError(errno.ENOMEM, "none"))).WriteDumpFile(
            "x.dmp", DEBUG_DUMP_SMALL
        ),
    ),
    "not implemented": (
        0x80004001,
        lambda at: client(at, profile=Profile.REFUSE).WriteDumpFile("x.dmp", DEBUG_DUMP_DEFAULT),
    ),
    "4 GiB of small dump": (
        0x800700DF,
        lambda at: client(at, snapshot=huge(1 << 32)).WriteDumpFile("x.dmp", DEBUG_DUMP_SMALL),
    ),
    "2 GiB of cabinet": (
        0x800700DF,
        lambda at: client(at, snapshot=huge(1 << 31)).WriteDumpFile2(
            "x.cab", DEBUG_DUMP_SMALL, DEBUG_FORMAT_WRITE_CAB | DEBUG_FORMAT_USER_SMALL_FULL_MEMORY
        ),
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_every_situation_has_its_hresult_and_leaves_no_half_dump(tmp_path: Path, case: str) -> None:
    expected, call = CASES[case]
    assert call(tmp_path) == expected
    left = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    if expected == 0:
        assert list(left) == ["x.dmp"]
    else:
        assert left in ({}, {"old.dmp": b"old"})


def test_memory_errors_of_the_host_are_out_of_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise MemoryError

    monkeypatch.setattr("dumptruth.emu.debugger.client.Minidump", fail)
    assert client(tmp_path).WriteDumpFile("x.dmp", DEBUG_DUMP_SMALL) == Hresult.E_OUTOFMEMORY


def test_what_does_not_fit_32_bits_is_too_large_and_other_layouts_fail() -> None:
    assert hresult_of_layout(LayoutOverflow("Directory[0].Rva", 1 << 32, 4)) == Hresult.ERROR_FILE_TOO_LARGE
    assert hresult_of_layout(LayoutOverflow("NumberOfProcessors", 300, 1)) == Hresult.E_FAIL
    assert hresult_of_layout(LayoutOverflow("StackLimit", -1, 4)) == Hresult.E_FAIL
    assert hresult_of_layout(LayoutError("a register is missing")) == Hresult.E_FAIL


def test_a_client_without_a_target_is_refused() -> None:
    nothing = DebugClient(None)
    assert nothing.session_class == SessionClass.UNINITIALIZED
    with pytest.raises(DumpWriteError, match="no target to dump") as caught:
        nothing.write(io.BytesIO(), DEBUG_DUMP_SMALL)
    assert caught.value.hresult == Hresult.E_UNEXPECTED


def test_the_qualifier_is_checked_before_the_engine_and_the_engine_before_the_name(tmp_path: Path) -> None:
    sensitive = client(tmp_path, engine_options=EngineOption.DEBUG_ENGOPT_DEBUGGING_SENSITIVE_DATA | 1)
    assert sensitive.WriteDumpFile("", 7) == Hresult.E_INVALIDARG
    assert sensitive.WriteDumpFile("", DEBUG_DUMP_SMALL) == Hresult.E_FAIL
    assert client(tmp_path, engine_options=1).WriteDumpFile("x.dmp", DEBUG_DUMP_SMALL) == 0


def test_user_streams_are_in_the_dump(tmp_path: Path) -> None:
    streams = [UserStream(0x10001, b"first"), UserStream(0x10000, b"second")]
    result = client(tmp_path).write("x.dmp", DEBUG_DUMP_SMALL, user_streams=streams)
    data = (tmp_path / "x.dmp").read_bytes()
    assert [int(stream.type) for stream in result.plan.streams][-2:] == [0x10001, 0x10000]
    assert b"first" in data
    assert b"second" in data


@pytest.mark.parametrize(
    ("snapshot", "profile"), [(SNAPSHOT, Profile.LEGACY), (bare_machine(((1, 16),)), None)], ids=["legacy", "kernel"]
)
def test_user_streams_that_the_format_cannot_hold_are_left_out_with_a_warning(
    tmp_path: Path, snapshot: ProcessSnapshot | KernelSnapshot, profile: str | None
) -> None:
    asked = DebugClient(snapshot, start_directory=tmp_path, profile=profile)
    result = asked.write("x.dmp", DEBUG_DUMP_DEFAULT, user_streams=[UserStream(0x10000, b"extra")])
    assert result.warnings == ("user streams are left out: only a user minidump can hold them",)


@pytest.mark.parametrize("stream", [UserStream(11, b""), UserStream(0xFFFF, b""), UserStream(1 << 32, b"")])
def test_user_streams_have_types_of_their_own(tmp_path: Path, stream: UserStream) -> None:
    with pytest.raises(DumpWriteError, match="user stream") as caught:
        client(tmp_path).write("x.dmp", DEBUG_DUMP_SMALL, user_streams=[stream])
    assert caught.value.hresult == Hresult.E_INVALIDARG
    assert list(tmp_path.iterdir()) == []
