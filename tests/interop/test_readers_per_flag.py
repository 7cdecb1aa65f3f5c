"""Other projects' readers open one dump for every flag and report the facts of the target.

Writer and judge agree on each of these dumps. Facts that a reader does not report are not compared: udmp-parser reads
only full memory, and obj2yaml before version 20 only other memory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest
from dumptruth.emu.constants import FormatFlag, Qualifier
from dumptruth.emu.plan.filters import base_name
from dumptruth.emu.plan.flags import FLAG_ROWS
from dumptruth.emu.request import Request
from dumptruth.emu.synthetic.flag_process import flag_target
from dumptruth.emu.synthetic.stream_process import stream_target
from dumptruth.fixtures.adapters import READERS
from dumptruth.fixtures.adapters.agreement import Agreed, StoppedProcess, agree
from dumptruth.fixtures.adapters.facts import Facts, PageFact, ReaderFailedError, digest

Ask = Callable[..., Facts | ReaderFailedError]

F = FormatFlag
FULL, INFO = F.DEBUG_FORMAT_USER_SMALL_FULL_MEMORY, F.DEBUG_FORMAT_USER_SMALL_FULL_MEMORY_INFO
TRIAGE = F.DEBUG_FORMAT_USER_SMALL_FILTER_TRIAGE
PARAMETERS = FULL | F.DEBUG_FORMAT_USER_SMALL_PROCESS_THREAD_DATA | F.DEBUG_FORMAT_USER_SMALL_PRIVATE_READ_WRITE_MEMORY
"""Flags that add the PEB and the structures that it points to."""
NEEDED = {("udmp-parser", FULL): INFO}
"""udmp-parser finds memory only through the MemoryInfoList, and refuses full memory without one."""
WITNESSES = [reader for reader in READERS if reader != "file"]


def named(flag: object) -> str:
    return (flag.name or "").removeprefix("DEBUG_FORMAT_USER_SMALL_") if isinstance(flag, FormatFlag) else str(flag)


@cache
def target() -> StoppedProcess:
    """A target with data for every flag, and with a token."""
    return StoppedProcess.of(replace(flag_target(unreadable=False), tokens=stream_target().tokens))


@cache
def dumped(flags: int) -> Agreed:
    found = agree(target(), Request(Qualifier.DEBUG_DUMP_SMALL, flags))
    assert isinstance(found, Agreed)
    return found


def merged(ranges: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    found: list[tuple[int, int]] = []
    for start, end in sorted(ranges):
        if found and found[-1][1] == start:
            found[-1] = (found[-1][0], end)
        else:
            found.append((start, end))
    return found


def in_an_image(page: PageFact) -> bool:
    return any(item.base <= page.start < item.base + item.size for item in target().snapshot.modules)


@pytest.mark.parametrize("flag", [row.flag for row in FLAG_ROWS], ids=named)
@pytest.mark.parametrize("reader", WITNESSES)
def test_a_reader_agrees_with_the_target(ask_one: Ask, tmp_path: Path, reader: str, flag: FormatFlag) -> None:
    truth = target().snapshot
    flags = flag | NEEDED.get((reader, flag), FormatFlag(0))
    dump, file = dumped(flags), tmp_path / "flag.dmp"
    file.write_bytes(dump.data)
    said = ask_one(reader, file)
    assert isinstance(said, Facts), said
    assert said.architecture == "amd64"
    assert sorted(
        (thread.thread_id, thread.instruction_pointer, thread.stack_pointer, thread.teb)
        for thread in said.threads or ()
    ) == sorted(
        (thread.thread_id, thread.context["Rip"], thread.context["Rsp"], thread.teb) for thread in truth.threads
    )
    paths = flag not in (F.DEBUG_FORMAT_USER_SMALL_FILTER_PATHS, TRIAGE)  # the second implies the first
    assert [(module.base, module.size, module.name) for module in said.modules or ()] == [
        (module.base, module.size, module.name if paths else base_name(module.name)) for module in truth.modules
    ]
    assert truth.exception is not None
    assert said.exception is not None
    assert said.exception.thread_id == truth.exception.thread_id
    if said.exception.code is not None:
        assert (said.exception.code, said.exception.address) == (truth.exception.code, truth.exception.address)
    if said.stream_count is not None:
        assert said.stream_count == dump.result.plan.directory_entries
    if reports_memory(reader, flag):
        check_memory(said, dump, filtered=flag == TRIAGE)
    if reader == "minidump":
        expected = {"image_base": hex(truth.modules[0].base), "command_line": truth.process.command_line}
        assert said.extra == (expected if flag & PARAMETERS else {})


def reports_memory(reader: str, flag: FormatFlag) -> bool:
    return {"udmp-parser": flag == FULL, "obj2yaml": flag != FULL}.get(reader, True)


def check_memory(said: Facts, dump: Agreed, *, filtered: bool) -> None:
    """The reader reports exactly the ranges of the file, with the target's bytes except where a filter zeroes words."""
    truth = target().snapshot
    assert said.memory
    assert merged((page.start, page.start + page.size) for page in said.memory) == merged(
        (planned.start, planned.end) for planned in dump.result.plan.ranges
    )
    changed = [page for page in said.memory if page.digest != digest(truth.read(page.start, page.size) or b"")]
    assert not [page for page in changed if in_an_image(page)]
    assert bool(changed) == filtered


def test_udmp_parser_needs_the_memory_info_list(ask: Ask, tmp_path: Path) -> None:
    file = tmp_path / "full.dmp"
    file.write_bytes(dumped(FULL).data)
    assert isinstance(ask("udmp-parser", file), ReaderFailedError)


@pytest.mark.slow
@pytest.mark.parametrize("flag", [row.flag for row in FLAG_ROWS], ids=named)
def test_file_reads_the_header(ask_one: Ask, tmp_path: Path, flag: FormatFlag) -> None:
    file = tmp_path / "flag.dmp"
    file.write_bytes(dumped(flag).data)
    said = ask_one("file", file)
    assert isinstance(said, Facts)
    assert said.flags == int(dumped(flag).result.plan.flags)
    assert said.stream_count == dumped(flag).result.plan.directory_entries
