"""Loading large truths, compared with ``json.loads`` of the same text.

Every bound is a ratio within one run, of CPU time. The loads take turns and the fastest turn of each counts.
Each test prints its figures.
"""

from __future__ import annotations

import gc
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from dumptruth.emu.truth import store
from dumptruth.oracle.truth import load as oracle

from ..truth_corpus import sound, write
from ..unit.test_truth_growth import LISTS

pytestmark = pytest.mark.benchmark

COUNTS = {"threads": 20_000, "modules": 50_000, "handles": 50_000, "memory": 50_000, "regions": 50_000}
BOUNDS = {"threads": 2, "modules": 6, "handles": 5, "memory": 9, "regions": 6}
"""Times the CPU time of ``json.loads``. The loaders that read value by value took 5 for threads, 6 to 11 for others."""
ROUNDS = 4


def cpu_seconds(work: Callable[[], object]) -> float:
    start = time.process_time()
    work()
    return time.process_time() - start


@pytest.mark.parametrize("member", COUNTS)
def test_a_load_takes_a_small_multiple_of_the_time_to_parse(member: str, tmp_path: Path) -> None:
    truth = sound()["amd64"]
    document = truth.copy()
    LISTS["amd64", member](document, COUNTS[member])
    text = json.dumps(document, indent=1)
    write(tmp_path, text.encode(), b"")
    runs: list[dict[str, Any]] = document["memory"]
    with (tmp_path / "memory.bin").open("wb") as file:
        file.truncate(sum(int(run["size"], 16) for run in runs))
    del document
    loads = {"json.loads": lambda: json.loads(text)} | {
        load.__module__.split(".")[1]: lambda load=load: load(tmp_path)
        for load in (oracle.load_any_truth, store.load_snapshot)
    }
    took = dict.fromkeys(loads, 1e9)
    gc.disable()
    try:
        for _ in range(ROUNDS):
            for name, load in loads.items():
                took[name] = min(took[name], cpu_seconds(load))
    finally:
        gc.enable()
    parse = took.pop("json.loads")
    for name, seconds in took.items():
        print(f"{COUNTS[member]} {member}, {name}: {seconds:.2f} s, {seconds / parse:.2f} times json.loads")
        assert seconds < BOUNDS[member] * parse
