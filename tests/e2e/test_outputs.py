"""Files that commands write: their permissions, links, devices, folders that cannot be written, and signals."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from dumptruth.emu.debugger.client import DebugClient
from dumptruth.emu.synthetic.process import synthetic_process
from dumptruth.emu.truth import store
from dumptruth.fixtures.app import interruption

from .command_line import CommandLine

posix = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such permissions or files")
bound = pytest.mark.skipif(sys.platform == "win32" or os.geteuid() == 0, reason="needs a user whom permissions bind")


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A truth and a dump beside the folder in which the commands run."""
    target = synthetic_process()
    store.save(target, tmp_path / "source", source="by hand")
    DebugClient(target).write(tmp_path / "x.dmp", "small")
    return tmp_path / "source"


@pytest.fixture(autouse=True)
def _umask() -> object:
    if sys.platform == "win32":
        yield
        return
    old = os.umask(0o022)
    yield
    os.umask(old)


def mode(path: str | Path) -> int:
    return stat.S_IMODE(Path(path).stat().st_mode)


@posix
def test_a_new_dump_and_its_truth_are_private_and_a_report_is_not(dumptruth: CommandLine, source: Path) -> None:
    assert dumptruth("dump", source, "-o", "a.dmp", "--truth", "t").status == 0
    assert dumptruth("dot-dump", ".dump /m /o b.dmp", source).status == 0
    assert dumptruth("run", source, "--truth", "u").status == 0
    assert dumptruth("check", "a.dmp", "--json", "a.json").status == 0
    private = [
        "a.dmp",
        "b.dmp",
        *(f"t/{name}" for name in ("truth.json", "memory.bin", "request.json")),
        "u/truth.json",
    ]
    assert {mode(name) for name in private} == {0o600}
    assert mode("a.json") == 0o644


@posix
def test_permissions_can_be_asked_for(dumptruth: CommandLine, source: Path) -> None:
    assert dumptruth("dump", source, "-o", "a.dmp", "--truth", "t", "--permissions", "664").status == 0
    assert dumptruth("dump", source, "-f", "no-overwrite", "-o", "b.dmp", "--permissions", "640").status == 0
    assert (mode("a.dmp"), mode("t/memory.bin"), mode("b.dmp")) == (0o664, 0o664, 0o640)
    for wrong in ("888", "rw", "0o600", "1777", "-1", ""):
        done = dumptruth("dump", source, "-o", "c.dmp", f"--permissions={wrong}")
        assert done.status == 2
        assert "expected an octal number up to 777" in done.err
        assert not Path("c.dmp").exists()


@posix
def test_a_replaced_file_keeps_its_permissions(dumptruth: CommandLine, source: Path) -> None:
    assert dumptruth("dump", source, "-o", "a.dmp", "--truth", "t").status == 0
    assert dumptruth("check", "a.dmp", "--json", "a.json").status == 0
    held = {"a.dmp": 0o640, "t/truth.json": 0o644, "t/memory.bin": 0o604, "t/request.json": 0o660, "a.json": 0o600}
    for name, permissions in held.items():
        Path(name).chmod(permissions)
    assert dumptruth("dump", source, "-q", "default", "-o", "a.dmp", "--truth", "t", "--permissions", "666").status == 0
    assert dumptruth("check", "a.dmp", "--json", "a.json").status == 0
    assert {name: mode(name) for name in held} == held


@posix
def test_a_link_stays_and_its_target_is_replaced(dumptruth: CommandLine, source: Path) -> None:
    Path("d").mkdir()
    Path("d/real.json").write_text("{}", encoding="utf-8")
    for name, target in (("link.json", "d/real.json"), ("link.dmp", "d/new.dmp")):
        Path(name).symlink_to(target)
    assert dumptruth("dump", source, "-o", "link.dmp").status == 0
    assert dumptruth("check", "link.dmp", "--json", "link.json").status == 0
    assert Path("link.json").is_symlink()
    assert Path("link.dmp").is_symlink()
    assert json.loads(Path("d/real.json").read_text("utf-8"))["outcome"] == "CONFORMANT"
    assert Path("d/new.dmp").read_bytes()[:4] == b"MDMP"


def test_the_null_device_takes_a_report(dumptruth: CommandLine, source: Path) -> None:
    done = dumptruth("check", source.parent / "x.dmp", "--report", f"json={os.devnull}", "--report", "text=a.txt")
    assert done.status == 0
    assert Path("a.txt").read_text("utf-8").endswith("x.dmp: CONFORMANT\n")
    assert not stat.S_ISREG(Path(os.devnull).stat().st_mode)


