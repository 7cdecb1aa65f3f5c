"""Defines the ways in which a run of the target ends."""

from __future__ import annotations

import enum
from dataclasses import dataclass

from ..errors import RunError
from ..snapshot.process import Context
from .exceptions import ExceptionRecord
from .objects import Thread

__all__ = ["Control", "Crashed", "Deadlock", "Exited", "Outcome", "RunError"]


class Control(enum.Enum):
    """The state of the calling thread after a service that does not return to it at once."""

    BLOCKED = "waits"
    ENDED = "has ended, or the whole run has"


@dataclass(frozen=True, slots=True)
class Crashed:
    """An exception that stops the process in the debugger. ``context`` belongs to ``record``."""

    thread: Thread
    record: ExceptionRecord
    context: Context
    first_chance: bool = True


@dataclass(frozen=True, slots=True)
class Deadlock:
    """Every thread waits, and no event can end a wait."""


@dataclass(frozen=True, slots=True)
class Exited:
    """The process exited with this status (0 to 0xFFFFFFFF)."""

    status: int


Outcome = Crashed | Deadlock | Exited
