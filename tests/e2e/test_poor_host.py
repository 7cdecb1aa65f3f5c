"""The command on a poor host: exit status 2 and one line, never a verdict. A sample of the fault drill."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from dumptruth.fixtures.app import guard
from dumptruth.oracle import Replayed, check

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no fork and no resource limits")
linux = pytest.mark.skipif(sys.platform != "linux", reason="only Linux limits the address space, and has /dev/full")


def command(
    *words: str, cwd: Path, limit: Callable[[], object] | None = None, **streams: int
) -> subprocess.CompletedProcess[bytes]:
    used = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | streams
    return subprocess.run(
        [sys.executable, "-m", "dumptruth", *words], cwd=cwd, check=False, timeout=120, preexec_fn=limit,
        stdin=used["stdin"], stdout=used["stdout"], stderr=used["stderr"],
    )  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("poor")
    done = command("dump", "null-read", "-q", "default", "-o", "full.dmp", "--truth", "truth", cwd=made)
    assert done.returncode == 0, done.stderr
    return made


@linux
def test_an_emulator_without_memory_is_no_verdict(folder: Path) -> None:
    """Unicorn calls exit(1) if it gets no memory, which would read as "the dump fails"."""
    import resource  # noqa: PLC0415 - POSIX only

    limit = 400 << 20
    done = command(
        "check", "full.dmp", "--truth", "truth", cwd=folder,
        limit=lambda: resource.setrlimit(resource.RLIMIT_AS, (limit, limit)),
    )  # fmt: skip
    lines = done.stderr.decode().splitlines()
    assert (done.returncode, done.stdout) == (2, b"")
    assert lines[-1].startswith("dumptruth: full.dmp: ")
    assert "memory" in lines[-1]


def test_a_replay_that_the_host_cannot_run_gives_no_verdict(folder: Path) -> None:
    def replay(_dump: object) -> Replayed:
        raise MemoryError("the emulator cannot start")

    with pytest.raises(MemoryError):
        check(folder / "full.dmp", folder / "truth", select="XCUT-REPLAY-*", replay=replay)


@pytest.mark.parametrize("numbers", [(1,), (2,), (0, 1, 2)])
def test_a_closed_stream_is_no_verdict_and_no_traceback(numbers: tuple[int, ...], folder: Path) -> None:
    def close() -> None:
        for number in numbers:
            os.close(number)

    done = command("identify", "full.dmp", cwd=folder, limit=close)
    assert done.returncode == (2 if 1 in numbers else 0)
    assert b"Traceback" not in done.stderr + done.stdout


@linux
def test_a_full_output_is_told_once(folder: Path) -> None:
    with Path("/dev/full").open("wb") as full:
        done = command("check", "full.dmp", cwd=folder, stdout=full.fileno())
        assert done.returncode == 2
        assert done.stderr.decode().splitlines() == [
            "dumptruth: full.dmp: No space left on device: free space on the disk"
        ]
        assert command("check", "none.dmp", cwd=folder, stdout=full.fileno(), stderr=full.fileno()).returncode == 2


def test_special_files_in_a_folder_are_skipped_and_told(folder: Path, tmp_path: Path) -> None:
    shutil.copyfile(folder / "full.dmp", tmp_path / "a.dmp")
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "nowhere").symlink_to("gone")
    (tmp_path / "up").symlink_to(".")
    done = command("check", ".", cwd=tmp_path)
    assert done.returncode == 0
    assert sorted(done.stderr.decode().splitlines()) == [
        "dumptruth: fifo: skipped: is a FIFO: expected a regular file",
        "dumptruth: loop: skipped: Too many levels of symbolic links",
        "dumptruth: nowhere: skipped: No such file or directory",
    ]
    one = command("check", "loop", cwd=tmp_path)
    assert (one.returncode, one.stderr.count(b"\n")) == (2, 1)


@pytest.mark.parametrize(
    ("end", "status"),
    [("0", 0), ("3", 3), ("os._exit(1)", 2), ("os.abort()", 2), ("os.kill(os.getpid(), signal.SIGSEGV)", 2)],
)
def test_only_an_answer_is_an_exit_status(end: str, status: int) -> None:
    code = (
        "import os, signal, sys\nfrom dumptruth.fixtures.app.guard import guarded\n"
        f"sys.exit(guarded(lambda: {end}, ['run', 'a.exe']))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == status
    assert ("a.exe: the process ended with " in done.stderr) == (status == 2)


def test_a_command_that_died_behind_the_guard_leaves_no_folder(tmp_path: Path) -> None:
    code = (
        "import os, sys\nfrom dumptruth.emu.placing import scratch_folder\n"
        "from dumptruth.fixtures.app.guard import guarded\n"
        "def command():\n"
        "    with scratch_folder() as folder:\n"
        "        (folder / 'file').write_bytes(b'x')\n"
        "        os._exit(1)\n"
        "sys.exit(guarded(command, ['run', 'a.exe']))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], env={**os.environ, "TMPDIR": str(tmp_path)}, check=False)
    assert done.returncode == 2
    assert list(tmp_path.iterdir()) == []


def test_an_interruption_before_the_command_handles_signals_is_no_traceback() -> None:
    code = (
        "import sys\nfrom dumptruth.fixtures.app import guard, start\n"
        "def interrupted(*_):\n    raise KeyboardInterrupt\n"
        "guard.guarded = interrupted\nsys.argv[1:] = ['identify', 'a.dmp']\nstart.main()\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (130, b"")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_reaches_the_command_behind_the_guard(number: signal.Signals) -> None:
    code = (
        "import os, signal, sys, time\nfrom dumptruth.fixtures.app.guard import guarded\n"
        "def command():\n"
        f"    signal.signal({int(number)}, lambda *_: sys.exit(9))\n"
        "    try:\n        print('ready', flush=True)\n        time.sleep(60)\n"
        "    except SystemExit:\n        return 77\n"
        "sys.exit(guarded(command, ['run', 'a.exe']))\n"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        process.send_signal(number)
        assert process.wait(60) == 77


def test_native_code_is_guarded_only_where_it_may_run() -> None:
    assert guard._may_run_native_code(["run", "x"])
    assert guard._may_run_native_code(["check", "a.dmp", "--truth=t"])
    assert guard._may_run_native_code(["check", "a.dmp", "--truth", "t"])
    assert not guard._may_run_native_code(["check", "a.dmp"])
    assert not guard._may_run_native_code(["--help"])


def test_a_sample_of_the_drill_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Kills are tested at every file operation (test_interrupted_outputs.py). A host of CI may allow no mount."""
    from dumptruth.fixtures.drill import drill, faults  # noqa: PLC0415 - POSIX only

    names = faults.FAULTS.keys() - {"kill", "small disk", "read-only folder"}
    monkeypatch.setattr(drill, "FAULTS", {name: faults.FAULTS[name] for name in sorted(names)})
    lines: list[str] = []
    tally = drill.Drill(tmp_path / "drill", seed=14, only="identify").run(8, lines.append)
    assert tally.clean, "\n".join(lines)
    assert sum(tally.tried.values()) == 8


def test_the_drill_knows_every_command() -> None:
    from dumptruth.fixtures.drill.commands import commands, names  # noqa: PLC0415

    there = {name[0] for name in names()}
    assert {"check", "conform", "vectors"} <= there
    assert there == {one.words[0] for one in commands(heavy=True)}
