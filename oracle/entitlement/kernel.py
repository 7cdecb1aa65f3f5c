"""What the documents entitle a kernel dump to hold: of every PFN, must, may or never.

The sets are those of spec kernel-mode 6.3, computed from the truth by a page walk of the judge's own. A root entry that
points back at its root maps page tables only, so the walk leaves it out: whose tables they are, the walk knows.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property

from ..memory.page import PAGE_SIZE
from ..memory.page_set import PageSet
from ..memory.walk import Mapped, mapped
from ..truth.kernel import KernelTruth
from ..truth.process import RequestTruth
from .clauses import Duty


class Kind(StrEnum):
    SMALL = "small"
    KERNEL = "kernel"
    COMPLETE = "complete"
    ACTIVE = "active"


# DbgEng.h DEBUG_DUMP_SMALL, DEFAULT, FULL, ACTIVE; spec kernel-mode 1.1
_KINDS = {1024: Kind.SMALL, 1025: Kind.KERNEL, 1026: Kind.COMPLETE, 1030: Kind.ACTIVE}

# DumpType on disk, by profile: design.md 11 and spec kernel-mode 1.3. Which bitmap or range type an active dump has
# where no profile says so is open: both are accepted.
_TYPES: dict[str, dict[Kind, tuple[int, ...]]] = {
    "portable": {Kind.COMPLETE: (1,), Kind.KERNEL: (6,), Kind.SMALL: (4,), Kind.ACTIVE: (6, 9)},
    "classic": {Kind.COMPLETE: (1,), Kind.KERNEL: (2,), Kind.SMALL: (4,), Kind.ACTIVE: (6, 9)},
    "bitmap": {Kind.COMPLETE: (5,), Kind.KERNEL: (6,), Kind.SMALL: (4,), Kind.ACTIVE: (6,)},
    "ranges": {Kind.COMPLETE: (10,), Kind.KERNEL: (8,), Kind.SMALL: (4,), Kind.ACTIVE: (9,)},
    "header": dict.fromkeys(Kind, (3,)),
}
_USER_FLAGS = 0x0FFF_FFFF
"""DEBUG_FORMAT_USER_SMALL_*: documented for user-mode minidumps only (spec kernel-mode 1.4)."""


def kind_of(qualifier: int) -> Kind | None:
    return _KINDS.get(qualifier)


def dump_types(request: RequestTruth) -> tuple[int, ...]:
    """The DumpTypes that the request may give; none for a request that makes no kernel dump."""
    kind = kind_of(request.qualifier_value)
    # A profile of user mode leaves the kernel kinds at their default.
    types = _TYPES.get(request.profile, _TYPES["portable"])
    return () if kind is None else types[kind]


@dataclass(frozen=True, slots=True)
class Clause:
    """Pages with one duty, and why."""

    name: str
    duty: Duty
    pages: PageSet


class KernelEntitlement:
    """The entitlement of the dump of ``kind`` that is made of ``truth``."""

    def __init__(self, truth: KernelTruth, kind: Kind) -> None:
        self._truth = truth
        self.kind = kind

    @cached_property
    def _kernel_half(self) -> Mapped:
        truth = self._truth
        roots = dict.fromkeys((truth.system_directory_table_base, truth.directory_table_base))
        return mapped(truth, tuple(roots), kernel=True)

    @cached_property
    def _user_half(self) -> Mapped:
        return mapped(self._truth, tuple(self.process_roots), kernel=False)

    @property
    def process_roots(self) -> list[int]:
        """Physical addresses of every root page table."""
        truth = self._truth
        held = (process.directory_table_base for process in truth.processes)
        return list(dict.fromkeys((truth.system_directory_table_base, truth.directory_table_base, *held)))

    @cached_property
    def roots(self) -> PageSet:
        """The roots that kernel memory is read through: the one in use, and System's."""
        truth = self._truth
        roots = (truth.system_directory_table_base // PAGE_SIZE, truth.directory_table_base // PAGE_SIZE)
        return PageSet((pfn, pfn + 1) for pfn in roots)

    @cached_property
    def kernel_tables(self) -> PageSet:
        """KT: page tables of the kernel half, and the roots."""
        tables = PageSet((pfn, pfn + 1) for pfn in self._kernel_half.tables)
        return (tables | self.roots) & self._truth.ram

    @cached_property
    def kernel_pages(self) -> PageSet:
        """KL: RAM that the kernel half maps."""
        return PageSet(self._kernel_half.leaves) & self._truth.ram

    @cached_property
    def user_pages(self) -> PageSet:
        """UL: RAM that the user half of any process maps."""
        return PageSet(self._user_half.leaves) & self._truth.ram

    @cached_property
    def user_tables(self) -> PageSet:
        """UT: page tables of user halves, and the roots of all processes."""
        roots = PageSet((root // PAGE_SIZE, root // PAGE_SIZE + 1) for root in self.process_roots)
        return (PageSet((pfn, pfn + 1) for pfn in self._user_half.tables) | roots) & self._truth.ram

    def tables_of(self, root: int) -> PageSet:
        """The page tables of one user half, without its root."""
        found = mapped(self._truth, (root,), kernel=False).tables
        return PageSet((pfn, pfn + 1) for pfn in found) & self._truth.ram

    @cached_property
    def shared(self) -> PageSet:
        """Mapped by both halves, such as KUSER_SHARED_DATA: counted as the kernel's (spec kernel-mode 6.3 C9)."""
        return self.user_pages & self.kernel_pages

    @cached_property
    def clauses(self) -> tuple[Clause, ...]:
        """Every PFN of RAM is in one clause at least; of several, the first decides."""
        truth = self._truth
        if self.kind is Kind.SMALL:
            return (Clause("a small dump has no physical pages", Duty.NEVER, truth.ram),)
        added = Clause("added by a bug-check callback", Duty.MUST, truth.added)
        if self.kind is Kind.COMPLETE:
            return (added, Clause("memory of the machine", Duty.MUST, truth.ram))
        kernel = (
            added,
            Clause("page table of the kernel", Duty.MUST, self.kernel_tables),
            Clause("mapped by the kernel half", Duty.MUST, self.kernel_pages),
        )
        tables = Clause("page table of a user half", Duty.MAY, self.user_tables)
        if self.kind is Kind.KERNEL:
            return (
                *kernel,
                tables,
                Clause("memory of a user-mode application", Duty.NEVER, self.user_pages),
                Clause("memory that nothing maps", Duty.NEVER, truth.ram),
            )
        return (
            *kernel,
            tables,
            Clause("free or zeroed page", Duty.NEVER, truth.free),
            Clause("mapped by a user half", Duty.MUST, self.user_pages),
            Clause("neither free nor mapped", Duty.MAY, truth.ram),
        )

    def page(self, pfn: int) -> tuple[Duty, str]:
        """Whether the page must, may or never may be in the dump, and by which clause."""
        for clause in self.clauses:
            if pfn in clause.pages:
                return clause.duty, clause.name
        return Duty.NEVER, "not memory of the machine"

    def decided(self) -> tuple[Clause, ...]:
        """The clauses with only the pages that each of them decides; disjoint."""
        taken = PageSet()
        found = []
        for clause in self.clauses:
            found.append(Clause(clause.name, clause.duty, clause.pages - taken))
            taken = taken | clause.pages
        return tuple(found)

    @cached_property
    def required(self) -> PageSet:
        pages = PageSet()
        for clause in self.decided():
            if clause.duty is Duty.MUST:
                pages = pages | clause.pages
        return pages


def entitlement_of(truth: KernelTruth, kind: Kind) -> KernelEntitlement:
    """The entitlement, computed once for each truth and kind."""
    known = truth.known.get(kind)
    if not isinstance(known, KernelEntitlement):
        known = truth.known[kind] = KernelEntitlement(truth, kind)
    return known


def refusal(truth: KernelTruth, request: RequestTruth) -> str | None:
    """Why the request writes no kernel dump of the target; None when it writes one."""
    kind = kind_of(request.qualifier_value)
    if kind is None:
        return f"qualifier {request.qualifier_value} writes no dump of a kernel-mode target"
    if request.format_flags_value & _USER_FLAGS:
        return "DEBUG_FORMAT_USER_SMALL_* is for user-mode minidumps"
    if kind is not Kind.SMALL and truth.unreadable and truth.unreadable & entitlement_of(truth, kind).required:
        return "a page that belongs into it cannot be read"
    return None
