"""Runs a command as a process under limits. The command may crash, hang, fork, print endlessly or take all memory."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import IO, Final

from ..shown import shown
from .limits import POOR, Job, Limits, bounded, resident, start_error

_TICK: Final = 0.05
"""Seconds between two checks of the watchdog."""
_PATIENCE: Final = 1.0
"""Seconds that a descendant may hold the output or standard error open after its parent has ended."""
_TAIL: Final = 4096
"""Bytes of standard error that are kept."""


class CommandDiedError(Exception):
    """The command crashed or was killed. The text is one line that says how."""


class CannotStartError(Exception):
    """The system cannot start the command. The text is one line: the program, why."""


@dataclass(frozen=True, slots=True)
class Command:
    """A program and its first arguments. No shell runs it."""

    arguments: tuple[str, ...]
    limits: Limits = field(default_factory=Limits)

    def started(self, *more: str, spoken_to: bool = True) -> Running:
        """Start the command with ``more`` arguments. Raises CannotStartError, and OSError for a poor host."""
        try:
            return Running([*self.arguments, *more], self.limits, spoken_to=spoken_to)
        except OSError as error:
            if error.errno in POOR:
                raise
            raise cannot_start(self.arguments[0], error) from error


class Running:
    """A started command. ``close`` kills it and its processes."""

    def __init__(self, command: list[str], limits: Limits, *, spoken_to: bool) -> None:
        self._program = command[0]
        self._limits = limits
        self._process = subprocess.Popen(
            bounded(command, limits),
            stdin=subprocess.PIPE if spoken_to else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
            start_new_session=sys.platform != "win32",  # a process group, which can be killed as a whole
        )
        self._job = Job(self._process, limits)
        self._news = threading.Condition()
        self._output = bytearray()
        self._taken = 0
        """Bytes of the output that ``line`` has returned."""
        self._ended = False
        """Whether the output has ended."""
        self._errors = bytearray()
        assert self._process.stdout is not None
        assert self._process.stderr is not None
        try:
            self._listener = self._thread(self._listen, self._process.stdout)
            self._error_listener = self._thread(self._listen_to_errors, self._process.stderr)
        except RuntimeError as error:  # Python does not say why the system refuses a thread
            self.close()
            raise BlockingIOError(errno.EAGAIN, str(error)) from error

    def say(self, line: bytes, *, last: bool) -> None:
        """Write ``line`` to its standard input, in the background: a command need not read it."""

        def write() -> None:
            assert self._process.stdin is not None
            with suppress(OSError, ValueError):  # the command has ended or closed its standard input
                view = memoryview(line + b"\n")
                while view:
                    view = view[self._process.stdin.write(view) or 0 :]
                if last:
                    self._process.stdin.close()

        threading.Thread(target=write, daemon=True).start()

    def line(self) -> bytes:
        """The next line of the output without its line feed; ``b""`` if the output ended before one.

        Raises CommandDiedError if the command exceeds a limit.
        """
        end = time.monotonic() + self._limits.seconds
        while True:
            with self._news:
                found = self._output.find(b"\n", self._taken)
                if found >= 0:
                    line = bytes(self._output[self._taken : found])
                    del self._output[: found + 1]  # the limit applies to the output of one case
                    return line
                if self._ended:
                    return b""
                self._news.wait(_TICK)
            self._watch(end)

    def everything(self) -> tuple[bytes, int]:
        """Wait for its end; return its output and its exit status (negative: minus the number of the signal).

        Raises CommandDiedError if the command exceeds a limit.
        """
        end = time.monotonic() + self._limits.seconds
        while True:
            try:
                status = self._process.wait(_TICK)
                break
            except subprocess.TimeoutExpired:
                self._watch(end)
        self._listener.join(_PATIENCE)
        self.close()  # a process that it left behind may hold the output open
        self._listener.join(_PATIENCE)
        self._watch(None)
        with self._news:
            return bytes(self._output), status

    @property
    def errors(self) -> bytes:
        """The end of its standard error."""
        if self.status is not None:
            self._error_listener.join(_PATIENCE)
        return bytes(self._errors)

    def died(self) -> CommandDiedError:
        """The error for a command that has ended. Raises CannotStartError if it was never started."""
        status = self.status or 0
        if (error := start_error(status, self.errors)) is not None:
            raise cannot_start(self._program, error)
        words = self.last_words
        return CommandDiedError(f"{death(status)}: {words}" if words else death(status))

    @property
    def last_words(self) -> str:
        """The last line on standard error, with unprintable characters escaped; empty if there is none."""
        lines = self.errors.decode("utf-8", "replace").split("\n")
        last = next((line.strip() for line in reversed(lines) if line.strip()), "")
        return shown(last)[:200]

    @property
    def status(self) -> int | None:
        """The exit status; None while it runs."""
        return self._process.poll()

    def close(self) -> None:
        """Kill it, and every process that it started and that did not leave its group."""
        if sys.platform == "win32":
            self._job.end()
            with suppress(OSError):
                self._process.kill()
        else:
            with suppress(ProcessLookupError, PermissionError):  # macOS raises the latter for a group that has ended
                os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        if self._process.stdin is not None:
            with suppress(OSError):
                self._process.stdin.close()
        # The listener closes the pipe: a process that left the group may hold it open, and a read cannot be ended.

    def _watch(self, end: float | None) -> None:
        """Kill the command and raise CommandDiedError if it exceeds a limit."""
        with self._news:
            size = len(self._output)
        limits, why = self._limits, None
        if end is not None and time.monotonic() > end:
            why = f"no answer after {limits.seconds:g} s"
        elif size > limits.output:
            why = f"printed more than {_mib(limits.output)}"
        elif limits.memory and (resident(self._process.pid) or 0) > limits.memory:
            why = f"took more than {_mib(limits.memory)} of memory"
        if why is not None:
            self.close()
            raise CommandDiedError(why)

    def _listen(self, pipe: IO[bytes]) -> None:
        with pipe:
            while data := pipe.read(1 << 16):
                with self._news:
                    if len(self._output) <= self._limits.output:  # beyond the limit the watchdog kills the command
                        self._output += data
                    self._news.notify_all()
        with self._news:
            self._ended = True
            self._news.notify_all()

    def _listen_to_errors(self, pipe: IO[bytes]) -> None:
        with pipe:
            while data := pipe.read(1 << 16):
                self._errors += data
                del self._errors[:-_TAIL]

    @staticmethod
    def _thread(listen: Callable[[IO[bytes]], None], pipe: IO[bytes]) -> threading.Thread:
        thread = threading.Thread(target=listen, args=(pipe,), daemon=True)
        thread.start()
        return thread


def _mib(size: int) -> str:
    return f"{size >> 20} MiB" if size >= 1 << 20 else f"{size} bytes"


def cannot_start(program: str, error: OSError) -> CannotStartError:
    return CannotStartError(f"{program}: cannot be started: {error.strerror or error}")


def death(status: int) -> str:
    """The exit status in words."""
    if status < 0:
        try:
            return f"ended by {signal.Signals(-status).name}"
        except ValueError:
            return f"ended by signal {-status}"
    if status > 0xFF:  # the NTSTATUS of a fault, on Windows
        return f"ended with status {status:#x}"
    return f"ended with status {status}"