@posix
def test_a_pipe_and_descriptors_take_a_report(source: Path, tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    command = [sys.executable, "-m", "dumptruth", "check", "x.dmp"]
    reader = subprocess.Popen(["cat", fifo], stdout=subprocess.PIPE)
    assert subprocess.run([*command, "--json", fifo], cwd=tmp_path, capture_output=True, check=False).returncode == 0
    assert json.loads(reader.communicate(timeout=60)[0])["outcome"] == "CONFORMANT"
    assert stat.S_ISFIFO(fifo.stat().st_mode)
    done = subprocess.run([*command, "--report", "json=/dev/stdout"], cwd=tmp_path, capture_output=True, check=False)
    assert b'"outcome": "CONFORMANT"' in done.stdout
    with (tmp_path / "out.txt").open("wb") as out:
        subprocess.run([*command, "--report", "json=/dev/stdout"], cwd=tmp_path, stdout=out, check=True)
    text = (tmp_path / "out.txt").read_text("utf-8")
    assert "x.dmp: CONFORMANT\n" in text, "the text report is lost"
    assert '"outcome": "CONFORMANT"' in text


@bound
def test_an_unwritable_folder_keeps_the_old_file(dumptruth: CommandLine, source: Path) -> None:
    Path("d").mkdir()
    Path("d/r.json").write_text("{}", encoding="utf-8")
    Path("d").chmod(0o500)
    try:
        for line in (
            ("check", source.parent / "x.dmp", "--json", "d/r.json"),
            ("dump", source, "-o", "a.dmp", "--truth", "d"),
            ("run", source, "--truth", "d"),
        ):
            done = dumptruth(*line)
            assert done.status == 2, line
            assert done.err.count("\n") == 1, line
            assert done.err.startswith("dumptruth: d"), line
        assert not Path("a.dmp").exists()
        assert [path.name for path in Path("d").iterdir()] == ["r.json"]
        assert Path("d/r.json").read_text("utf-8") == "{}"
    finally:
        Path("d").chmod(0o700)


def test_an_output_that_cannot_be_written_is_named_and_leaves_nothing(dumptruth: CommandLine, source: Path) -> None:
    Path("folder").mkdir()
    Path("file").write_bytes(b"x")
    before = sorted(path.name for path in Path().iterdir())
    for output in ("folder", "missing/r.json", "file/r.json"):
        done = dumptruth("check", source.parent / "x.dmp", "--report", f"json={output}")
        assert done.status == 2, output
        assert done.err.startswith(f"dumptruth: {output.replace('/', os.sep)}: "), done.err
        assert done.err.count("\n") == 1
    assert sorted(path.name for path in Path().iterdir()) == before


@pytest.mark.parametrize(
    ("name", "status", "words"),
    [
        ("SIGINT", 130, "interrupted"),
        ("SIGTERM", 143, "terminated by SIGTERM"),
        ("SIGHUP", 129, "terminated by SIGHUP"),
    ],
)
@posix
def test_a_signal_ends_the_command_with_its_status_and_one_line(
    name: str, status: int, words: str, source: Path, tmp_path: Path
) -> None:
    """The command waits for its standard input, of which a temporary file is made.

    It starts with the default action of the signal: the runner of the tests may ignore it, which a child inherits.
    """
    folder = tmp_path / "temporary"
    folder.mkdir()
    command = [sys.executable, "-m", "dumptruth", "check", "-"]
    start = f"import os, signal; signal.signal(signal.{name}, signal.SIG_DFL); os.execv({command[0]!r}, {command!r})"
    process = subprocess.Popen(
        [sys.executable, "-c", start], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        env={**os.environ, "TMPDIR": str(folder)},
    )  # fmt: skip
    assert _until(lambda: any(folder.rglob("standard-input")))
    process.send_signal(getattr(signal, name))
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (status, b"")
    assert err.decode().strip().splitlines() == [f"dumptruth: {words}"]
    assert list(folder.iterdir()) == []


def test_a_signal_waits_for_renames_that_belong_together() -> None:
    done = []

    def rename() -> None:
        with interruption.uninterrupted():
            interruption.deliver(signal.SIGINT)
            done.append("renamed")

    with pytest.raises(interruption.Interrupted):
        rename()
    assert done == ["renamed"]
    with interruption.uninterrupted():
        pass


def test_a_signal_that_the_caller_ignores_is_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    handled = []
    monkeypatch.setattr(signal, "getsignal", lambda number: signal.SIG_IGN if number == signal.SIGINT else None)
    monkeypatch.setattr(signal, "signal", lambda number, _handler: handled.append(number))
    monkeypatch.setattr(sys, "unraisablehook", sys.unraisablehook)
    interruption.install()
    assert signal.SIGINT not in handled
    assert signal.SIGTERM in handled


def _until(condition: Callable[[], bool]) -> bool:
    for _ in range(1200):
        if condition():
            return True
        time.sleep(0.05)
    return False
