"""What a kernel dump must, may and must not hold, page by page.

The sets are those of docs/format/kernel-kinds.md#sets-of-pages. The oracle's own walk of the page tables in the truth
computes them. The walk skips the self-map, a root entry that points at its own root, because it maps page tables only.
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
from .cache import computed_once
from .clauses import Duty


class Kind(StrEnum):
    """The kind of kernel dump that a qualifier asks for."""

    SMALL = "small"
    KERNEL = "kernel"
    COMPLETE = "complete"
    ACTIVE = "active"


# DbgEng.h DEBUG_DUMP_SMALL, DEFAULT, FULL, ACTIVE: docs/format/kernel-kinds.md#qualifiers
_KINDS = {1024: Kind.SMALL, 1025: Kind.KERNEL, 1026: Kind.COMPLETE, 1030: Kind.ACTIVE}

# Profile -> kind -> the DumpTypes that it may write: docs/format/kernel-kinds.md#type-for-each-kind. Profiles portable
# and classic leave open whether an active dump has a bitmap or ranges, so both are accepted.
_TYPES: dict[str, dict[Kind, tuple[int, ...]]] = {
    "portable": {Kind.COMPLETE: (1,), Kind.KERNEL: (6,), Kind.SMALL: (4,), Kind.ACTIVE: (6, 9)},
    "classic": {Kind.COMPLETE: (1,), Kind.KERNEL: (2,), Kind.SMALL: (4,), Kind.ACTIVE: (6, 9)},
    "bitmap": {Kind.COMPLETE: (5,), Kind.KERNEL: (6,), Kind.SMALL: (4,), Kind.ACTIVE: (6,)},
    "ranges": {Kind.COMPLETE: (10,), Kind.KERNEL: (8,), Kind.SMALL: (4,), Kind.ACTIVE: (9,)},
    "header": dict.fromkeys(Kind, (3,)),
}
_USER_FLAGS = 0x0FFF_FFFF
"""DEBUG_FORMAT_USER_SMALL_*: valid for user minidumps only
(docs/format/write-dump-file.md#user-flags-in-a-kernel-session)."""


def kind_of(qualifier: int) -> Kind | None:
    """The kind that ``qualifier`` asks for; None if it asks for no kernel dump."""
    return _KINDS.get(qualifier)


def dump_types(request: RequestTruth) -> tuple[int, ...]:
    """The DumpTypes that a dump for ``request`` may have; none if the request asks for no kernel dump."""
    kind = kind_of(request.qualifier_value)
    # The profiles of user mode mean ``portable`` in kernel mode.
    types = _TYPES.get(request.profile, _TYPES["portable"])
    return () if kind is None else types[kind]


@dataclass(frozen=True, slots=True)
class Clause:
    """Pages with the same duty, and the reason."""

    name: str
    duty: Duty
    pages: PageSet


class KernelEntitlement:
    """What a dump of ``kind`` of the target ``truth`` must, may and must not hold."""

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
        """The physical addresses of all root page tables."""
        truth = self._truth
        held = (process.directory_table_base for process in truth.processes)
        return list(dict.fromkeys((truth.system_directory_table_base, truth.directory_table_base, *held)))

    @cached_property
    def roots(self) -> PageSet:
        """The root pages that map kernel memory for a reader: the root in use, and that of System."""
        truth = self._truth
        roots = (truth.system_directory_table_base // PAGE_SIZE, truth.directory_table_base // PAGE_SIZE)
        return PageSet((pfn, pfn + 1) for pfn in roots)

    @cached_property
    def kernel_tables(self) -> PageSet:
        """KT: the page tables of the kernel half, and their roots."""
        tables = PageSet((pfn, pfn + 1) for pfn in self._kernel_half.tables)
        return (tables | self.roots) & self._truth.ram

    @cached_property
    def kernel_pages(self) -> PageSet:
        """KL: the pages of RAM that the kernel half maps."""
        return PageSet(self._kernel_half.leaves) & self._truth.ram

    @cached_property
    def user_pages(self) -> PageSet:
        """UL: the pages of RAM that the user half of any process maps."""
        return PageSet(self._user_half.leaves) & self._truth.ram

    @cached_property
    def user_tables(self) -> PageSet:
        """UT: the page tables of user halves, and the roots of all processes."""
        roots = PageSet((root // PAGE_SIZE, root // PAGE_SIZE + 1) for root in self.process_roots)
        return (PageSet((pfn, pfn + 1) for pfn in self._user_half.tables) | roots) & self._truth.ram

    def tables_of(self, root: int) -> PageSet:
        """The page tables of the user half below ``root``, without the root itself."""
        found = mapped(self._truth, (root,), kernel=False).tables
        return PageSet((pfn, pfn + 1) for pfn in found) & self._truth.ram

    @cached_property
    def shared(self) -> PageSet:
        """Pages that both halves map, such as KUSER_SHARED_DATA. They count as the kernel's.

        Source: docs/format/kernel-kinds.md#page-of-both-halves.
        """
        return self.user_pages & self.kernel_pages

    @cached_property
    def clauses(self) -> tuple[Clause, ...]:
        """The clauses in order of precedence: the first that holds a page decides. Together they hold all of RAM."""
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
        """The duty for the page, and the clause that decides it."""
        for clause in self.clauses:
            if pfn in clause.pages:
                return clause.duty, clause.name
        return Duty.NEVER, "not memory of the machine"

    def decided(self) -> tuple[Clause, ...]:
        """The clauses, each with only the pages that it decides. Their pages are disjoint."""
        taken = PageSet()
        found = []
        for clause in self.clauses:
            found.append(Clause(clause.name, clause.duty, clause.pages - taken))
            taken = taken | clause.pages
        return tuple(found)

    @cached_property
    def required(self) -> PageSet:
        """The pages that the dump must hold."""
        pages = PageSet()
        for clause in self.decided():
            if clause.duty is Duty.MUST:
                pages = pages | clause.pages
        return pages


def entitlement_of(truth: KernelTruth, kind: Kind) -> KernelEntitlement:
    """The entitlement, computed once for each truth and kind."""
    return computed_once(truth, kind, lambda: KernelEntitlement(truth, kind))


def refusal(truth: KernelTruth, request: RequestTruth) -> str | None:
    """Why a writer must refuse the request; None if it must write a kernel dump."""
    kind = kind_of(request.qualifier_value)
    if kind is None:
        return f"qualifier {request.qualifier_value} writes no dump of a kernel-mode target"
    if request.format_flags_value & _USER_FLAGS:
        return "DEBUG_FORMAT_USER_SMALL_* is for user-mode minidumps"
    if kind is not Kind.SMALL and truth.unreadable and truth.unreadable & entitlement_of(truth, kind).required:
        return "a page that the dump must hold cannot be read"
    return None
