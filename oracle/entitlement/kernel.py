"""What a kernel dump must, may and must not hold, page by page.

The sets are those of docs/format/kernel-kinds.md#sets-of-pages. The oracle's own walk of the page tables in the truth
computes them. The walk skips the self-map, a root entry that points at its own root, because it maps page tables only.

The contract of the request decides between them. Under ``documented`` a dump holds what the vendor's pages promise,
and may hold what any writer takes. Under ``e29507`` it holds what that engine takes:
#what-the-engine-takes-for-default and #what-the-engine-takes-for-active of the same page. What the engine leaves out by
an error is still demanded; the failure names the error.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from struct import unpack

from ..memory.page import PAGE_SIZE
from ..memory.page_set import PageSet
from ..memory.walk import MODES, PRESENT, SHARED_HALF, Mapped, mapped
from ..truth.kernel import KernelTruth
from ..truth.process import RequestTruth
from .cache import computed_once
from .duty import Duty
from .kernel_writers import E15063, E29507, Kind, engine_of

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


_MAX_RUNS = 42
"""docs/format/kernel-pages.md#number-of-runs."""


def kind_of(qualifier: int) -> Kind | None:
    """The kind that ``qualifier`` asks for; None if it asks for no kernel dump."""
    return _KINDS.get(qualifier)


