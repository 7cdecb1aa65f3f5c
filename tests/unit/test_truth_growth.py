"""A list of a truth that is ten times as long takes both loaders at most fifteen times as long.

The slow test prints the slopes of both: ``pytest -n0 -s -m slow tests/unit/test_truth_growth.py -k slopes``.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import nullcontext
from math import log
from pathlib import Path
from typing import Any

import pytest
from dumptruth.emu.truth import store
from dumptruth.oracle.truth import load as oracle

from ..truth_corpus import every_text_is_long, sound, write

SMALL, LARGE, ROUNDS = 300, 3_000, 3
FEWEST = 100
"""Elements of a list that grows a hundredfold."""
STEEPEST = 1.2
"""The exponent of growth: 1 is linear."""
FLOOR = 0.005
"""Seconds. A smaller cost is taken as this: it is noise."""
LOADERS: tuple[Callable[[Path], object], ...] = (oracle.load_any_truth, store.load_snapshot)
PAGE = 0x1000
Grow = Callable[[dict[str, Any], int], object]


def _copies(path: str, key: str = "", *, hexadecimal: bool = False, first: int = 4, step: int = 4) -> Grow:
    """Make the list at ``path`` of copies of its first element. ``key`` gets a value of its own in each of them."""

    def grow(document: dict[str, Any], count: int) -> None:
        *parents, last = path.split("/")
        for step_down in parents:
            document = document[int(step_down)] if step_down.isdigit() else document[step_down]  # type: ignore[index]
        row, values = document[last][0], [first + step * index for index in range(count)]
        shown = map(hex, values) if hexadecimal else values
        document[last] = [{**row, key: value} if key else row for value in shown]

    return grow


def _threads(document: dict[str, Any], count: int) -> None:
    _copies("threads", "thread_id")(document, count)
    document["exception"]["thread_id"] = 4


def _modules(document: dict[str, Any], count: int) -> None:
    _copies("modules", "base", hexadecimal=True)(document, count)
    document["image_files"] = [module["base"] for module in document["modules"]]


def _pages(every: int, member: str) -> Grow:
    """Regions of one page, each ``every``-th of them in ``member``."""

    def grow(document: dict[str, Any], count: int) -> None:
        free, used = document["regions"][0], next(row for row in document["regions"] if row["protect"] == 4)
        rows = [
            {**(used if not index % every else free), "base": hex(index * PAGE), "size": hex(PAGE)}
            for index in range(count)
        ]
        top = int(document["system"]["maximum_user_mode_address"], 16) + 1
        document["regions"] = [*rows, {**free, "base": hex(count * PAGE), "size": hex(top - count * PAGE)}]
        held = [{"start": hex(index * PAGE), "size": hex(PAGE)} for index in range(0, count, every)]
        document["memory"] = document["unreadable"] = []
        if member == "memory":
            document["memory"] = [{**row, "offset": hex(index * PAGE)} for index, row in enumerate(held)]
        else:
            document["unreadable"] = held

    return grow


def _runs(member: str) -> Grow:
    """Runs of one page of RAM, which are in ``member``, too."""

    def grow(document: dict[str, Any], count: int) -> None:
        runs = [{"base_page": hex(1 + 2 * index), "page_count": "0x1"} for index in range(count)]
        for name in ("memory", "free_pages", "standby_pages", "unreadable_pages", "added_pages"):
            document[name] = []
        document |= {"physical_runs": runs, "system_directory_table_base": "0x1000", "directory_table_base": "0x1000"}
        if member == "memory":
            document["memory"] = [{**run, "offset": hex(index * PAGE)} for index, run in enumerate(runs)]
        else:
            document[member] = runs

    return grow


LISTS: dict[tuple[str, str], Grow] = {
    ("amd64", "threads"): _threads,
    ("amd64", "modules"): _modules,
    ("amd64", "sections"): _copies("modules/0/sections"),
    ("amd64", "unloaded_modules"): _copies("unloaded_modules"),
    ("amd64", "regions"): _pages(1 << 30, "unreadable"),
    ("amd64", "memory"): _pages(2, "memory"),
    ("amd64", "unreadable"): _pages(2, "unreadable"),
    ("amd64", "handles"): _copies("handles", "value"),
    ("amd64", "function_tables"): _copies("function_tables"),
    ("amd64", "entries"): _copies("function_tables/0/entries"),
    ("amd64", "handle_operations"): _copies("handle_operations"),
    ("amd64", "tokens"): _copies("tokens"),
    ("amd64", "groups"): _copies("tokens/0/groups"),
    ("amd64", "privileges"): _copies("tokens/0/privileges"),
    ("machine", "processors"): _copies("processors", "number", first=0, step=1),
    ("machine", "processes"): _copies("processes"),
    ("machine", "threads"): _copies("processes/0/threads"),
    ("machine", "drivers"): _copies("drivers"),
    ("machine", "read_only_sections"): _copies("drivers/0/read_only_sections"),
    ("machine", "unloaded_drivers"): _copies("unloaded_drivers"),
    ("machine", "memory"): _runs("memory"),
    ("machine", "free_pages"): _runs("free_pages"),
    ("machine", "added_pages"): _runs("added_pages"),
    ("machine", "triage_data"): _copies("triage_data"),
    ("machine", "blobs"): _copies("blobs"),
}


QUICK = [("amd64", "threads"), ("amd64", "modules"), ("amd64", "memory"), ("amd64", "handles"), ("machine", "memory")]


@pytest.mark.parametrize(
    ("name", "member"), [*QUICK, *(pytest.param(*row, marks=pytest.mark.slow) for row in LISTS if row not in QUICK)]
)
def test_a_list_ten_times_as_long_takes_at_most_fifteen_times_as_long(name: str, member: str, tmp_path: Path) -> None:
    folders = [_folder(tmp_path, name, member, count) for count in (SMALL, LARGE)]
    for way in (nullcontext, every_text_is_long):
        for load in LOADERS:
            with way():
                rounds = [[_seconds(load, folder) for folder in folders] for _ in range(ROUNDS)]
            small, large = map(min, zip(*rounds, strict=True))
            assert large < 15 * small, f"{load.__module__}, {way.__name__}: {small:.4f} s, {large:.4f} s"


@pytest.mark.slow
def test_slopes_from_once_to_a_hundred_times_are_at_most_1_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = {}
    for name, member in LISTS:
        folders = [_folder(tmp_path / name / member, name, member, count) for count in (FEWEST, 100 * FEWEST)]
        slopes = []
        for load in LOADERS:
            small, large = (max(min(_seconds(load, folder) for _ in range(2)), FLOOR) for folder in folders)
            slopes.append(log(large / small, 100))
        found[name, member] = max(slopes)
        with capsys.disabled():
            print(f"\n{slopes[0]:6.2f} {slopes[1]:6.2f}  {name} {member}", end="", flush=True)
    assert max(found.values()) <= STEEPEST, found


def _folder(parent: Path, name: str, member: str, count: int) -> Path:
    """A truth whose list ``member`` has ``count`` elements."""
    document = sound()[name].copy()
    LISTS[name, member](document, count)
    runs = document["memory"]
    pages = sum(int(run["page_count"], 16) * PAGE if "page_count" in run else int(run["size"], 16) for run in runs)
    (parent / str(count)).mkdir(parents=True)
    folder = write(parent / str(count), document)
    with (folder / "memory.bin").open("wb") as file:
        file.truncate(pages)
    return folder


def _seconds(load: Callable[[Path], object], folder: Path) -> float:
    """The CPU time of a load that succeeds."""
    start = time.process_time()
    load(folder)
    return time.process_time() - start
