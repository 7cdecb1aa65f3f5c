"""The goldens that the tests of ``dumptruth.oracle`` use, a minidump of given streams, and a walk through a dump."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from struct import pack

from dumptruth.oracle import (
    Contents,
)
from dumptruth.oracle.vectors import Vector, load_vectors, packaged

FILES = [vector for vector in load_vectors(packaged()) if vector.path is not None]
BY_NAME = {vector.name: vector for vector in FILES}
USER, MACHINE, CABINET = "by-hand/rich", "kernel/ram/type-1-three-runs", "cab/small"
KINDS = (USER, MACHINE, CABINET, "kernel/header/small", "by-hand/userdump")
SYSTEM_INFO = (7, pack("<HHHBBIIIIIHH24x", 9, 6, 1, 1, 1, 10, 0, 1, 2, 0, 0, 0))


def path_of(name: str) -> Path:
    path = BY_NAME[name].path
    assert path is not None
    return path


def judgeable(**members: str) -> Vector:
    """The first valid golden whose dump, truth and request this installation has."""
    return next(
        vector
        for vector in FILES
        if vector.kind == "valid"
        and vector.truth_folder is not None
        and all(vector.entry[member] == value for member, value in members.items())
    )


PROCESS = judgeable(mode="user", container="minidump", qualifier="DEBUG_DUMP_SMALL")
KERNEL = judgeable(mode="kernel", container="kernel-dump", profile="header")


def minidump(*streams: tuple[int, bytes | Callable[[int], bytes]]) -> bytes:
    """A minidump of streams; a function gets the file offset of its stream."""
    at, directory, body = 32 + 12 * len(streams), b"", b""
    for number, made in streams:
        data = made(at) if callable(made) else made
        directory += pack("<III", number, len(data), at)
        body += data
        at += len(data)
    return pack("<4sIIIIIQ", b"MDMP", 0xA793, len(streams), 32, 0, 0, 0) + directory + body


def walk(dump: Contents) -> None:
    """Use every member, and check what each says of itself."""
    assert repr(dump)
    assert dump.kind in ("minidump", "userdump", "kernel-dump")
    assert dump.architecture in ("x86", "amd64", "arm", "arm64", None)
    starts = [start for start, _ in dump.memory.ranges]
    ends = [end for _, end in dump.memory.ranges]
    assert all(end < start for end, start in zip(ends, starts[1:], strict=False))
    addresses = {0, -1, 1 << 63, 1 << 64, 1 << 80, *starts[:4], *ends[:4]}
    for thread in dump.threads[:20]:
        start, end = thread.stack
        assert (dump.memory.read(start, end - start) is None) == (start == end)
        assert thread.registers == dict(thread.registers)
        addresses |= {start, end, thread.teb}
    for module in dump.modules[:20]:
        assert module.path.endswith(module.name)
        assert (module.base in module) == (module.size > 0)
        addresses.add(module.base)
    for address in addresses:
        for size in (0, -1, 1, 4097, 1 << 40, 1 << 80):
            found = dump.memory.read(address, size)
            assert found is None or (type(found) is bytes and len(found) == size > 0)
    if dump.pages is not None:
        runs = list(dump.pages.runs())
        assert dump.pages.count == sum(count for _, count in runs)
        for first, count in runs[:8]:
            assert [len(dump.pages.read(pfn) or b"") for pfn in (first, first + count - 1)] == [4096, 4096]
        for pfn in (-1, 1 << 63, 1 << 80):
            assert dump.pages.read(pfn) is None
    assert dump.exception is None or len(dump.exception.parameters) <= 15
    assert dump.comment is None or isinstance(dump.comment, str)
    assert all(stream.name and stream.size >= 0 for stream in dump.streams)
