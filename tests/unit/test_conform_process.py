"""Commands that crash, hang, print without end, fork, take all memory, or do not read their input.

The runner ends each in time, reports how it ended, and leaves no process behind.
"""

from __future__ import annotations

import ctypes
import json
import sys
import time
from pathlib import Path

import pytest
from dumptruth.oracle.conform import (
    CannotStartError,
    CaseResult,
    Command,
    HopelessError,
    Kind,
    KnownFailures,
    Limits,
    Options,
    ReaderCase,
    Summary,
    Verdict,
)
from dumptruth.oracle.conform import run_reader as run_over
from dumptruth.oracle.conform.cases import Dumped
from dumptruth.oracle.conform.expectations import KnownFailure
from dumptruth.oracle.conform.limits import BasicLimits, ExtendedLimits, resident
from dumptruth.oracle.conform.process import CommandDiedError, death
from hypothesis import given, settings
from hypothesis import strategies as st

posix = pytest.mark.skipif(sys.platform == "win32", reason="signals and process groups exist on POSIX only")
LIMITS = Limits(seconds=20, memory=0, output=1 << 20)
HURRY = Limits(seconds=1.5, memory=0, output=1 << 20)
REJECT = (
    "import json, sys\n"
    "for line in sys.stdin:\n"
    "    case = json.loads(line)['case']\n"
    "    print(json.dumps({'case': case, 'result': 'rejected'}), flush=True)\n"
)


def _cases(folder: Path, names: tuple[str, ...] = ("a",), kind: Kind = Kind.INVALID) -> list[ReaderCase]:
    file = folder / "a.dmp"
    file.write_bytes(b"no dump")
    return [ReaderCase(name, kind, lambda: Dumped(file)) for name in names]


def _judged(folder: Path, code: str, limits: Limits = LIMITS, options: Options | None = None) -> CaseResult:
    command = Command((sys.executable, "-I", "-S", "-c", code), limits)
    return run_over(command, _cases(folder), options).results[0]


def test_a_command_that_rejects_has_rejected(tmp_path: Path) -> None:
    assert _judged(tmp_path, REJECT).verdict is Verdict.REFUSES


@pytest.mark.parametrize(
    ("code", "verdict", "why"),
    [
        ("", Verdict.BREAKS, "no answer"),
        ("print('hello')", Verdict.BREAKS, "expected JSON"),
        (REJECT + "print('more')", Verdict.BREAKS, "a second line"),
        ("import sys; sys.stdout.buffer.write(b'\\xff\\n')", Verdict.BREAKS, "expected UTF-8"),
        (REJECT.replace("case =", "case = 'b' or"), Verdict.BREAKS, "the case of the request"),
        ("raise SystemExit(1)", Verdict.DIES, "ended with status 1"),
        ("1 / 0", Verdict.DIES, "ended with status 1: ZeroDivisionError: division by zero"),
        (REJECT + "raise SystemExit(3)", Verdict.DIES, "ended with status 3"),
        ("import os; os.close(0); print('x', flush=True); os._exit(0)", Verdict.BREAKS, "expected JSON"),
        ("import os; os.close(1)", Verdict.BREAKS, "no answer"),
        ("print('x' * (3 << 20))", Verdict.DIES, "printed more than 1 MiB"),
        ("while True: print('x' * 1000)", Verdict.DIES, "printed more than 1 MiB"),
        (REJECT + "print(' ' * (3 << 20))", Verdict.DIES, "printed more than 1 MiB"),
        ("import sys\nwhile len(sys.stderr.write('x' * 1000)) < 5000: pass", Verdict.DIES, "ended with status 1"),
    ],
)
def test_an_invalid_answer_is_a_crash_or_a_protocol_error_and_never_a_rejection(
    tmp_path: Path, code: str, verdict: Verdict, why: str
) -> None:
    result = _judged(tmp_path, code)
    assert (result.verdict, result.ok) == (verdict, False)
    assert why in result.details[0]


