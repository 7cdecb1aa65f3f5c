"""Every command prints evil text of dumps, targets, peers and file names as visible text that forges nothing."""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys
import threading
import unicodedata
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from dumptruth.emu.process.outcome import RunError
from dumptruth.emu.truth.store import load_snapshot
from dumptruth.fixtures.app import cli, demo, targets
from dumptruth.fixtures.app.demo_row import Row
from dumptruth.fixtures.vectors import goldens

from .evil import EVIL, FORGED, NAME, Evil, make

GOLDEN = Path(goldens.GOLDEN)
SMALL = "user/small/synthetic"
TERMINAL = re.compile(r"\x1b\[[0-9;]*m|\x1b\[\?25[lh]|\x1b\[2K|\x1b\[1A|\r")
"""What rich itself sends to a terminal: colours, and the moves of a progress bar."""
PEER = f"""
import json, sys
message = json.loads(sys.stdin.readline())
evil = {EVIL!r}
sys.stderr.buffer.write(evil.encode("utf-8", "replace"))
case = message["case"]
if message["role"] == "reader" and case.endswith("small/synthetic"):
    modules = [{{"base": "0x10000", "size": "0x1000", "name": evil}}]
    print(json.dumps({{"case": case, "result": "read", "facts": {{"modules": modules, "comment": evil}}}}))
elif message["role"] == "reader" and "small" in case:
    print(json.dumps({{"case": case, "result": "rejected", "reason": evil}}))
elif message["role"] == "reader":
    sys.stdout.buffer.write(evil.encode("utf-8", "replace"))
else:
    print(json.dumps({{"case": case, "result": evil}}))
    sys.exit(3)
"""

Line = list[object]
Lines = Callable[[Evil, Path], Iterator[Line]]


def _demo(_: Evil, out: Path) -> Iterator[Line]:
    yield ["demo", "--out", out / f"demo {NAME}"]
    yield ["demo", "--json"]


def _scenarios(_: Evil, out: Path) -> Iterator[Line]:
    yield ["scenarios"]
    yield ["scenarios", "--json", out / NAME / NAME]


def _run(evil: Evil, out: Path) -> Iterator[Line]:
    for target in (evil.truth, evil.machine, "crashes.exe", "fails.exe", evil.dump, NAME):
        yield ["run", target]
    yield ["run", evil.truth, "--json", "--truth", out / NAME]
    yield ["run", evil.truth, "--truth", out / f"new {NAME}"]
    yield ["run", evil.truth, "--truth", evil.dump]
    yield ["run", "null-read", "--arg", EVIL.replace("\ud800", "")]
    yield ["run", "null-read", f"--{NAME}"]
    yield ["run", NAME + ".c", "--keep-program", out / NAME]


def _dump(evil: Evil, out: Path) -> Iterator[Line]:
    comment = EVIL.replace("\ud800", "")
    yield ["dump", evil.truth, "-o", out / NAME, "-c", comment, "--truth", out / f"dumped {NAME}"]
    yield ["dump", evil.truth, "-o", out / NAME, "-f", "write-cab", "--json"]
    yield ["dump", evil.truth, "-o", out / NAME, "-f", "write-cab,cab-secondary-files,cab-secondary-all-images"]
    yield ["dump", evil.truth, "-o", out / NAME, "-f", "no-overwrite"]
    yield ["dump", evil.truth, "-o", out / NAME / NAME, "--symbols", out / f"symbols {NAME}"]
    yield ["dump", evil.truth, "-o", out / NAME, "-q", NAME]
    yield ["dump", evil.truth, "-o", out / NAME, "-f", NAME]
    yield ["dump", evil.machine, "-o", out / NAME, "-q", "full"]
    yield ["dump", evil.machine, "-o", out / NAME, "--profile", NAME]
    yield ["dump", evil.truth, "-q", "default", "--profile", "legacy", "-o", out / NAME]


