"""Engine 15063 and our writer make the same ranges, filtered words and contexts of one dump target. The oracle agrees.

It needs the engine's DLLs, and Wine outside Windows (docs/witness.md). The targets are made up: random words on stacks
and in registers that point at, before and behind everything that a minidump can hold.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path

import pytest
from dumptruth.emu.debugger.client import DebugClient
from dumptruth.emu.request import Contract, Request, Session
from dumptruth.emu.snapshot.process import ProcessSnapshot
from dumptruth.emu.synthetic.flag_process import flag_target
from dumptruth.emu.synthetic.process import synthetic_process
from dumptruth.emu.truth import store
from dumptruth.emu.writer.minidump import dump_bytes
from dumptruth.emu.writer.userdump import user_dump_bytes
from dumptruth.fixtures.adapters.contexts import registers
from dumptruth.fixtures.adapters.engine.process import Harness
from dumptruth.fixtures.adapters.engine.writer import write
from dumptruth.oracle import load_any_truth

from .engine_judged import Verdicts, asked
from .engine_live import FULL, SMALL
from .made_up import random_process
from .odd_stacks import odd_process

DEFAULT = 1025
FLAGS = (0x1, 0x8, 0x80, 0x407, 0x10000, 0x10008, 0x10010, 0x10080, 0x10100, 0x10200)
ARCHITECTURES = ("amd64", "x86", "arm64")
ODD = (0, 1, 2, 3, 4, 5, 13, 18, 24, 25, 31, 53)
"""Seeds of processes with odd stacks that differ in where SP is and what touches the stacks."""
REFUSED = {
    "amd64": (18, 25, 31, 53),
    "x86": (13, 53),
    "arm64": (18, 25, 31, 53),
}
"""Those of which the oracle refuses an engine's file: it does not know all that added memory does to stacks."""


@pytest.fixture(name="harness", scope="module")
def engine_15063(engine: Harness) -> Harness:
    if engine.build != "15063":
        pytest.skip(f"the writer's contract e15063 is not that of version {engine.version}")
    return engine


def facts(data: bytes) -> dict[str, object]:
    """The size, the ranges with their bytes, and each thread's stack and context, read without the code under test."""
    count, at = struct.unpack_from("<II", data, 8)
    streams = {kind: at for kind, _, at in struct.iter_unpack("<III", data[at : at + 12 * count])}
    entries = list(threads(data, streams[3]))
    size, context = struct.unpack_from("<II", data, streams[6] + 160)
    return {
        "size": len(data),
        "ranges": list(ranges(data, streams)),
        "threads": entries,
        "exception": data[context : context + size],
    }


def ranges(data: bytes, streams: dict[int, int]) -> Iterator[tuple[int, bytes]]:
    if 5 in streams:
        for index in range(*struct.unpack_from("<I", data, streams[5])):
            start, size, rva = struct.unpack_from("<QII", data, streams[5] + 4 + 16 * index)
            yield start, data[rva : rva + size]
        return
    count, rva = struct.unpack_from("<QQ", data, streams[9])
    for index in range(count):
        start, size = struct.unpack_from("<QQ", data, streams[9] + 16 + 16 * index)
        yield start, data[rva : rva + size]
        rva += size


def threads(data: bytes, at: int) -> Iterator[tuple[int, int, int, bool, bytes]]:
    for index in range(*struct.unpack_from("<I", data, at)):
        entry = struct.unpack_from("<4IQQ4I", data, at + 4 + 48 * index)
        start, size, rva, context_size, context = entry[5:]
        yield entry[0], start, size, bool(rva), data[context : context + context_size]


def compare(harness: Harness, folder: Path, target: ProcessSnapshot, *, accepted: bool = True) -> None:
    """The writer makes the engine's dump of ``target``, and the oracle accepts the engine's files or refuses one."""
    source, made = folder / "source.dmp", folder / "made.dmp"
    store.save(target, folder / "truth", source="synthetic")
    truth, verdicts = load_any_truth(folder / "truth"), Verdicts()
    DebugClient(target, contract=Contract.E15063).write(source, SMALL, FULL)
    harness.open(source)
    for flags in FLAGS:
        made.unlink(missing_ok=True)
        assert write(harness, made, SMALL, flags).succeeded
        ours, _ = dump_bytes(target, Request(SMALL, flags, contract=Contract.E15063, session=Session.DUMP))
        assert facts(ours) == facts(made.read_bytes()), f"flags {flags:#x}"
        for contract in ("e15063", "documented"):
            verdicts.judge(f"{contract}, flags {flags:#x}", made, truth, asked(SMALL, flags, contract, "dump"))
    harness.ask("end")
    assert (verdicts.failures == []) is accepted, verdicts.failures or "remove the process from REFUSED"


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_process_with_memory_for_every_flag(harness: Harness, tmp_path: Path, architecture: str) -> None:
    compare(harness, tmp_path, flag_target(architecture, unreadable=False))


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("seed", range(3))
def test_random_pointers(harness: Harness, tmp_path: Path, architecture: str, seed: int) -> None:
    compare(harness, tmp_path, random_process(architecture, seed))


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("seed", ODD)
def test_odd_stacks(harness: Harness, tmp_path: Path, architecture: str, seed: int) -> None:
    compare(harness, tmp_path, odd_process(architecture, seed), accepted=seed not in REFUSED[architecture])


@pytest.mark.parametrize(("build", "right"), [(None, True), (1381, False), (1382, True)])
def test_contexts_of_an_x86_user_dump_are_read_in_full_by_its_build(
    harness: Harness, tmp_path: Path, build: int | None, right: bool
) -> None:
    """docs/format/user-dump.md: MinorVersion names the build. NT 4 had shorter contexts."""
    target = synthetic_process("x86", threads=2)
    data = bytearray(user_dump_bytes(target, Request(DEFAULT))[0])
    if build is not None:
        struct.pack_into("<I", data, 0x0C, build << 16)
    dump = tmp_path / "user.dmp"
    dump.write_bytes(data)
    harness.open(dump)
    read = [registers("x86", bytes.fromhex(each["context"])) for each in harness.ask("threads", frames=1)["threads"]]
    harness.ask("end")
    wanted = [dict(thread.context.registers) for thread in target.threads]
    assert (read == [{name: values[name] for name in read[0]} for values in wanted]) is right