def dump_types(request: RequestTruth) -> tuple[int, ...]:
    """The DumpTypes that a dump for ``request`` may have; none if the request asks for no kernel dump.

    An engine has one type for a kind. Under ``documented`` the profile chooses.
    """
    kind = kind_of(request.qualifier_value)
    engine = engine_of(request)
    if kind is not None and engine is not None:
        return (engine.types[kind],) if kind in engine.types else ()
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
    """What a dump of ``kind`` of the target ``truth`` must, may and must not hold under ``contract``."""

    def __init__(self, truth: KernelTruth, kind: Kind, contract: str = "documented") -> None:
        self._truth = truth
        self.kind = kind
        self._engine = contract == E29507.name

    @cached_property
    def ram(self) -> PageSet:
        """RAM. Engine 29507 knows what the memory map of the target lists.

        docs/format/kernel-kinds.md#ram-map-of-the-engine
        """
        listed = self._truth.listed if self._engine else None
        return self._truth.ram if listed is None else self._truth.ram & listed

    @cached_property
    def _kernel_half(self) -> Mapped:
        truth = self._truth
        return mapped(truth, _walked(truth), kernel=True, levels=truth.paging_levels)

    @cached_property
    def _user_half(self) -> Mapped:
        return mapped(self._truth, tuple(self.process_roots), kernel=False, levels=self._truth.paging_levels)

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
        return (tables | self.roots) & self.ram

    @cached_property
    def kernel_pages(self) -> PageSet:
        """KL: the pages of RAM that the kernel half maps by pages of 4 KiB and 2 MiB."""
        return PageSet(self._kernel_half.leaves) & self.ram

    @cached_property
    def gigantic(self) -> PageSet:
        """Pages of RAM that the kernel half maps by pages of 1 GiB."""
        return PageSet(self._kernel_half.gigantic) & self.ram

    @cached_property
    def transition(self) -> PageSet:
        """Pages of RAM to which entries in transition of the kernel half lead."""
        return PageSet(self._kernel_half.transition) & self.ram

    @cached_property
    def user_pages(self) -> PageSet:
        """UL: the pages of RAM that the user half of any process maps."""
        return PageSet((*self._user_half.leaves, *self._user_half.gigantic)) & self.ram

    @cached_property
    def user_tables(self) -> PageSet:
        """UT: the page tables of user halves, and the roots of all processes."""
        roots = PageSet((root // PAGE_SIZE, root // PAGE_SIZE + 1) for root in self.process_roots)
        return (PageSet((pfn, pfn + 1) for pfn in self._user_half.tables) | roots) & self.ram

    def tables_of(self, root: int) -> PageSet:
        """The page tables of the user half below ``root``, without the root itself."""
        found = mapped(self._truth, (root,), kernel=False, levels=self._truth.paging_levels).tables
        return PageSet((pfn, pfn + 1) for pfn in found) & self.ram

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
        promised = (Clause("added by a bug-check callback", Duty.MUST, truth.added),)
        ignored = (Clause("added by a bug-check callback", Duty.MAY, truth.added),)
        first, last = ((), ignored) if self._engine else (promised, ())
        unlisted = (Clause("memory that the memory map does not list", Duty.NEVER, truth.ram),)
        if self.kind is Kind.COMPLETE:
            return (*first, Clause("memory of the machine", Duty.MUST, self.ram), *last, *unlisted)
        kernel = (
            *first,
            Clause("page table of the kernel", Duty.MUST, self.kernel_tables),
            Clause("mapped by the kernel half", Duty.MUST, self.kernel_pages),
            Clause("mapped by a 1 GiB page of the kernel half", Duty.MAY, self.gigantic),
            Clause("in transition in the kernel half", Duty.MUST if self._engine else Duty.MAY, self.transition),
            *last,
        )
        if self.kind is Kind.KERNEL:
            return (
                *kernel,
                *self._tables_of_user_halves(),
                Clause("memory of a user-mode application", Duty.NEVER, self.user_pages),
                Clause("memory that nothing maps", Duty.NEVER, truth.ram),
            )
        standby = (Clause("standby or modified page", Duty.MAY, truth.standby),) if self._engine else ()
        rest = "active page" if self._engine else "neither free nor mapped"
        return (
            *kernel,
            Clause("page table of a user half", Duty.MAY, self.user_tables),
            Clause("free or zeroed page", Duty.NEVER, truth.free),
            Clause("mapped by a user half", Duty.MUST, self.user_pages),
            *standby,
            Clause(rest, Duty.MUST if self._engine else Duty.MAY, self.ram),
            *unlisted,
        )

    def _tables_of_user_halves(self) -> tuple[Clause, ...]:
        """The engine reaches the tables of one process through the self-map, and no others."""
        if not self._engine:
            return (Clause("page table of a user half", Duty.MAY, self.user_tables),)
        walked = _walked(self._truth)
        current = PageSet()
        for root in walked:
            current = current | self.tables_of(root)
        certain = len(walked) == 1 and _has_self_map(self._truth, walked[0])
        return (
            Clause("page table of the current process", Duty.MUST if certain else Duty.MAY, current),
            Clause("page table of another process", Duty.NEVER, self.user_tables),
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


def _walked(truth: KernelTruth) -> tuple[int, ...]:
    """The roots whose kernel half belongs to a dump: that in use, and that of System."""
    return tuple(dict.fromkeys((truth.system_directory_table_base, truth.directory_table_base)))


def _has_self_map(truth: KernelTruth, root: int) -> bool:
    """Whether an entry of the root page table leads to that table."""
    page = truth.page(root // PAGE_SIZE)
    frame = MODES["amd64"].frame_mask
    entries = () if page is None else unpack("<512Q", page)
    return any(entry & PRESENT and entry & frame == root & frame for entry in entries[SHARED_HALF:])


def skipped_by_the_engine(truth: KernelTruth, roots: tuple[int, ...]) -> PageSet:
    """The pages of the kernel half that 29507 leaves out of range dumps, although it takes pages of their sort.

    It skips entry 511 of page-directory-pointer tables and of page directories
    (docs/format/kernel-kinds.md#what-the-engine-takes-for-default).
    """
    levels = truth.paging_levels
    found = mapped(truth, roots, kernel=True, levels=levels)
    taken = mapped(truth, roots, kernel=True, levels=levels, last_entries=False)
    return _all_pages(found) - _all_pages(taken)


def _all_pages(half: Mapped) -> PageSet:
    tables = ((pfn, pfn + 1) for pfn in half.tables)
    return PageSet((*half.leaves, *half.transition, *tables))


def entitlement_of(truth: KernelTruth, kind: Kind, contract: str = "documented") -> KernelEntitlement:
    """The entitlement, computed once for each truth, kind and contract."""
    return computed_once(truth, (kind, contract), lambda: KernelEntitlement(truth, kind, contract))


def refusal(truth: KernelTruth, request: RequestTruth) -> str | None:
    """Why a writer must refuse the request; None if it must write a kernel dump."""
    kind = kind_of(request.qualifier_value)
    if kind is None:
        return f"qualifier {request.qualifier_value} writes no dump of a kernel-mode target"
    if request.format_flags_value & _USER_FLAGS:
        return "DEBUG_FORMAT_USER_SMALL_* is for user-mode minidumps"
    if request.contract == E15063.name and kind not in E15063.types:
        return f"engine 15063 writes no {kind} dump"
    if request.contract == E15063.name and kind is Kind.COMPLETE and len(truth.physical_runs) > _MAX_RUNS:
        return f"engine 15063 writes no more than {_MAX_RUNS} runs"
    if kind is Kind.SMALL or not truth.unreadable:
        return None
    # An engine reads all of RAM first: docs/format/kernel-kinds.md#qualifiers-in-the-engine-by-version.
    required = entitlement_of(truth, kind, request.contract).required
    if truth.unreadable & (required if engine_of(request) is None else truth.ram):
        return "a page that the dump must hold cannot be read"
    return None
