"""Runs a command over cases, one process for each case or one for many, several at a time."""

from __future__ import annotations

import shutil
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Final, TypeVar

from .cases import Kind, ReaderCase, WriterCase
from .exchange import Exchange
from .expectations import KnownFailures
from .process import Command, CommandDiedError, Running
from .protocol import (
    ProtocolError,
    only_line,
    reader_answer,
    reader_request,
    request_line,
    writer_answer,
    writer_request,
)
from .reader import accepted, judge_facts, rejected
from .results import DEATHS, CaseResult, Summary, Verdict
from .writer import ReplayerOf, judge_answer

Case = TypeVar("Case", WriterCase, ReaderCase)
Made = TypeVar("Made")
OnResult = Callable[[CaseResult], None]
OnExchange = Callable[[Exchange, CaseResult], None]
_PROBES: Final = 5
"""Cases that are run first. If the command dies at all of them with the same words, the others are not run."""
_LEAST_PROBES: Final = 3
_ACCEPTED: Final = 0
_REJECTED: Final = 1
"""Exit statuses of a plain reader. Any other status is a death."""


@contextmanager
def _case_folder() -> Iterator[str]:
    """A new folder for one case. It is renamed before it is removed: a process that outlives the case may still write
    into it by its name.
    """
    made = Path(tempfile.mkdtemp(prefix="dumptruth-conform-"))
    try:
        yield str(made)
    finally:
        with suppress(OSError):
            made = made.rename(made.with_name(f"{made.name}-done"))
        shutil.rmtree(made, ignore_errors=True)


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
    keep: OnExchange | None = None
    """Called after each case, while the files that the command made exist."""


class HopelessError(Exception):
    """The command dies at every one of the first cases with the same words. The text is one line."""

    def __init__(self, message: str, *, protocol: bool) -> None:
        super().__init__(message)
        self.protocol = protocol
        """Whether it answered, and broke the protocol."""


def run_writer(
    command: Command, cases: Iterable[WriterCase], options: Options | None = None, on_result: OnResult | None = None
) -> Summary:
    """Ask ``command`` for a dump of every case, and judge each file. The results have the order of the cases.

    Raises CannotStartError if the command cannot be started, HopelessError if it dies at all of the first cases.
    """
    options = options or Options()
    speaker = _Speaker(command, persistent=options.persistent)
    making = threading.Lock()

    def run(case: WriterCase, exchange: Exchange) -> CaseResult:
        target = exchange.target = _made(making, case.make)
        output = exchange.file = exchange.folder / (PurePosixPath(target.request.file).name or "dump.dmp")
        exchange.message = writer_request(case.name, target.directory, target.document, output)
        speaker.ask(exchange)
        answer = writer_answer(exchange.answer, case.name)
        return judge_answer(case, target, answer, output, strict=options.strict, replayer=options.replayer)

    return Summary("writer", _all(list(cases), run, options, speaker, on_result))


def run_reader(
    command: Command, cases: Iterable[ReaderCase], options: Options | None = None, on_result: OnResult | None = None
) -> Summary:
    """Have ``command`` read the dump of every case, and compare its facts. The results have the order of the cases.

    Raises CannotStartError if the command cannot be started, HopelessError if it dies at all of the first cases,
    UnsoundCaseError if the dump of a case does not conform.
    """
    options = options or Options()
    speaker = _Speaker(command, persistent=options.persistent)
    making = threading.Lock()

    def run(case: ReaderCase, exchange: Exchange) -> CaseResult:
        dumped = _made(making, case.make)
        exchange.target, exchange.file = dumped.target, dumped.file
        if options.plain:
            return _plain(speaker, case, dumped.file, exchange, strict=options.strict)
        exchange.message = reader_request(case.name, dumped.file)
        speaker.ask(exchange)
        return judge_facts(case, dumped, reader_answer(exchange.answer, case.name), strict=options.strict)

    return Summary("reader", _all(list(cases), run, options, speaker, on_result))


def _made(lock: threading.Lock, make: Callable[[], Made]) -> Made:
    with lock:
        return make()


def _plain(speaker: _Speaker, case: ReaderCase, file: Path, exchange: Exchange, *, strict: bool) -> CaseResult:
    with speaker.started(str(file), spoken_to=False) as running:
        try:
            _, status = running.everything()
        finally:
            exchange.errors = running.errors
        words = running.last_words
        if status not in (_ACCEPTED, _REJECTED):
            raise running.died()
    if status == _REJECTED:
        return rejected(case, words.replace(str(file), file.name))
    return accepted(case, strict=strict)


