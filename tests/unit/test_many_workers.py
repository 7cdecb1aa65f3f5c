"""Processes that work on many items: order, errors, and a process that dies."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from dumptruth.fixtures.app.many.workers import Failed, in_order, processors, run

SCRIPT = """
import json, os, sys, time
from dumptruth.fixtures.app.many.workers import Failed, WorkersError, in_order, run

class Task:
    def __init__(self, broken=False):
        self.broken = broken

    def start(self):
        if self.broken:
            raise LookupError("no such\\ntruth")
        return self.work

    @staticmethod
    def work(item):
        if item == "die":
            os._exit(7)
        if item == "raise":
            raise ValueError("two\\nlines")
        if item == "slow":
            time.sleep(0.2)
        return item + " " + str(os.getpid())

if __name__ == "__main__":
    items, jobs, broken = json.loads(sys.argv[1])
    found = []
    try:
        for result in in_order(run(Task(broken), items, jobs)):
            found.append(["failed", result.reason] if isinstance(result, Failed) else result.split())
    except WorkersError as error:
        found = str(error)
    print(json.dumps([os.getpid(), found]))
"""


class Doubling:
    """Works in this process."""

    def start(self):  # type: ignore[no-untyped-def]
        return lambda item: 2 * item


@pytest.fixture(scope="module")
def script(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("workers") / "script.py"
    path.write_text(SCRIPT, encoding="utf-8")
    return path


def ran(script: Path, items: list[str], jobs: int, *, broken: bool = False) -> list:  # type: ignore[type-arg]
    done = subprocess.run(
        [sys.executable, str(script), json.dumps([items, jobs, broken])], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    parent, found = json.loads(done.stdout)
    return [parent, found]


def test_results_come_in_the_order_of_the_items_from_warm_processes(script: Path) -> None:
    items = ["slow", *(f"i{number}" for number in range(30))]
    parent, found = ran(script, items, 2)
    assert [name for name, _ in found] == items
    processes = {int(process) for _, process in found}
    assert len(processes) <= 2
    assert parent not in processes


def test_a_process_that_dies_fails_its_item_and_no_other(script: Path) -> None:
    items = [f"i{number}" for number in range(12)]
    items[3] = items[7] = "die"
    found = ran(script, items, 2)[1]
    reasons = [reason for name, reason in found if name == "failed"]
    assert [name for name, _ in found] == [("failed" if item == "die" else item) for item in items]
    assert reasons == ["the process that worked on the file ended with status 7"] * 2


def test_every_process_may_die(script: Path) -> None:
    assert [name for name, _ in ran(script, ["die"] * 5, 2)[1]] == ["failed"] * 5


def test_an_exception_is_the_error_of_its_item(script: Path) -> None:
    found = ran(script, ["a", "raise", "b"], 2)[1]
    assert found[1] == ["failed", "ValueError: two lines"]
    assert [name for name, _ in found] == ["a", "failed", "b"]


def test_a_task_that_cannot_start_is_one_line(script: Path) -> None:
    assert ran(script, ["a", "b"], 2, broken=True)[1] == "LookupError: no such truth"


@pytest.mark.parametrize(("items", "jobs"), [([5], 8), ([5, 6, 7], 1), ([], 4)])
def test_one_item_or_one_job_needs_no_process(items: list[int], jobs: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("multiprocessing.get_context", None)
    assert list(in_order(run(Doubling(), items, jobs))) == [2 * item for item in items]


def test_finished_items_are_counted() -> None:
    seen: list[int] = []
    results = in_order(iter([(1, "b"), (0, Failed("a")), (2, "c")]), seen.append)
    assert list(results) == [Failed("a"), "b", "c"]
    assert seen == [1, 2, 3]
    assert processors() > 0