def _dot_dump(evil: Evil, out: Path) -> Iterator[Line]:
    name = f'"{out / NAME}"'
    yield ["dot-dump", f".dump /ma /o {name}", evil.truth]
    yield ["dot-dump", f".dump /ba /o {name}", evil.truth, "--json"]
    yield ["dot-dump", f".dump /ba /o {name}", evil.truth]
    yield ["dot-dump", f".dump {name}", evil.truth]
    yield ["dot-dump", f".dump /{NAME}", evil.truth]
    yield ["dot-dump", ".dump /?"]
    for contract in ("e15063", "e29507"):
        yield ["dot-dump", f".dump /ba /o {name}", evil.truth, "--contract", contract]
        yield ["dot-dump", f".dump /{NAME} {name}", evil.truth, "--contract", contract]


def _check(evil: Evil, out: Path) -> Iterator[Line]:
    for dump in evil.dumps:
        yield ["check", dump]
        yield ["check", "--strict", dump, "--json"]
    for dump in (evil.other, evil.broken, evil.kernel, evil.cabinet):
        yield ["check", dump, "--truth", evil.truth]
        for kind in ("html", "json", "junit", "sarif", "text"):
            yield ["check", dump, "--truth", evil.truth, "--report", f"{kind}=-"]
    yield ["check", evil.kernel, "--truth", evil.machine, "-q", "full"]
    yield ["check", evil.folder, "--all", "-j", "1"]
    for kind in ("html", "json", "junit", "sarif", "text"):
        yield ["check", evil.folder, "-j", "1", "--report", f"{kind}=-"]
    yield ["check", evil.dump, "--report", f"{NAME}={out / NAME}"]
    yield ["check", evil.dump, "--report", f"json={out / NAME / NAME}"]
    yield ["check", evil.dump, "--truth", out / NAME]
    yield ["check", evil.folder / "truth.json"]
    yield ["check", out / f"missing {NAME}"]
    yield ["check", f"{out}/*{NAME}?"]


def _conform(_: Evil, out: Path) -> Iterator[Line]:
    script = out / "peer.py"
    script.write_text(PEER, encoding="utf-8", errors="surrogatepass")
    vectors = ["--vectors", GOLDEN, "-j", "1"]
    peer = f'"{sys.executable}" -I -S "{script}"'
    cases = ["--case", SMALL, "--case", "user/small/stream*", "--case", "user/comment/ansi"]
    yield ["conform", "--reader", peer, *vectors, *cases, "--all-findings"]
    yield ["conform", "--writer", peer, *vectors, *cases, "--keep", out / f"kept {NAME}"]
    for kind in ("html", "json", "junit", "sarif", "text"):
        yield ["conform", "--reader", peer, *vectors, *cases, "--report", f"{kind}=-"]
    yield ["conform", "--reader", f'"{NAME}"']
    yield ["conform", "--reader", peer, "--vectors", out / NAME]
    yield ["conform", "--reader", peer, *vectors, "--case", NAME]
    yield ["conform", "--reader", peer, *vectors, "--known-failures", out / "peer.py"]
    yield ["conform", "--list", "--reader", peer, *vectors, "--case", SMALL]


def _diff(evil: Evil, out: Path) -> Iterator[Line]:
    yield ["diff", evil.dump, evil.other]
    yield ["diff", evil.dump, evil.broken]
    yield ["diff", evil.dump, evil.broken, "--json"]
    yield ["diff", evil.dump, evil.kernel]
    yield ["diff", evil.dump, out / f"missing {NAME}"]


def _identify(evil: Evil, out: Path) -> Iterator[Line]:
    for dump in evil.dumps:
        yield ["identify", "-v", dump]
        yield ["identify", "-v", dump, "--json"]
    yield ["identify", evil.folder, "--all", "-j", "1"]
    yield ["identify", evil.folder, "-j", "1", "--json"]
    yield ["identify", out / f"missing {NAME}"]


