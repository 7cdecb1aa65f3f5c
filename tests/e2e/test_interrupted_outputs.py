"""A command that is interrupted or killed at any file operation leaves each output old or new, and nothing else."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
from dumptruth.emu import placing
from dumptruth.emu.constants import Qualifier
from dumptruth.emu.debugger.client import DebugClient
from dumptruth.emu.synthetic.process import synthetic_process
from dumptruth.emu.truth import store
from dumptruth.fixtures.app import interruption
from dumptruth.fixtures.app.cli import run_command

SAMPLE = 5
"""Operations of each command at which it is always ended; with the marker ``slow`` at all of them."""
LAST = 3
CHANGES = frozenset({"write", "replace", "rename", "unlink", "link", "mkdir", "rmdir", "chmod", "chown", "truncate"})
OPENING = ("placing.py", "sinks.py", "staging.py", "store.py", "goldens.py")
"""The modules that open what they change."""
State = dict[str, str]


@dataclass(frozen=True)
class Case:
    arguments: tuple[str, ...]
    before: Callable[[Path], None]
    truth: str | None = None
    """A truth that may lack its truth.json after a kill."""


def _nothing(_: Path) -> None:
    pass


def _old(*names: str) -> Callable[[Path], None]:
    def make(folder: Path) -> None:
        for name in names:
            (folder / name).parent.mkdir(exist_ok=True)
            (folder / name).write_bytes(b"{}" if name.endswith(".json") else b"old")

    return make


def _old_truth(folder: Path) -> None:
    """A dump and its truth, of another process than that of the source."""
    target = synthetic_process(threads=1)
    client = DebugClient(target)
    client.write(folder / "x.dmp", "small")
    request = client.request(Qualifier.DEBUG_DUMP_SMALL, 0, None)
    store.save(target, folder / "t", source="old", request=request, file="x.dmp")


CASES = {
    "a dump and its truth": Case(("dump", "../source", "-o", "x.dmp", "--truth", "t"), _old_truth, "t"),
    "a new dump and its truth": Case(("dump", "../source", "-o", "x.dmp", "--truth", "t"), _nothing, "t"),
    "a dump by .dump and its truth": Case(
        ("dot-dump", ".dump /m /o x.dmp", "../source", "--truth", "t"), _old_truth, "t"
    ),
    "a truth without a request": Case(("run", "../source", "--truth", "t"), _old_truth, "t"),
    "a dump": Case(("dump", "../source", "-q", "default", "-o", "x.dmp"), _old("x.dmp")),
    "a dump that replaces none": Case(("dump", "../source", "-f", "no-overwrite", "-o", "x.dmp"), _nothing),
    "a cabinet": Case(("dump", "../source", "-f", "write-cab", "-o", "x.cab"), _old("x.cab")),
    "an HTML report": Case(("check", "../x.dmp", "--report", "html=r.html"), _old("r.html")),
    "a SARIF report": Case(("check", "../x.dmp", "--report", "sarif=r.sarif"), _old("r.sarif")),
    "pages": Case(("check", "../x.dmp", "../y.dmp", "-j", "1", "--report", "html=r.html"), _nothing, "r_files"),
    "a list": Case(("identify", "../x.dmp", "../y.dmp", "-j", "1", "--json", "r.json"), _old("r.json")),
    "a map": Case(("map", "../x.dmp", "--json", "r.json"), _old("r.json")),
    "a difference": Case(("diff", "../x.dmp", "../y.dmp", "--json", "r.json"), _old("r.json")),
    "an export": Case(("vectors", "export", "e", "user/small/deadlock", "--golden-only"), _nothing, "e"),
    "vectors": Case(("vectors", "build", "e", "user/small/deadlock", "-j", "1"), _nothing, "e"),
}  # fmt: skip


class Place:
    """A new folder for each run of a command."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        target = synthetic_process()
        store.save(target, folder / "source", source="new")
        for name, threads in (("x.dmp", 2), ("y.dmp", 3)):
            DebugClient(synthetic_process(threads=threads)).write(folder / name, "small")

    @contextmanager
    def prepared(self, case: Case) -> Iterator[Path]:
        folder = self._folder / "run"
        folder.mkdir()
        case.before(folder)
        here = Path.cwd()
        os.chdir(folder)
        try:
            yield folder
        finally:
            os.chdir(here)
            shutil.rmtree(folder)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    return Place(tmp_path_factory.mktemp("outputs"))


@pytest.fixture(autouse=True)
def _as_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The folder of temporary files is empty, so that a leftover is seen. Signals are as before."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    handler = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, handler)


def state(folder: Path) -> State:
    return {
        path.relative_to(folder).as_posix(): sha256(path.read_bytes()).hexdigest() if path.is_file() else "folder"
        for path in sorted(folder.rglob("*"))
    }


def run(arguments: tuple[str, ...], number: int, end: Callable[[], object]) -> tuple[int, int]:
    """Run a command and call ``end`` at its operation ``number``. The status, and the number of operations."""
    reached = 0

    def watch(frame: FrameType, event: str, function: Any) -> None:
        nonlocal reached
        if event not in ("c_call", "c_return"):
            return
        if "site-packages" in frame.f_code.co_filename:  # text that is put together in memory
            return
        name = getattr(function, "__name__", "")
        if name in CHANGES or (name == "open" and Path(frame.f_code.co_filename).name in OPENING):
            reached += 1
            if reached == number:
                end()

    sys.setprofile(watch)
    try:
        status = run_command(arguments)
    finally:
        sys.setprofile(None)
    return status, reached


