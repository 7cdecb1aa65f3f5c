"""``dumptruth.oracle`` closes the files that it opens, and its results can be shared, pickled and annotated."""

from __future__ import annotations

import copy
import gc
import pickle
import sys
import threading
import typing
from collections.abc import Callable, Iterator
from pathlib import Path
from shutil import copyfile, copytree
from types import SimpleNamespace
from typing import Any

import dumptruth.oracle
import pytest
from dumptruth import oracle
from dumptruth.oracle import (
    ByteSource,
    Contents,
    Memory,
    Module,
    NotADumpError,
    Outcome,
    PhysicalPages,
    Report,
    RuleResult,
    Thread,
    all_rules,
    check,
    identify,
    load_any_truth,
    read,
)
from dumptruth.oracle.entitlement.cache import computed_once
from dumptruth.oracle.vectors import Vector

from .public_goldens import (
    CABINET,
    KERNEL,
    KINDS,
    MACHINE,
    PROCESS,
    USER,
    path_of,
    walk,
)


@pytest.fixture
def no_collector() -> Iterator[None]:
    """Without the garbage collector, only reference counts free the views of a file."""
    gc.disable()
    yield
    gc.enable()


def released(path: Path) -> bool:
    """Whether the file is closed, and no map of it is left. Windows deletes no open file."""
    maps, handles = Path("/proc/self/maps"), Path("/proc/self/fd")
    if maps.exists():
        opened = [str(handle.readlink()) for handle in handles.iterdir() if handle.is_symlink()]
        return str(path) not in maps.read_text() and str(path) not in opened
    path.unlink()
    return True


@pytest.mark.skipif(sys.implementation.name != "cpython", reason="needs reference counts")
@pytest.mark.usefixtures("no_collector")
@pytest.mark.parametrize("name", [*KINDS, "cab/kernel-small"])
def test_the_file_is_closed_behind_read_check_and_identify(name: str, tmp_path: Path) -> None:
    paths = [tmp_path / f"{number}{path_of(name).suffix}" for number in range(3)]
    for path in paths:
        copyfile(path_of(name), path)
    with read(paths[0]) as dump:
        walk(dump)
    assert released(paths[0])
    report, identity = check(paths[1]), identify(paths[2])
    assert released(paths[1])
    assert released(paths[2])
    assert [dump.kind, report.kind, identity.kind]  # they are alive


@pytest.mark.skipif(sys.implementation.name != "cpython", reason="needs reference counts")
@pytest.mark.usefixtures("no_collector")
@pytest.mark.parametrize("vector", [PROCESS, KERNEL], ids=["process", "machine"])
def test_the_truth_that_check_loads_is_closed(vector: Vector, tmp_path: Path) -> None:
    assert vector.truth_folder is not None
    copytree(vector.truth_folder, tmp_path / "truth")
    assert check(vector.read(), tmp_path / "truth", vector.request()).outcome is Outcome.CONFORMANT
    assert released(tmp_path / "truth" / "memory.bin")


@pytest.mark.usefixtures("no_collector")
def test_the_file_is_closed_behind_an_error(tmp_path: Path) -> None:
    (tmp_path / "a.cab").write_bytes(b"MSCF" + bytes(60))
    with pytest.raises(NotADumpError):
        read(tmp_path / "a.cab")
    assert released(tmp_path / "a.cab")


def test_a_source_of_the_caller_stays_open_and_usable() -> None:
    with ByteSource.open(path_of(USER)) as source:
        with read(source) as dump:
            walk(dump)
        check(source)
        identify(source)
        assert source.read(0, 4) == b"MDMP"
    other = ByteSource(b"hello")
    with pytest.raises(NotADumpError):
        read(other)
    assert other.read(0, 5) == b"hello"


def test_a_closed_dump_keeps_its_values_and_refuses_memory() -> None:
    for name in (USER, MACHINE, CABINET):
        with read(path_of(name)) as dump:
            registers = dict(dump.registers)
        dump.close()  # twice is allowed
        assert dump.registers == registers
        assert repr(dump)
        uses: list[Callable[[], object]] = [lambda dump=dump: dump.memory.read(0, 1), lambda dump=dump: dump.facts]  # type: ignore[misc]
        if dump.pages is not None:
            uses += [lambda pages=dump.pages: pages.read(0), lambda pages=dump.pages: pages.count]  # type: ignore[misc]
        for use in uses:
            with pytest.raises(ValueError, match="the dump is closed"):
                use()


def test_a_bytearray_can_be_resized_once_the_dump_is_closed() -> None:
    data = bytearray(path_of(USER).read_bytes())
    with read(data):
        pass
    check(data)
    data.clear()


def test_results_can_be_pickled_copied_and_hashed() -> None:
    for name in (USER, MACHINE, CABINET):
        report = check(path_of(name))
        with read(path_of(name)) as dump:
            values = (report, identify(path_of(name)), dump.threads, dump.modules, dump.exception, dump.registers)
            assert len({report, dump, dump.memory, *dump.threads, *dump.modules, *dump.streams}) > 2
            assert copy.copy(dump).memory is dump.memory
        for value in values:
            assert pickle.loads(pickle.dumps(value)) == value
            assert copy.deepcopy(value) == value


def test_threads_share_the_results_of_a_truth() -> None:
    truth: Any = SimpleNamespace(computed={})
    wrong: list[object] = []
    interval = sys.getswitchinterval()

    def ask(start: int) -> None:
        try:
            for number in range(start, start + 4000):
                key = number * 7 % 24
                if computed_once(truth, key, lambda key=key: key) != key:  # type: ignore[misc]
                    wrong.append(key)
        except Exception as error:
            wrong.append(error)

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(4)]
    sys.setswitchinterval(1e-6)
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)
    assert wrong == []
    assert len(truth.computed) <= 16


def test_threads_get_the_report_that_one_thread_gets() -> None:
    assert PROCESS.truth_folder is not None
    truth, data, request = load_any_truth(PROCESS.truth_folder), PROCESS.read(), PROCESS.request()
    found: list[Report] = []
    threads = [threading.Thread(target=lambda: found.append(check(data, truth, request))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [check(data, PROCESS.truth_folder, request)] * 4


def test_the_annotations_of_the_documented_names_resolve() -> None:
    for item in (check, identify, read, all_rules, Contents, Memory, Module, PhysicalPages, Report, RuleResult, Thread):
        assert typing.get_type_hints(item)
    assert Path(str(dumptruth.oracle.__file__)).with_name("py.typed").exists()


def test_every_public_name_has_a_home_and_no_other_name_has_one() -> None:
    """Names of the package are imported when they are used: a missing home shows only then."""
    assert set(oracle._HOME) == set(oracle.__all__)
    for name, module in oracle._HOME.items():
        found = getattr(oracle, name)
        assert getattr(found, "__module__", "").startswith("dumptruth.oracle") or not callable(found), (name, module)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        oracle.nothing  # noqa: B018
