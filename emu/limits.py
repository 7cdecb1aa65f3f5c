"""The limits of a guest: what a program or a machine may use of the host, and what it meets at each limit.

A limit of a resource is met as in Windows: the service fails with a status, and the program can handle it. Output is
cut. A budget of work ends the run with ``LimitReached``. Every default is a number that is the same on every host,
but for ``host_seconds``, the last resort.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

from .errors import DumptruthError, RunError
from .sizes import number_of

_MIB = 1 << 20


class LimitError(DumptruthError):
    """A limit does not exist, or its value is invalid. The message is one line."""


class LimitReached(RunError):  # noqa: N818 - says what happened
    """A guest has used up a budget, so its run has ended without a result. ``limit`` is the name of the budget."""

    def __init__(self, message: str, limit: str) -> None:
        super().__init__(message)
        self.limit = limit


@dataclass(frozen=True, slots=True)
class Limit:
    """One limit. ``name`` is that of ``--limit NAME=VALUE``."""

    name: str
    default: int
    unit: str
    """What is counted."""
    lowest: int
    highest: int
    met: str
    """What the guest meets at the limit: ``ENDS``, ``CUT``, or the NTSTATUS of the service that fails."""
    machine: bool
    """Whether a machine has the limit too, not only a process."""


def _limit(
    default: int, unit: str, met: str, *, lowest: int = 1, highest: int = (1 << 63) - 1, machine: bool = False
) -> Any:
    about = {"unit": unit, "met": met, "lowest": lowest, "highest": highest, "machine": machine}
    return field(default=default, metadata={"default": default, **about})


ENDS, CUT = "the run ends", "the rest is cut"


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits of one guest. A machine has those of work and its debug output; its memory is ``ram``."""

    host_seconds: int = _limit(60, "seconds of the host's processor time", ENDS, machine=True)
    guest_seconds: int = _limit(300, "seconds of the guest's clock", ENDS, highest=1 << 32, machine=True)
    blocks: int = _limit(20_000_000, "basic blocks of code", ENDS, machine=True)
    services: int = _limit(100_000, "system calls and faults", ENDS, machine=True)
    console: int = _limit(_MIB, "bytes of console output", CUT)
    debug: int = _limit(_MIB, "bytes of debug output", CUT, machine=True)
    memory: int = _limit(
        256 * _MIB, "bytes of committed memory and its page tables", "STATUS_COMMITMENT_LIMIT", lowest=4 * _MIB,
        highest=1 << 36,
    )  # fmt: skip
    regions: int = _limit(
        32_768, "regions of reserved or committed memory", "STATUS_INSUFFICIENT_RESOURCES", lowest=256
    )
    handles: int = _limit(16_384, "open handles", "STATUS_INSUFFICIENT_RESOURCES", lowest=64, highest=1 << 24)
    threads: int = _limit(255, "threads at the same time", "STATUS_NO_MEMORY", highest=4096)
    names: int = _limit(
        16 * _MIB, "bytes of names of objects and threads", "STATUS_INSUFFICIENT_RESOURCES", lowest=4096
    )
    disk: int = _limit(
        64 * _MIB, "bytes of the files that it writes, with 1 KiB for each file", "STATUS_DISK_FULL", lowest=4096
    )

    def __post_init__(self) -> None:
        """Raises LimitError for a value out of its range."""
        for limit in LIMITS.values():
            value = getattr(self, _attribute(limit.name))
            if not limit.lowest <= value <= limit.highest:
                raise LimitError(f"limit {limit.name}={value}: expected {limit.lowest:,} to {limit.highest:,}")

    def value(self, name: str) -> int:
        """The value of the limit of that name. Raises KeyError."""
        value: int = getattr(self, _attribute(LIMITS[name].name))
        return value


def _attribute(name: str) -> str:
    return name.replace("-", "_")


LIMITS: Mapping[str, Limit] = {
    limit.name: limit for limit in (Limit(name=part.name.replace("_", "-"), **part.metadata) for part in fields(Limits))
}
"""Every limit by its name."""

