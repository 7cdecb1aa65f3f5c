"""How a run of the target ends."""

from __future__ import annotations

import enum
from dataclasses import dataclass

from ..snapshot.process import Context
from .exceptions import ExceptionRecord
from .objects import Thread


class RunError(Exception):
    """The run cannot go on and is no crash; the message is one line that says why."""


class Control(enum.Enum):
    """What a service does with the thread that called it instead of returning."""

    BLOCKED = "waits"
    ENDED = "has ended, or the whole run has"


@dataclass(frozen=True, slots=True)
class Crashed:
    """An exception that the debugger sees: ``context`` is what goes with the record."""

    thread: Thread
    record: ExceptionRecord
    context: Context
    first_chance: bool = True


@dataclass(frozen=True, slots=True)
class Deadlock:
    """Every thread waits, and nothing can end any of the waits."""


@dataclass(frozen=True, slots=True)
class Exited:
    """The process ended by itself with this status (0 to 0xFFFFFFFF)."""

    status: int


Outcome = Crashed | Deadlock | Exited
