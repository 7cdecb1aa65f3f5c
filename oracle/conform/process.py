"""A command as a process of its own, that may do anything: die, hang, fork, print for ever, take all memory."""

from __future__ import annotations

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

from .limits import Job, Limits, bounded, resident

_TICK: Final = 0.05
"""Seconds between two looks of the watchdog."""
_PATIENCE: Final = 1.0
"""Seconds that a descendant may hold the output open once its parent has ended."""
_TAIL: Final = 4096
"""Bytes of standard error that are kept."""


class CommandDiedError(Exception):
    """The command ended by a fault, or had to be ended. The text is one line that says how."""


@dataclass(frozen=True, slots=True)
class Command:
    """A program and its first arguments. It is never given to a shell."""

    arguments: tuple[str, ...]
    limits: Limits = field(default_factory=Limits)

    def started(self, *more: str, spoken_to: bool = True) -> Running:
        """Raises OSError when there is no such program."""
        return Running([*self.arguments, *more], self.limits, spoken_to=spoken_to)


class Running:
    """A started command. ``close`` it: then nothing of it lives on."""

    def __init__(self, command: list[str], limits: Limits, *, spoken_to: bool) -> None:
        self._limits = limits
        self._process = subprocess.Popen(
            bounded(command, limits),
            stdin=subprocess.PIPE if spoken_to else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
            start_new_session=sys.platform != "win32",  # a group of its own, which can be ended as a whole
        )
        self._job = Job(self._process, limits)
        self._news = threading.Condition()
        self._output = bytearray()
        self._taken = 0
        """Bytes of the output that ``line`` has returned."""
        self._ended = False
        """No more output will come."""
        self._errors = bytearray()
        assert self._process.stdout is not None
        assert self._process.stderr is not None
        self._listener = self._thread(self._listen, self._process.stdout)
        self._error_listener = self._thread(self._listen_to_errors, self._process.stderr)

    def say(self, line: bytes, *, last: bool) -> None:
        """Give it ``line`` on standard input, in the background: it may read nothing, and a pipe holds only so much."""

        def write() -> None:
            assert self._process.stdin is not None
            with suppress(OSError, ValueError):  # it has ended, or closed its standard input
                view = memoryview(line + b"\n")
                while view:
                    view = view[self._process.stdin.write(view) or 0 :]
                if last:
                    self._process.stdin.close()

        threading.Thread(target=write, daemon=True).start()

    def line(self) -> bytes:
        """The next line of its output, without the line's end; ``b""`` when it ended before one.

        Raises CommandDiedError when it takes more than its limits.
        """
        end = time.monotonic() + self._limits.seconds
        while True:
            with self._news:
                found = self._output.find(b"\n", self._taken)
                if found >= 0:
                    line = bytes(self._output[self._taken : found])
                    del self._output[: found + 1]  # the ceiling is on the output of one case
                    return line
                if self._ended:
                    return b""
                self._news.wait(_TICK)
            self._watch(end)

    def everything(self) -> tuple[bytes, int]:
        """All of its output, and its exit status (below 0: minus the signal that ended it), when it has ended.

        Raises CommandDiedError when it takes more than its limits.
        """
        end = time.monotonic() + self._limits.seconds
        while True:
            try:
                status = self._process.wait(_TICK)
                break
            except subprocess.TimeoutExpired:
                self._watch(end)
        self._listener.join(_PATIENCE)
        self.close()  # what it left behind may hold the output open
        self._listener.join(_PATIENCE)
        self._watch(None)
        with self._news:
            return bytes(self._output), status

    @property
    def last_words(self) -> str:
        """The last line on standard error, as far as it can be printed; empty when there is none."""
        self._error_listener.join(_TICK)
        lines = bytes(self._errors).decode("utf-8", "replace").split("\n")
        last = next((line.strip() for line in reversed(lines) if line.strip()), "")
        return "".join(c if c.isprintable() else "?" for c in last)[:200]

    @property
    def status(self) -> int | None:
        """None while it runs."""
        return self._process.poll()

    def close(self) -> None:
        """End it, and every process that it started and that did not leave its group."""
        if sys.platform == "win32":
            self._job.end()
            with suppress(OSError):
                self._process.kill()
        else:
            with suppress(ProcessLookupError, PermissionError):  # macOS says the latter of a group of the dead
                os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        if self._process.stdin is not None:
            with suppress(OSError):
                self._process.stdin.close()
        # A pipe is closed by its listener: one that left the group may hold it open, and a read of it cannot be ended.

    def _watch(self, end: float | None) -> None:
        """Raises CommandDiedError, once the command is ended, for what it takes too much of."""
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
                    if len(self._output) <= self._limits.output:  # the watchdog will see it
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


def death(status: int) -> str:
    """How a process ended, of its exit status, in words."""
    if status < 0:
        try:
            return f"ended by {signal.Signals(-status).name}"
        except ValueError:
            return f"ended by signal {-status}"
    if status > 0xFF:  # the NTSTATUS of a fault, on Windows
        return f"ended with status {status:#x}"
    return f"ended with status {status}"
