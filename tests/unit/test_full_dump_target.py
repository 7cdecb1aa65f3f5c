"""A full minidump retold as a target: it equals the target that was dumped, but for what no such dump tells."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from dumptruth.emu import DebugClient
from dumptruth.emu.scenarios.process import run_scenario
from dumptruth.emu.snapshot.process import Context, ProcessSnapshot
from dumptruth.fixtures.adapters.full_dump_target import NotAFullDumpError, snapshot_of

FLAGS = ["full-memory", "handle-data", "unloaded-modules", "full-memory-info", "thread-info"]
SECOND = 10_000_000


def _without_xstate(context: Context) -> Context:
    return replace(context, xstate=None)


def _told(target: ProcessSnapshot) -> ProcessSnapshot:
    """``target`` without what a full dump does not tell."""
    times = {
        name: getattr(target.process, name) // SECOND * SECOND for name in ("create_time", "user_time", "kernel_time")
    }
    event = target.exception
    return replace(
        target,
        system=replace(target.system, xstate=None),
        process=replace(target.process, **times),
        time=target.time // SECOND * SECOND,
        start_directory="",
        threads=tuple(replace(thread, state="", context=_without_xstate(thread.context)) for thread in target.threads),
        exception=None if event is None else replace(event, first_chance=True, context=_without_xstate(event.context)),
        handle_operations=(),
    )


@pytest.mark.parametrize("scenario", ["null-read", "deadlock", "every-stream", "stack-overflow", "dll-after-unload"])
def test_a_full_dump_retells_the_target_that_was_dumped(tmp_path: Path, scenario: str) -> None:
    target = run_scenario(scenario)
    DebugClient(target).write(tmp_path / "full.dmp", "small", FLAGS)
    assert snapshot_of(tmp_path / "full.dmp") == _told(target)


@pytest.mark.parametrize("flags", [[], ["full-memory"], ["full-memory-info"]])
def test_a_dump_that_lacks_what_a_truth_needs_is_refused(tmp_path: Path, flags: list[str]) -> None:
    DebugClient(run_scenario("null-read")).write(tmp_path / "part.dmp", "small", flags)
    with pytest.raises(NotAFullDumpError):
        snapshot_of(tmp_path / "part.dmp")


def test_a_full_dump_with_extended_state_retells_it(tmp_path: Path) -> None:
    target = run_scenario("every-stream")
    DebugClient(target).write(tmp_path / "full.dmp", "small", [*FLAGS, "add-avx-xstate-context"])
    told = snapshot_of(tmp_path / "full.dmp")
    assert told.system.xstate == target.system.xstate is not None
    assert [thread.context for thread in told.threads] == [
        replace(thread.context, xstate=thread.context.xstate or ()) for thread in target.threads
    ]
