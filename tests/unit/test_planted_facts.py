"""A reader that reports one wrong fact is caught by that fact, and one that reports little is told so."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from dumptruth.emu.constants import FormatFlag, Qualifier
from dumptruth.emu.debugger.client import DebugClient
from dumptruth.emu.request import KernelProfile
from dumptruth.emu.snapshot.kernel import KernelSnapshot
from dumptruth.emu.snapshot.process import ProcessSnapshot
from dumptruth.emu.synthetic.kernel import synthetic_machine
from dumptruth.emu.synthetic.stream_process import stream_target
from dumptruth.emu.truth import store
from dumptruth.oracle import ByteSource, load_any_truth
from dumptruth.oracle.conform.catalog import catalog
from dumptruth.oracle.conform.expected import Expected
from dumptruth.oracle.conform.expecting import expected_facts
from dumptruth.oracle.conform.facts import compare

from ..snapshot_facts import machine_facts, process_facts

Case = tuple[Expected, dict[str, Any]]
FLAGS = (
    FormatFlag.DEBUG_FORMAT_USER_SMALL_FULL_MEMORY
    | FormatFlag.DEBUG_FORMAT_USER_SMALL_HANDLE_DATA
    | FormatFlag.DEBUG_FORMAT_USER_SMALL_UNLOADED_MODULES
    | FormatFlag.DEBUG_FORMAT_USER_SMALL_FULL_MEMORY_INFO
    | FormatFlag.DEBUG_FORMAT_USER_SMALL_THREAD_INFO
    | FormatFlag.DEBUG_FORMAT_USER_SMALL_ADD_AVX_XSTATE_CONTEXT
)
COMMENT = "a comment of more than 32 characters, which a reader with a short buffer cuts"


def _dumped(
    folder: Path, target: ProcessSnapshot | KernelSnapshot, qualifier: Qualifier, flags: FormatFlag, **options: Any
) -> Expected:
    """The facts that the judge expects of a dump of ``target``."""
    file = folder / "target.dmp"
    DebugClient(target, **options).write(file, qualifier, flags, COMMENT)
    store.save(target, folder / "truth", source="a snapshot in memory")
    return expected_facts(ByteSource(file.read_bytes()), load_any_truth(folder / "truth"))


@pytest.fixture(scope="module")
def process(tmp_path_factory: pytest.TempPathFactory) -> Case:
    target = stream_target()
    expected = _dumped(tmp_path_factory.mktemp("process"), target, Qualifier.DEBUG_DUMP_SMALL, FLAGS)
    memory = ((run.start, bytes(run.data[:])) for run in target.memory)
    return expected, process_facts(target, memory) | {"comment": COMMENT}


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Case:
    target = synthetic_machine()
    folder = tmp_path_factory.mktemp("machine")
    none = FormatFlag.DEBUG_FORMAT_DEFAULT
    expected = _dumped(folder, target, Qualifier.DEBUG_DUMP_FULL, none, profile=KernelProfile.PORTABLE)
    return expected, machine_facts(target) | {"comment": COMMENT}


def _all_wrong(facts: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each fact of ``facts`` in turn with one wrong value: its path, and the report."""
    for name, value in facts.items():
        fact = catalog()[name]
        for member in fact.members:
            report = copy.deepcopy({name: value})
            held = report[name]
            if fact.shape == "value":
                report[name] = _other(held, name)
                yield name, report
                continue
            items = held if fact.shape == "list" else [held]
            at = next((item for item in items if item.get(member.name)), None)
            if at is not None:
                at[member.name] = _other(at[member.name], member.kind)
                yield fact.path(member), report


def _other(value: Any, kind: str) -> Any:
    """A wrong value of the same kind."""
    if kind == "dump_kind":
        return "small"
    if isinstance(value, list):
        return value[:-1]
    if isinstance(value, dict):
        name = next(iter(value))
        return value | {name: _other(value[name], "number")}
    if kind == "digest":
        return "0" * len(value)
    if kind == "guid":
        return ("1" if value[0] == "0" else "0") + value[1:]
    if isinstance(value, str) and not value.startswith("0x"):
        return value[:-1]
    number = int(value, 16) if isinstance(value, str) else value
    return number - 1 if number else 1


@pytest.mark.parametrize("mode", ["process", "machine"])
def test_the_facts_of_the_target_agree_with_those_of_its_dump(mode: str, request: pytest.FixtureRequest) -> None:
    expected, facts = request.getfixturevalue(mode)
    found = compare(expected, facts)
    assert found.differences == ()
    # What only the file has: places, sizes and flags that the writer chose.
    chosen = {
        "flags",
        "context_flags",
        "stream_count",
        "streams",
        "stack_start",
        "stack_size",
        "xstate_features",
        "extra",
    }
    left = {path for path in found.known if not chosen & {path, *path.split(".")}} - set(found.compared)
    assert left <= {"tokens.size", "exception.parameters", "exception.next_record", *catalog()["memory"].paths}, left


@pytest.mark.parametrize(("mode", "least"), [("process", 100), ("machine", 30)])
def test_each_planted_fault_is_caught_by_its_fact(mode: str, least: int, request: pytest.FixtureRequest) -> None:
    expected, facts = request.getfixturevalue(mode)
    planted = list(_all_wrong(facts))
    assert len(planted) >= least
    for path, report in planted:
        found = compare(expected, report)
        name, _, member = path.partition(".")
        assert found.differences, path
        key = catalog()[name].key
        assert member in (key, "") or path in found.compared, path
        assert all(name in line or name == "extra" for line in found.differences), (path, found.differences)
        if member not in (key, "size"):
            assert any(member in line or _is_register(line) for line in found.differences), (path, found.differences)


def _is_register(line: str) -> bool:
    return line.startswith(("registers", "context", "processors", "exception_context"))