@posix
def test_a_signal_is_reported_by_its_name(tmp_path: Path) -> None:
    result = _judged(tmp_path, "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)")
    assert (result.verdict, result.details) == (Verdict.DIES, ("ended by SIGSEGV",))


@pytest.mark.parametrize("options", [Options(), Options(persistent=True), Options(plain=True)])
@pytest.mark.parametrize("code", ["import time; time.sleep(60)", "while True: pass"])
def test_a_command_that_never_ends_is_killed(tmp_path: Path, code: str, options: Options) -> None:
    before = time.monotonic()
    result = _judged(tmp_path, code, HURRY, options)
    assert (result.verdict, result.details) == (Verdict.DIES, ("no answer after 1.5 s",))
    assert time.monotonic() - before < 30


@posix
def test_a_child_that_keeps_standard_output_open_is_killed_and_does_not_delay_the_answer(tmp_path: Path) -> None:
    """The child would keep the standard output open for seconds."""
    mark = tmp_path / "alive"
    child = f"import time, pathlib; time.sleep(4); pathlib.Path({str(mark)!r}).touch()"
    code = f"import subprocess, sys; subprocess.Popen([sys.executable, '-I', '-S', '-c', {child!r}])\n" + REJECT
    assert _judged(tmp_path, code).verdict is Verdict.REFUSES
    time.sleep(5)
    assert not mark.exists()


@posix
def test_a_child_that_left_the_process_group_does_not_delay_the_answer(tmp_path: Path) -> None:
    child = "import time; time.sleep(6)"
    code = (
        f"import subprocess, sys; subprocess.Popen([sys.executable, '-I', '-S', '-c', {child!r}], "
        "start_new_session=True)\n" + REJECT
    )
    before = time.monotonic()
    assert _judged(tmp_path, code).verdict is Verdict.REFUSES
    assert time.monotonic() - before < 5.5


def test_a_command_that_does_not_read_a_long_request_does_not_block_the_run(tmp_path: Path) -> None:
    """The request is longer than a pipe holds."""
    name = "x" * (1 << 20)
    command = Command((sys.executable, "-I", "-S", "-c", "print('{}')"), LIMITS)
    assert run_over(command, _cases(tmp_path, (name,))).results[0].verdict is Verdict.BREAKS


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux enforces the memory limit itself")
@pytest.mark.parametrize("options", [Options(), Options(plain=True)])
def test_a_command_cannot_allocate_beyond_its_memory_limit(tmp_path: Path, options: Options) -> None:
    code = "import os, sys\ntry: bytearray(1 << 29)\nexcept MemoryError: os._exit(7)\n"
    result = _judged(tmp_path, code, Limits(20, 256 << 20, 1 << 20), options)
    assert (result.verdict, result.details) == (Verdict.DIES, ("ended with status 7",))
    assert _judged(tmp_path, REJECT, Limits(20, 256 << 20, 1 << 20)).verdict is Verdict.REFUSES


@posix
def test_the_watchdog_limits_memory_where_the_system_cannot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dumptruth.oracle.conform.process.bounded", lambda command, _limits: command)
    code = "import time; data = b'x' * (200 << 20); time.sleep(60)"
    result = _judged(tmp_path, code, Limits(40, 100 << 20, 1 << 20))
    assert (result.verdict, result.details) == (Verdict.DIES, ("took more than 100 MiB of memory",))


@posix
def test_the_memory_of_a_missing_process_is_unknown() -> None:
    assert resident(2**22 + 1) is None


def test_the_limits_of_a_job_have_the_size_that_windows_gives_them() -> None:
    """winnt.h, 64-bit: JOBOBJECT_BASIC_LIMIT_INFORMATION 64 bytes, JOBOBJECT_EXTENDED_LIMIT_INFORMATION 144."""
    if ctypes.sizeof(ctypes.c_size_t) == 8:
        assert (ctypes.sizeof(BasicLimits), ctypes.sizeof(ExtendedLimits)) == (64, 144)