def _map(evil: Evil, out: Path) -> Iterator[Line]:
    for dump in evil.dumps:
        yield ["map", dump]
    yield ["map", evil.other, "--truth", evil.truth]
    yield ["map", evil.folder]
    yield ["map", evil.folder, "--json", "-j", "1"]
    yield ["map", out / f"missing {NAME}"]


def _rules(_: Evil, out: Path) -> Iterator[Line]:
    yield ["rules", "--json", out / NAME / NAME]


def _explain(_: Evil, __: Path) -> Iterator[Line]:
    yield ["explain", NAME]
    yield ["explain", "MDMP-MODULE-001"]


def _vectors(word: str) -> Lines:
    def lines(_: Evil, out: Path) -> Iterator[Line]:
        if word == "list":
            yield ["vectors", word, NAME]
            yield ["vectors", word, "--kind", NAME]
        elif word in ("build", "export"):
            yield ["vectors", word, out / f"{word} {NAME}", SMALL, "-j", "1"]
            yield ["vectors", word, out / f"{word} {NAME}" / "manifest.json", SMALL, "-j", "1"]
            yield ["vectors", word, out / f"{word} again {NAME}", NAME]
        else:
            yield ["vectors", word]

    return lines


LINES: dict[str, Lines] = {
    "demo": _demo, "scenarios": _scenarios, "run": _run, "dump": _dump, "dot-dump": _dot_dump, "check": _check,
    "conform": _conform, "diff": _diff, "identify": _identify, "map": _map, "rules": _rules, "explain": _explain,
    **{f"vectors {word}": _vectors(word) for word in ("list", "build", "verify", "bless", "export")},
}  # fmt: skip
"""The command lines of each command. All get evil names or evil contents."""


def _commands(group: Any, *before: str) -> Iterator[str]:
    """The names of all commands, as the application registers them."""
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from _commands(command, *before, name)
        else:
            yield " ".join((*before, name))


def test_every_command_of_the_application_gets_evil_text() -> None:
    assert set(_commands(cli.application())) == set(LINES)


@pytest.fixture(scope="module")
def evil(tmp_path_factory: pytest.TempPathFactory) -> Evil:
    return make(tmp_path_factory.mktemp("evil"))


@pytest.fixture
def stubs(evil: Evil, monkeypatch: pytest.MonkeyPatch) -> None:
    """Programs with evil output, a demo with an evil problem, and an evil golden: the real ones take minutes."""
    snapshot = load_snapshot(evil.truth)
    said, stop = targets.Output(EVIL, EVIL, EVIL), targets.stop

    def stopped(target: str, *arguments: Any, **options: Any) -> targets.Stopped:
        if target == "crashes.exe":
            return targets.Stopped(EVIL, snapshot, said)
        if target == "fails.exe":
            return targets.Stopped(EVIL, None, said, RunError(EVIL))
        return stop(target, *arguments, **options)

    row = Row(EVIL, "user", 5, EVIL, 1, 1, 1, 1, 1, False, "ERROR", EVIL)
    document = GOLDEN / "manifest.json"
    monkeypatch.setattr(targets, "stop", stopped)
    monkeypatch.setattr(demo, "run_demo", lambda *_, **__: [row])
    monkeypatch.setattr(goldens, "golden_files", lambda *_, **__: {"manifest.json": document.read_bytes(), NAME: b""})


