"""The base of every kind of dump: a plan, a layout, and its bytes in a sink."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from ..request import Request
from .faults import Faults
from .layout import Layout, LayoutMap, Sink
from .sinks import BytesSink


class _Plan(Protocol):
    @property
    def warnings(self) -> tuple[str, ...]: ...


S = TypeVar("S")
P = TypeVar("P", bound=_Plan)


@dataclass(frozen=True)
class WriteResult(Generic[P]):
    """A dump that was written: its plan with the reasons, and the map of every byte. It holds no bytes of the dump."""

    plan: P
    layout: LayoutMap

    @property
    def warnings(self) -> tuple[str, ...]:
        """What the user should know, one line each."""
        return self.plan.warnings

    @property
    def size(self) -> int:
        """Bytes of the dump."""
        return self.layout.size


class Dump(ABC, Generic[S, P]):
    """A dump that is planned and laid out. All values are known and all memory is read; no byte is written yet.

    The same snapshot and request always give the same bytes. If ``plan`` is given, the dump follows it instead of
    the request; mutants use this to write a wrong dump. ``faults`` makes named steps fail, for tests.

    Raises DumpRefused when the request cannot be met, LayoutError when a value does not fit its field.
    """

    def __init__(self, snapshot: S, request: Request, *, plan: P | None = None, faults: Faults | None = None) -> None:
        self.plan = self._decide(snapshot, request) if plan is None else plan
        self._layout = self._lay_out(snapshot, self.plan, faults or Faults())
        self.layout = self._freeze()

    @abstractmethod
    def _decide(self, snapshot: S, request: Request) -> P:
        """Return the plan that the request asks for. Raises DumpRefused."""

    @abstractmethod
    def _lay_out(self, snapshot: S, plan: P, faults: Faults) -> Layout:
        """Return all sections in file order. Raises DumpRefused or LayoutError."""

    def _freeze(self) -> LayoutMap:
        return self._layout.freeze()

    def emit(self, sink: Sink, *, in_order: bool = False) -> WriteResult[P]:
        """Write the dump to ``sink``. Raises what the sink raises.

        The signature is written last, by a patch, so a truncated file is not taken for a dump. With ``in_order``
        there is no patch: for append-only sinks, which detect truncation themselves.
        """
        self._layout.emit(sink, last=None if in_order else ("Header", "Signature"))
        return WriteResult(self.plan, self.layout)

    def in_memory(self) -> tuple[bytes, WriteResult[P]]:
        """Return the dump's bytes and the result."""
        sink = BytesSink()
        result = self.emit(sink)
        return sink.getvalue(), result