def numbers(count: int, every: bool) -> list[int]:
    """Operations from the first to the last: all, or a sample with each of the last ones, which are renames."""
    if every or count <= SAMPLE:
        return list(range(1, count + 1))
    spread = {1 + (count - 1) * index // (SAMPLE - 1) for index in range(SAMPLE)}
    return sorted(spread | set(range(count - LAST, count)))


def ends(place: Place, case: Case) -> tuple[State, State, int]:
    """The state before and after the whole command, and the number of its operations."""
    with place.prepared(case):  # what is imported and cached the first time is not counted
        run(case.arguments, 0, lambda: None)
    with place.prepared(case) as folder:
        old = state(folder)
        status, count = run(case.arguments, 0, lambda: None)
        assert status in (0, 1)
        return old, state(folder), count


def is_litter(name: str) -> bool:
    return any(part.startswith(placing.PREFIX) for part in name.split("/"))


LONG = ("an export", "vectors")
"""Commands that read all recipes each time."""
EVERY = [
    pytest.param(name, every, id=f"{name}-{'all' if every else 'sample'}",
                 marks=[pytest.mark.slow] if every or name in LONG else [])
    for name in CASES
    for every in (False, True)
]  # fmt: skip


@pytest.mark.parametrize(("name", "every"), EVERY)
@pytest.mark.usefixtures("capsys")
def test_a_signal_at_any_operation_leaves_the_old_or_the_new_output(
    name: str, every: bool, place: Place, tmp_path: Path
) -> None:
    case = CASES[name]
    old, new, count = ends(place, case)
    assert new != old
    kinds = set()
    for number in numbers(count, every):
        with place.prepared(case) as folder:
            status, reached = run(case.arguments, number, lambda: interruption.deliver(signal.SIGTERM))
            found = state(folder)
            assert status == (128 + signal.SIGTERM if reached >= number else 0), number
            assert found in (old, new), (number, set(found) ^ set(old), set(found) ^ set(new))
            assert list(tmp_path.iterdir()) == [], number
            kinds.add(found == old)
    assert True in kinds, "no signal came before the output"


@pytest.mark.skipif(sys.platform == "win32", reason="needs fork")
@pytest.mark.parametrize(("name", "every"), EVERY)
def test_a_kill_at_any_operation_leaves_the_old_or_the_new_output_or_says_so(
    name: str, every: bool, place: Place, capfd: pytest.CaptureFixture[str]
) -> None:
    case = CASES[name]
    old, new, count = ends(place, case)
    killed = 0
    for number in numbers(count, every):
        with place.prepared(case) as folder:
            if not _killed(case.arguments, number):
                continue  # fewer operations than counted: what is cached is not read again
            killed += 1
            found = {path: digest for path, digest in state(folder).items() if not is_litter(path)}
            whole = found in (old, new) or found == {**old, **{p: d for p, d in found.items() if d == "folder"}}
            if whole:
                continue
            assert case.truth is not None, (number, found)
            _assert_told(case, folder, number)
    assert killed > 3


def _assert_told(case: Case, folder: Path, number: int) -> None:
    """What is neither old nor new lacks the file that makes it complete, and a command says so."""
    if case.arguments[0] == "check":
        assert not (folder / "r.html").exists(), number
    elif case.arguments[0] == "vectors":
        assert not (folder / "e" / "manifest.json").exists(), number
        assert run_command(["conform", "--vectors", "e", "--list", "--reader", "x"]) == 2
    else:
        assert not (folder / "t" / "truth.json").exists(), number
        assert run_command(["check", "../x.dmp", "--truth", "t", "-q", "small"]) == 2


def _killed(arguments: tuple[str, ...], number: int) -> bool:
    child = os.fork()
    if not child:
        try:
            run(arguments, number, lambda: os.kill(os.getpid(), signal.SIGKILL))
        finally:
            os._exit(0)
    return os.WIFSIGNALED(os.waitpid(child, 0)[1])


@pytest.mark.skipif(sys.platform == "win32", reason="needs fork")
@pytest.mark.usefixtures("capfd")
def test_the_next_command_removes_what_a_killed_one_left_and_nothing_that_is_in_use(place: Place) -> None:
    for name in ("a dump and its truth", "pages"):
        case = CASES[name]
        _, new, count = ends(place, case)
        with place.prepared(case) as folder:
            assert _killed(case.arguments, count // 2)
            left = [folder / path for path in state(folder) if is_litter(path)]
            assert left
            for path in left:
                os.utime(path, (time.time() - 60,) * 2)
            used = folder / f"{placing.PREFIX}in-use.tmp"
            descriptor = os.open(used, os.O_RDWR | os.O_CREAT, 0o600)
            placing._lock(descriptor)  # as a command in another process does
            os.utime(used, (time.time() - 60,) * 2)
            assert run_command(case.arguments) in (0, 1)
            assert used.exists()
            os.close(descriptor)
            used.unlink()
            assert state(folder) == new
