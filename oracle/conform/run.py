"""Runs a command over cases, one process for each case or one for many, several at a time."""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Final, TypeVar

from .cases import Dumped, ReaderCase, WriterCase
from .expectations import KnownFailures
from .process import Command, CommandDiedError, Running, death
from .protocol import ProtocolError, only_line, reader_answer, reader_request, writer_answer, writer_request
from .reader import accepted, judge_facts, rejected
from .results import CaseResult, Summary, Verdict
from .writer import ReplayerOf, judge_answer

Case = TypeVar("Case", WriterCase, ReaderCase)
Made = TypeVar("Made")
OnResult = Callable[[CaseResult], None]
_ACCEPTED: Final = 0
_REJECTED: Final = 1
"""Exit statuses of a plain reader. Any other status is a death."""


@dataclass(frozen=True, slots=True)
class Options:
    strict: bool = False
    """SHOULD rules fail a writer's dump, and a reader must reject every ``must-reject`` dump."""
    persistent: bool = False
    """Each job starts one process for all of its cases; the process answers one line for each."""
    plain: bool = False
    """The reader does not know the protocol: the file is its last argument, the exit status its answer."""
    jobs: int = 1
    known: KnownFailures = field(default_factory=KnownFailures)
    replayer: ReplayerOf | None = None
    """Makes the machine in which a writer's full dump is replayed."""


def run_writer(
    command: Command, cases: Iterable[WriterCase], options: Options | None = None, on_result: OnResult | None = None
) -> Summary:
    """Ask ``command`` for a dump of every case, and judge each file. The results have the order of the cases.

    Raises OSError if the command cannot be started.
    """
    options = options or Options()
    speaker = _Speaker(command, persistent=options.persistent)
    making = threading.Lock()

    def run(case: WriterCase) -> CaseResult:
        target = _made(making, case.make)
        with tempfile.TemporaryDirectory(prefix="dumptruth-conform-", ignore_cleanup_errors=True) as folder:
            output = Path(folder) / (PurePosixPath(target.request.file).name or "dump.dmp")
            line = speaker.ask(writer_request(case.name, target.directory, target.document, output))
            answer = writer_answer(line, case.name)
            return judge_answer(case, target, answer, output, strict=options.strict, replayer=options.replayer)

    return Summary("writer", _all(cases, run, options, speaker, on_result))


def run_reader(
    command: Command, cases: Iterable[ReaderCase], options: Options | None = None, on_result: OnResult | None = None
) -> Summary:
    """Have ``command`` read the dump of every case, and compare its facts. The results have the order of the cases.

    Raises OSError if the command cannot be started, UnsoundCaseError if the dump of a case does not conform.
    """
    options = options or Options()
    speaker = _Speaker(command, persistent=options.persistent)
    making = threading.Lock()

    def run(case: ReaderCase) -> CaseResult:
        dumped = _made(making, case.make)
        if options.plain:
            return _plain(speaker, case, dumped, strict=options.strict)
        answer = reader_answer(speaker.ask(reader_request(case.name, dumped.file)), case.name)
        return judge_facts(case, dumped, answer, strict=options.strict)

    return Summary("reader", _all(cases, run, options, speaker, on_result))


def _made(lock: threading.Lock, make: Callable[[], Made]) -> Made:
    with lock:
        return make()


def _plain(speaker: _Speaker, case: ReaderCase, dumped: Dumped, *, strict: bool) -> CaseResult:
    with speaker.started(str(dumped.file), spoken_to=False) as running:
        _, status = running.everything()
        words = running.last_words
    if status == _REJECTED:
        return rejected(case, words.replace(str(dumped.file), dumped.file.name))
    if status != _ACCEPTED:
        raise CommandDiedError(_with(death(status), words))
    return accepted(case, strict=strict)


def _all(
    cases: Iterable[Case],
    run: Callable[[Case], CaseResult],
    options: Options,
    speaker: _Speaker,
    on_result: OnResult | None,
) -> tuple[CaseResult, ...]:
    def judged(case: Case) -> CaseResult:
        kind = case.kind if isinstance(case, ReaderCase) else None
        try:
            result = run(case)
        except CommandDiedError as error:
            result = CaseResult(case.name, Verdict.DIES, False, (str(error),), kind)
        except ProtocolError as error:
            result = CaseResult(case.name, Verdict.BREAKS, False, (str(error),), kind)
        result = options.known.settle(result)
        if on_result is not None:
            on_result(result)
        return result

    pool = ThreadPoolExecutor(max_workers=max(options.jobs, 1))
    try:
        return tuple(pool.map(judged, cases))
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
        speaker.close()  # after an error, commands may still run
        pool.shutdown(wait=True)


class _Speaker:
    """Asks the command one case at a time in each thread."""

    def __init__(self, command: Command, *, persistent: bool) -> None:
        self._command = command
        self._persistent = persistent
        self._own = threading.local()
        self._lock = threading.Lock()
        self._running: set[Running] = set()
        self._closed = False

    def ask(self, request: bytes) -> bytes:
        """Send a request and return the line of the answer. Raises CommandDiedError and ProtocolError."""
        return self._ask_again(request) if self._persistent else self._ask_once(request)

    @contextmanager
    def started(self, *more: str, spoken_to: bool = True) -> Iterator[Running]:
        """Start the command for one case, and kill it at the end."""
        running = self._start(*more, spoken_to=spoken_to)
        try:
            yield running
        finally:
            self._end(running)

    def close(self) -> None:
        """Kill all running commands, and start no more."""
        with self._lock:
            self._closed = True
            running, self._running = self._running, set()
        for one in running:
            one.close()

    def _start(self, *more: str, spoken_to: bool = True) -> Running:
        with self._lock:
            if self._closed:
                raise CommandDiedError("the run was interrupted")
            running = self._command.started(*more, spoken_to=spoken_to)
            self._running.add(running)
        return running

    def _end(self, running: Running) -> None:
        running.close()
        with self._lock:
            self._running.discard(running)

    def _ask_once(self, request: bytes) -> bytes:
        with self.started() as running:
            running.say(request, last=True)
            output, status = running.everything()
            if status:  # a death, even if the command answered before
                raise CommandDiedError(_with(death(status), running.last_words))
        return only_line(output)

    def _ask_again(self, request: bytes) -> bytes:
        running: Running | None = getattr(self._own, "running", None)
        if running is None or running.status is not None:
            if running is not None:
                self._end(running)
            running = self._own.running = self._start()
        running.say(request, last=False)
        try:
            line = running.line()
        except CommandDiedError:
            self._own.running = None
            self._end(running)
            raise
        if line:
            return line
        self._own.running = None
        self._end(running)
        status = running.status
        raise CommandDiedError(_with(death(status or 0), running.last_words))


def _with(how: str, words: str) -> str:
    return f"{how}: {words}" if words else how