def _all(
    cases: Sequence[Case],
    run: Callable[[Case, Exchange], CaseResult],
    options: Options,
    speaker: _Speaker,
    on_result: OnResult | None,
) -> tuple[CaseResult, ...]:
    def judged(case: Case) -> CaseResult:
        kind = case.kind if isinstance(case, ReaderCase) else None
        with _case_folder() as folder:
            exchange = Exchange(Path(folder))
            try:
                result = run(case, exchange)
            except CommandDiedError as error:
                result = CaseResult(case.name, Verdict.DIES, False, (str(error),), kind)
            except ProtocolError as error:
                result = CaseResult(case.name, Verdict.BREAKS, False, (str(error),), kind)
            except (OSError, MemoryError) as error:  # one case less; the results of the others stay
                result = CaseResult(case.name, Verdict.UNJUDGED, False, (_host_words(error),), kind)
            result = options.known.settle(result)
            if options.keep is not None:
                result = _kept(options.keep, exchange, result)
        if on_result is not None:
            on_result(result)
        return result

    probes = _probes(cases)
    others = [at for at in range(len(cases)) if at not in probes]
    pool = ThreadPoolExecutor(max_workers=max(options.jobs, 1))
    try:
        results = dict(zip(probes, pool.map(judged, (cases[at] for at in probes)), strict=True))
        _assure_hope([results[at] for at in probes], len(others))
        results |= zip(others, pool.map(judged, (cases[at] for at in others)), strict=True)
        return tuple(results[at] for at in range(len(cases)))
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
        speaker.close()  # after an error, commands may still run
        pool.shutdown(wait=True)


def _kept(keep: OnExchange, exchange: Exchange, result: CaseResult) -> CaseResult:
    """Keep what a case exchanged. The result says if that was not possible. Raises FileExistsError."""
    try:
        keep(exchange, result)
    except FileExistsError:
        raise
    except OSError as error:
        return result.but(details=(*result.details, f"not kept: {_host_words(error)}"))
    return result


def _host_words(error: OSError | MemoryError) -> str:
    if isinstance(error, MemoryError):
        return f"not enough memory {error}".strip()
    reason = error.strerror or str(error)
    return reason if error.filename is None else f"{Path(error.filename).name}: {reason}"


def _probes(cases: Sequence[Case]) -> list[int]:
    """The cases that are run first: of those at which no command should die, a few from all parts of the list."""
    sound = [at for at, case in enumerate(cases) if isinstance(case, WriterCase) or case.kind is Kind.VALID]
    if len(sound) < _LEAST_PROBES:
        return []
    return sorted({sound[index * (len(sound) - 1) // (_PROBES - 1)] for index in range(_PROBES)})


def _assure_hope(results: Sequence[CaseResult], left: int) -> None:
    """Raises HopelessError if the command died at all cases with the same words, and others are left."""
    ended = {(result.verdict, result.details) for result in results}
    if not left or len(ended) != 1 or not all(result.fails for result in results):
        return
    verdict, words = ended.pop()
    if verdict in DEATHS:
        raise HopelessError(
            f"the command {verdict} at each of {len(results)} cases with the same words: {words[0]}; {left} other "
            "cases were not run",
            protocol=verdict is Verdict.BREAKS,
        )


class _Speaker:
    """Asks the command one case at a time in each thread."""

    def __init__(self, command: Command, *, persistent: bool) -> None:
        self._command = command
        self._persistent = persistent
        self._own = threading.local()
        self._lock = threading.Lock()
        self._running: set[Running] = set()
        self._closed = False

    def ask(self, exchange: Exchange) -> None:
        """Send the message of ``exchange``, and set its answer. Raises CannotStartError, CommandDiedError and
        ProtocolError.
        """
        assert exchange.message is not None
        request = request_line(exchange.message)
        if self._persistent:
            self._ask_again(request, exchange)
        else:
            self._ask_once(request, exchange)

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

    def _ask_once(self, request: bytes, exchange: Exchange) -> None:
        with self.started() as running:
            running.say(request, last=True)
            try:
                exchange.answer, status = running.everything()
            finally:
                exchange.errors = running.errors
            if status:  # a death, even if the command answered before
                raise running.died()
        exchange.answer = only_line(exchange.answer)

    def _ask_again(self, request: bytes, exchange: Exchange) -> None:
        running: Running | None = getattr(self._own, "running", None)
        if running is None or running.status is not None:
            if running is not None:
                self._end(running)
            running = self._own.running = self._start()
        running.say(request, last=False)
        try:
            exchange.answer = running.line()
        except CommandDiedError:
            self._own.running = None
            self._end(running)
            raise
        finally:
            exchange.errors = running.errors
        if not exchange.answer:
            self._own.running = None
            self._end(running)
            raise running.died()