DEFAULTS = Limits()


def parse_limits(texts: Iterable[str]) -> Limits:
    """The limits of texts ``NAME=VALUE``; a value is a number, with K, M or G if wanted. Raises LimitError."""
    values: dict[str, int] = {}
    for text in texts:
        name, _, value = text.partition("=")
        if name not in LIMITS:
            raise LimitError(f"limit {name!r}: unknown; expected one of {', '.join(LIMITS)}")
        number = number_of(value)
        if number is None:
            raise LimitError(f"limit {name}={value}: expected a number, such as 5000 or 64M")
        values[_attribute(name)] = number
    return replace(DEFAULTS, **values)


class Meter:
    """Counts what one guest uses. ``guest`` is its name in messages."""

    def __init__(self, guest: str = "guest", limits: Limits = DEFAULTS) -> None:
        self.guest = guest
        self.limits = limits
        self._used: dict[str, int] = {}
        self._refused: dict[str, tuple[int, int]] = {}
        self._started = self._next_look = 0.0
        self._budgets = {name: limits.value(name) for name in ("blocks", "services")}

    # --- budgets of work

    def start(self) -> None:
        """Start to count the processor time of this thread."""
        self._started = time.thread_time()

    def use(self, name: str, amount: int, doing: Callable[[], str]) -> None:
        """Add to what the guest has used of a budget, and look at the host's clock.

        ``doing`` says what the guest does. Raises LimitReached.
        """
        used = self._used[name] = self._used.get(name, 0) + amount
        if used > self._budgets[name]:
            raise self.reached(name, doing())
        if time.monotonic() > self._next_look:
            self._look(doing)

    def _look(self, doing: Callable[[], str]) -> None:
        """Look at the processor time of this thread, which takes up to a millisecond to read."""
        left = self.limits.host_seconds - (time.thread_time() - self._started)
        if left < 0:
            raise self.reached("host-seconds", doing())
        self._next_look = time.monotonic() + min(left, 0.1)

    def reached(self, name: str, doing: str) -> LimitReached:
        """The error for a budget that is used up. ``doing`` says what the guest does."""
        limit = f"limit of {self.limits.value(name):,} {LIMITS[name].unit}"
        return LimitReached(f"{self.guest}: used up the {limit}; {doing}; --limit {name}=N changes it", name)

    # --- ceilings of resources

    def has_room(self, name: str, have: int, more: int) -> bool:
        """Whether the guest may have ``more`` of a resource of which it has ``have``. A refusal is counted."""
        if have + more <= self.limits.value(name):
            return True
        self.count_refusal(name, more)
        return False

    def count_refusal(self, name: str, asked: int) -> None:
        count, largest = self._refused.get(name, (0, 0))
        self._refused[name] = count + 1, max(largest, asked)

    # --- output

    def keep(self, name: str, kept: bytearray, size: int) -> int:
        """How many of ``size`` more bytes of output are kept. The rest is counted as cut."""
        room = min(size, self.limits.value(name) - len(kept))
        if room < size:
            count, cut = self._refused.get(name, (0, 0))
            self._refused[name] = count + 1, cut + size - room
        return room

    # --- what the user is told

    def notes(self) -> tuple[str, ...]:
        """One line for each limit at which something was refused or cut."""
        return tuple(self._note(LIMITS[name], *found) for name, found in self._refused.items())

    def _note(self, limit: Limit, count: int, amount: int) -> str:
        where = f"{self.guest}: limit of {self.limits.value(limit.name):,} {limit.unit}"
        if limit.met == CUT:
            happened = f"{amount:,} more bytes were cut"
        else:
            times = "1 request was" if count == 1 else f"{count:,} requests were"
            most = "" if amount == 1 else f", {'for' if count == 1 else 'the largest for'} {amount:,}"
            happened = f"{times} refused with {limit.met}{most}"
        return f"{where}: {happened}; --limit {limit.name}=N changes it"