def test_a_missing_program_cannot_be_run(tmp_path: Path) -> None:
    with pytest.raises(CannotStartError, match="no-such-program: cannot be started: "):
        Command((str(tmp_path / "no-such-program"),), Limits(memory=0)).started()


@posix
@pytest.mark.parametrize("options", [Options(), Options(persistent=True), Options(plain=True)])
@pytest.mark.parametrize("memory", [0, 1 << 30])
@pytest.mark.parametrize("content", [b"#!/no/such/interpreter\n", b"\x7fELF, but no program"])
def test_a_file_that_is_no_program_cannot_be_started(
    tmp_path: Path, options: Options, memory: int, content: bytes
) -> None:
    program = tmp_path / "program"
    program.write_bytes(content)
    program.chmod(0o755)
    with pytest.raises(CannotStartError, match="program: cannot be started: "):
        run_over(Command((str(program),), Limits(memory=memory)), _cases(tmp_path), options)


def test_a_command_that_says_so_itself_was_started(tmp_path: Path) -> None:
    code = "import sys; sys.stderr.write('dumptruth: not started: 2\\n!\\n'); sys.exit(126)"
    assert _judged(tmp_path, code).details == ("ended with status 126: !",)


NAMES = tuple("abcdefgh")
DEAD = "the command dies at each of 5 cases with the same words: ended with status 1: NameError: name 'x' is not"


def _run(
    folder: Path, code: str, kind: Kind, options: Options | None = None, names: tuple[str, ...] = NAMES
) -> Summary:
    return run_over(Command((sys.executable, "-I", "-S", "-c", code), LIMITS), _cases(folder, names, kind), options)


def test_a_command_that_dies_at_all_of_the_first_cases_is_stopped(tmp_path: Path) -> None:
    asked: list[str] = []
    with pytest.raises(HopelessError) as raised:
        run_over(
            Command((sys.executable, "-I", "-S", "-c", "x"), LIMITS),
            _cases(tmp_path, NAMES, Kind.VALID),
            on_result=lambda result: asked.append(result.case),
        )
    assert str(raised.value).startswith(DEAD)
    assert sorted(asked) == ["a", "b", "d", "f", "h"]  # from all parts of the list


def test_a_reader_may_die_at_each_broken_dump_and_a_known_death_stops_nothing(tmp_path: Path) -> None:
    assert len(_run(tmp_path, "x", Kind.INVALID).results) == 8
    known = Options(known=KnownFailures((KnownFailure("*", "issue 12"),)))
    assert len(_run(tmp_path, "x", Kind.VALID, known).results) == 8
    assert len(_run(tmp_path, "x", Kind.VALID, names=("a", "b")).results) == 2


def test_deaths_in_different_words_stop_nothing(tmp_path: Path) -> None:
    code = "import json; raise SystemExit(json.loads(input())['case'])"
    assert [result.details for result in _run(tmp_path, code, Kind.VALID).results] == [
        (f"ended with status 1: {name}",) for name in NAMES
    ]


@pytest.mark.parametrize(
    ("status", "verdict", "ok"),
    [(0, Verdict.ACCEPTS, True), (1, Verdict.REFUSES, True), (2, Verdict.DIES, False), (255, Verdict.DIES, False)],
)
def test_a_plain_reader_answers_by_its_exit_status(tmp_path: Path, status: int, verdict: Verdict, ok: bool) -> None:
    code = f"import pathlib, sys; sys.exit({status} if pathlib.Path(sys.argv[1]).read_bytes() == b'no dump' else 9)"
    result = _judged(tmp_path, code, options=Options(plain=True))
    assert (result.verdict, result.ok) == (verdict, ok)


def test_strict_requires_that_a_broken_dump_is_rejected(tmp_path: Path) -> None:
    assert not _judged(tmp_path, "pass", options=Options(plain=True, strict=True)).ok


