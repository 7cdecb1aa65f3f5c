"""Truths for both loaders: sound ones with every member, and what can be wrong with one of their members."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from dumptruth.emu.constants import DEBUG_DUMP_SMALL
from dumptruth.emu.request import Request, UserStream
from dumptruth.emu.snapshot.kernel import DataBlob
from dumptruth.emu.snapshot.stack import KernelStack, StackFrame, ThreadStack
from dumptruth.emu.synthetic.kernel import synthetic_machine
from dumptruth.emu.synthetic.process import synthetic_process
from dumptruth.emu.synthetic.stream_process import stream_target
from dumptruth.emu.truth import rows, store
from dumptruth.oracle.truth import layouts
from dumptruth.oracle.truth import load as oracle

STRANGE: tuple[Any, ...] = (
    None, True, False, 0, 1, -1, 1.0, 1.5, 1e300, 1 << 31, 1 << 32, 1 << 64, 10**40, -(10**40),
    "", "0", "1", "0x", "0x0", "0x00", "0x01", "0X1", "0xA", "0xg", "0x1 ", " 0x1", "0x1\n", "0x1_0", "+0x1", "-0x1",
    "0x\uff11", "\uff10x1", "0x" + "f" * 16, "0x1" + "0" * 16, "0x" + "1" * 5000, "00", "AB", "abc", "zz", "a b",
    "00" * 512, "\ud800", "\x1b[31m\u202e\n", "x" * 5000, [], {}, [[]], [None], [1], ["0x0"], {"x": 1}, [{}], [0] * 500,
)  # fmt: skip
"""Values of every type, in forms that a careless loader takes for others."""


@dataclass(frozen=True)
class Sound:
    """A sound truth."""

    name: str
    document: dict[str, Any]
    memory: bytes
    request: dict[str, Any]

    def copy(self) -> dict[str, Any]:
        return copy.deepcopy(self.document)


def _saved(name: str, snapshot: store.Snapshot, image: int) -> Sound:
    request = Request(DEBUG_DUMP_SMALL, comment="text", user_streams=(UserStream(0x10000, b"\0\xff"),))
    with TemporaryDirectory() as folder:
        store.save(snapshot, folder, source=name, request=request, file="a.dmp", image_files=[image])
        document, asked = (json.loads((Path(folder) / file).read_bytes()) for file in ("truth.json", "request.json"))
        asked |= {"contract": "documented", "session": "live"}
        return Sound(name, document, (Path(folder) / "memory.bin").read_bytes(), asked)


@cache
def sound() -> dict[str, Sound]:
    """The sound truths by name: a process of each architecture, and a machine."""
    streams = stream_target()
    frames = (
        StackFrame(0x7FF600001010, 0x6B5F0FF0, "call", 0x7FF600001000, "app.exe", 0x1010, "main", 0x10),
        StackFrame(0x7FF600001020, 0x6B5F1000, "trap", 0x7FF600001018, "app.exe", 0x1020, None, None),
        StackFrame(0x1C80000, 0x6B5F1100, "start", None, None, None, None, None),
    )
    streams = replace(streams, stacks=(ThreadStack(streams.threads[0].thread_id, frames),))
    machine = synthetic_machine(
        build=26100, processors=2, in_user_process=True, blobs=(DataBlob(b"\xaa" * 16, b"\1"),),
        triage_data=((0xFFFFF80000200000, 16),), added_pages=((5, 2),), exception=(0xC0000005, 0, 0xFFFFF80000201234),
    )  # fmt: skip
    machine = replace(
        machine, stacks=(KernelStack(0xFFFF9C0E401D6010, 1, frames), KernelStack(0xFFFF9C0E401D7010, None, frames))
    )
    made = [
        _saved("amd64", streams, streams.modules[0].base),
        _saved("machine", machine, machine.drivers[0].base),
    ]
    for name in ("x86", "arm64"):
        target = synthetic_process(name)
        made.append(_saved(name, target, target.modules[0].base))
    return {truth.name: truth for truth in made}


def places(value: Any, *place: str | int) -> Iterator[tuple[str | int, ...]]:
    """The places of all members and of the first element of each array, below ``value``."""
    if place:
        yield place
    if isinstance(value, dict):
        for name in list(value)[:3] if place[-1:] == ("registers",) else value:
            yield from places(value[name], *place, name)
    elif isinstance(value, list) and value:
        yield from places(value[0], *place, 0)


def put(document: Any, place: tuple[str | int, ...], value: Any) -> None:
    """Set the member at ``place``."""
    holder(document, place)[place[-1]] = value


def holder(document: Any, place: tuple[str | int, ...]) -> Any:
    """The object or array that holds the member at ``place``."""
    for step in place[:-1]:
        document = document[step]
    return document


def write(folder: Path, document: Any = None, memory: bytes | None = None, request: Any = None) -> Path:
    """Write the files that are given."""
    folder.mkdir(exist_ok=True)
    for name, content in (("truth.json", document), ("request.json", request)):
        if content is not None:
            (folder / name).write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
    if memory is not None:
        (folder / "memory.bin").write_bytes(memory)
    return folder


def verdicts(folder: Path, *, request: bool = False) -> tuple[str, str]:
    """What the loader of the oracle and that of the emulator say: "accepted", or the place that they refuse.

    Any error but their own is the caller's to see.
    """
    loaders = (oracle.load_request, store.load_request) if request else (oracle.load_any_truth, store.load_snapshot)
    return _verdict(loaders[0], folder, oracle.TruthError), _verdict(loaders[1], folder, store.TruthError)


_LINE = re.compile(
    r"(?P<file>truth\.json|request\.json|memory\.bin)[.:]? ?(?P<member>\S*?(?:\['[^\n]*?'\]|\[\"[^\n]*?\"\])?)?:? ?"
    r"(?:expected [^\n]+, found [^\n]+|cannot be read: [^\n]+)"
)


@contextmanager
def every_text_is_long() -> Iterator[None]:
    """Both loaders read arrays as they read those of large truths."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(layouts, "LONG", 0)
        patch.setattr(rows, "LONG", 0)
        yield


def refusal(load: Any, folder: Path, error: type[Exception]) -> str | None:
    """The line with which the loader refuses. A large truth gets the same one."""
    lines: list[str | None] = []
    for way in (nullcontext, every_text_is_long):
        with way():
            try:
                load(folder)
                lines.append(None)
            except error as refused:
                lines.append(str(refused))
    assert lines[0] == lines[1]
    return lines[0]


def _verdict(load: Any, folder: Path, error: type[Exception]) -> str:
    line = refusal(load, folder, error)
    if line is not None:
        text = line.removeprefix(str(folder)).lstrip("/\\")
        match = _LINE.fullmatch(text)
        assert match, text
        assert text.isprintable(), text
        assert len(text) < 400, text
        return f"{match['file']} {match['member']}".strip().replace('"', "'")
    return "accepted"