class Streams:
    """Runs a command with standard output and error at one place, which keeps the bytes."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, terminal: bool) -> None:
        self._patch, self._terminal = monkeypatch, terminal

    def __call__(self, *arguments: object) -> tuple[int, bytes]:
        return self._on_terminal(arguments) if self._terminal else self._in_memory(arguments)

    def _in_memory(self, arguments: tuple[object, ...]) -> tuple[int, bytes]:
        held = io.BytesIO()
        stream = io.TextIOWrapper(held, encoding="utf-8", newline="\n", write_through=True)
        return self._run(stream, arguments), held.getvalue()

    def _on_terminal(self, arguments: tuple[object, ...]) -> tuple[int, bytes]:
        import pty  # noqa: PLC0415 - Windows lacks it

        ours, its = pty.openpty()
        found = bytearray()

        def listen() -> None:
            while True:
                try:
                    data = os.read(ours, 1 << 16)
                except OSError:  # Linux says so when the other end is closed
                    return
                if not data:
                    return
                found.extend(data)

        listener = threading.Thread(target=listen)
        listener.start()
        with os.fdopen(its, "w", encoding="utf-8", newline="\n") as stream:
            assert stream.isatty()
            status = self._run(stream, arguments)
        listener.join()
        os.close(ours)
        return status, bytes(found)

    def _run(self, stream: Any, arguments: tuple[object, ...]) -> int:
        with self._patch.context() as patch:
            patch.setattr(sys, "stdout", stream)
            patch.setattr(sys, "stderr", stream)
            return cli.run_command([str(argument) for argument in arguments])


def _assert_harmless(data: bytes, line: Line) -> None:
    text = data.decode("utf-8")
    bad = sorted({char for char in text if char != "\n" and (not char.isprintable() or char in "\u3164\u115f\u2800")})
    assert not bad, (line, [ascii(char) for char in bad], [unicodedata.category(char) for char in bad])
    forged = [one for one in text.split("\n") if one.startswith(FORGED)]
    assert not forged, (line, forged)
    assert "internal error" not in text, (line, text)


@pytest.mark.parametrize("colour", ["no", "yes"])
def test_the_pytest_plugin_shows_a_failure_as_visible_text(evil: Evil, tmp_path: Path, colour: str) -> None:
    test = (
        "from dumptruth.oracle.assertion import assert_conformant\n"
        "def test_broken():\n    assert_conformant({!a})\n"
        "def test_truth():\n    assert_conformant({!a}, {!a})\n"
    )
    (tmp_path / "test_it.py").write_text(
        test.format(*map(str, (evil.broken, evil.other, evil.truth))), encoding="utf-8", errors="backslashreplace"
    )
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "dumptruth.oracle.pytest_plugin", "-p", "no:cacheprovider",
         "--no-header", "--tb=short", "--color", colour, "--rootdir", tmp_path, "-c", os.devnull, "test_it.py"],
        cwd=tmp_path, capture_output=True, check=False,
        env={**os.environ, "PYTEST_ADDOPTS": "", "PYTHONIOENCODING": "utf-8", "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
    )  # fmt: skip
    text = TERMINAL.sub("", (done.stdout + done.stderr).decode("utf-8").replace("\r\n", "\n"))
    assert "2 dumps judged, 2 not conformant" in text, text
    assert r"\u202e" in text
    _assert_harmless(text.encode(), ["pytest"])


@pytest.mark.usefixtures("stubs")
@pytest.mark.parametrize("terminal", [False, pytest.param(True, marks=pytest.mark.skipif(
    sys.platform == "win32", reason="Windows has no pseudo terminal in the standard library"))],
    ids=["pipe", "terminal"])  # fmt: skip
@pytest.mark.parametrize("command", LINES)
def test_no_control_character_and_no_forged_line_reaches_a_stream(
    command: str, terminal: bool, evil: Evil, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    streams = Streams(monkeypatch, terminal=terminal)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TERM", "xterm-256color")
    shown = 0
    for line in LINES[command](evil, tmp_path):
        status, data = streams(*line)
        assert status in (0, 1, 2, 3), line
        shown += rb"\u202e" in data
        text = TERMINAL.sub("", data.decode("utf-8")) if terminal else data.decode("utf-8")
        _assert_harmless(text.encode(), line)
    assert shown, "no line of this command showed any evil text"