def test_one_process_answers_many_cases_and_a_new_one_takes_over_when_it_dies(tmp_path: Path) -> None:
    code = (
        "import json, os, sys\n"
        "for line in sys.stdin:\n"
        "    case = json.loads(line)['case']\n"
        "    if case == 'dies': os._exit(5)\n"
        "    if case == 'lies': print('x'); sys.stdout.flush(); continue\n"
        "    print(json.dumps({'case': case, 'result': 'rejected', 'reason': str(os.getpid())}), flush=True)\n"
    )
    command = Command((sys.executable, "-I", "-S", "-c", code), LIMITS)
    names = ("a", "b", "dies", "c", "lies", "d")
    results = run_over(command, _cases(tmp_path, names), Options(persistent=True)).results
    assert [result.case for result in results] == list(names)
    verdicts = [str(result.verdict) for result in results]
    assert verdicts == ["refuses", "refuses", "dies", "refuses", "breaks", "refuses"]
    pids = [result.details[0] for result in results if result.verdict is Verdict.REFUSES]
    assert pids[0] == pids[1] != pids[2] == pids[3]
    assert results[2].details == ("ended with status 5",)


def test_results_are_in_the_order_of_the_cases_however_many_run_at_a_time(tmp_path: Path) -> None:
    code = "import time; time.sleep(0.4 if input().find('\"0\"') > 0 else 0)\n"
    command = Command((sys.executable, "-I", "-S", "-c", code), LIMITS)
    names = tuple(str(index) for index in range(6))
    seen: list[str] = []
    summary = run_over(command, _cases(tmp_path, names), Options(jobs=3), lambda result: seen.append(result.case))
    assert [result.case for result in summary.results] == list(names)
    assert sorted(seen) == sorted(names)


def test_an_interrupted_run_waits_for_nothing(tmp_path: Path) -> None:
    """As by Ctrl-C: one command has answered, another would sleep for a minute, a third has not started."""
    code = (
        "import json, time; case = json.loads(input())['case']\n"
        "if case == 'sleeps': time.sleep(60)\n"
        "time.sleep(1); print(json.dumps({'case': case, 'result': 'rejected'}))\n"
    )

    def interrupt(result: CaseResult) -> None:
        raise KeyboardInterrupt

    command = Command((sys.executable, "-I", "-S", "-c", code), Limits(80, 0))
    before = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        run_over(command, _cases(tmp_path, ("a", "sleeps", "b")), Options(jobs=2), interrupt)
    assert time.monotonic() - before < 30


def test_a_known_crash_is_matched_by_verdict(tmp_path: Path) -> None:
    command = Command((sys.executable, "-I", "-S", "-c", "raise SystemExit(4)"), LIMITS)
    known = KnownFailures((KnownFailure("a", "issue 5", Verdict.DIES), KnownFailure("*", "other", Verdict.ACCEPTS)))
    summary = run_over(command, _cases(tmp_path, ("a", "b")), Options(known=known))
    assert [result.known for result in summary.results] == ["issue 5", None]
    assert summary.exit_status == 1
    assert summary.results[1].details[0] == "expected the known verdict accepts, found dies"


def test_the_end_of_a_process_is_described_in_words() -> None:
    assert death(3) == "ended with status 3"
    assert death(0xC0000005) == "ended with status 0xc0000005"
    assert death(-200) == "ended by signal 200"


@settings(max_examples=12)
@given(st.binary(max_size=300), st.integers(0, 3))
def test_no_output_and_no_exit_status_is_mistaken_for_an_answer(
    tmp_path_factory: pytest.TempPathFactory, output: bytes, status: int
) -> None:
    code = f"import sys; sys.stdout.buffer.write({output!r}); sys.stdout.flush(); raise SystemExit({status})"
    result = _judged(tmp_path_factory.mktemp("hostile"), code)
    assert result.verdict is (Verdict.DIES if status else Verdict.BREAKS)


def test_the_error_of_a_death_is_one_line() -> None:
    running = Command((sys.executable, "-I", "-S", "-c", "import time; time.sleep(9)"), HURRY).started()
    running.say(json.dumps({}).encode(), last=True)
    with pytest.raises(CommandDiedError, match=r"^no answer after 1\.5 s$"):
        running.everything()
