"""Defines the ways in which a run of the target ends."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Literal, get_args

from ..errors import RunError
from ..snapshot.process import Context
from .exceptions import ExceptionRecord
from .objects import Thread

__all__ = ["CHANCES", "Chance", "Control", "Crashed", "Deadlock", "Exited", "Outcome", "RunError"]


Chance = Literal["first", "second"]
"""Where an exception stops the process: before its handlers, or after all of them declined."""
CHANCES: tuple[Chance, ...] = get_args(Chance)


class Control(enum.Enum):
    """The state of the calling thread after a service that does not return to it at once."""

    CONTINUES = "runs on, with a context of its own choice"
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
