"""Judges the pages of a kernel dump against truth and request: which are in it, and their bytes."""

from __future__ import annotations

from collections.abc import Iterator

from ...case import KernelCase
from ...entitlement.duty import Duty
from ...entitlement.kernel import KernelEntitlement, entitlement_of
from ...entitlement.kernel_writers import Kind, engine_of
from ...memory.page import PAGE_SIZE
from ...memory.page_compare import differing, differing_pages, nonzero_pages
from ...memory.page_set import PageSet
from ...model import Fault, Grade, Level, Source, Span
from ...readers.kernel_dump import RANGES, KernelDump
from ...readers.kernel_pages import PageRuns
from ...rule import Checks, bad, kernel_rule, ok, own
from ...truth.kernel import KernelTruth
from .asserts import asked_kind, header_of, truth_of

_SHOWN = 20
"""Maximum number of runs of wrong pages that get a finding each."""


def _paged(case: KernelCase) -> bool:
    return own(case) and case.dump.paged


def entitlement(case: KernelCase) -> KernelEntitlement:
    kind = asked_kind(case)
    assert kind is not None
    assert case.request is not None
    return entitlement_of(truth_of(case), kind, case.request.contract)


def _present(dump: KernelDump, pages: PageSet) -> int:
    """Number of ``pages`` that are in the dump; the cost does not grow with it."""
    return sum(dump.pages.count(start, end) for start, end in pages.runs)


def _absent(dump: KernelDump, pages: PageSet) -> Iterator[tuple[int, int]]:
    """Yield the runs of ``pages`` that are not in the dump."""
    for start, end in pages.runs:
        if dump.pages.count(start, end) == end - start:
            continue
        at = start
        for base, count, _ in dump.pages.runs(start, end):
            if at < base:
                yield at, base
            at = base + count
        if at < end:
            yield at, end


def _missing(dump: KernelDump, pages: PageSet, why: str) -> Checks:
    """Check that all ``pages`` are in the dump."""
    total, there = pages.total, _present(dump, pages)
    if there:
        yield ok(why, there)
    left = total - there
    for index, (start, end) in enumerate(_absent(dump, pages)):
        if index == _SHOWN:
            break
        left -= end - start
        where = Span(start * PAGE_SIZE, end * PAGE_SIZE)
        yield bad(_name(start, end), f"in the dump ({why})", "not in the dump", fault=Fault.MISSING, memory=(where,))
    for _ in range(min(left, 1)):
        yield bad("further pages", f"in the dump ({why})", f"{left} are not in the dump", fault=Fault.MISSING)


def _forbidden(dump: KernelDump, pages: PageSet, why: str) -> Checks:
    """Check that none of ``pages`` is in the dump."""
    left = _present(dump, pages)
    if pages.total > left:
        yield ok(why, pages.total - left)
    if not left:
        return
    shown = 0
    for start, end in pages.runs:
        for base, count, offset in dump.pages.runs(start, end):
            shown += 1
            left -= count
            span = Span(offset, offset + count * PAGE_SIZE)
            yield bad(_name(base, base + count), f"not in the dump ({why})", "in the dump", span, fault=Fault.FORBIDDEN)
            if shown == _SHOWN:
                break
        if shown == _SHOWN:
            break
    if left:
        yield bad("further pages", f"not in the dump ({why})", f"{left} are in the dump", fault=Fault.FORBIDDEN)


def _name(start: int, end: int) -> str:
    return f"page {start:#x}" if end - start == 1 else f"pages {start:#x}..{end:#x}"


@kernel_rule(
    "KPAG-RAM-001",
    "The dump holds only memory of the machine",
    Level.MUST,
    Source("docs/format/kernel-kinds.md#sets-of-pages", Grade.DOCUMENTED),
    needs=("pages",),
    applies=_paged,
)
def only_ram(case: KernelCase) -> Checks:
    """A PFN outside RAM is a device, firmware, or a hole between merged runs. Its bytes are not memory. Engine 29507
    takes for RAM what MmPhysicalMemoryBlock lists.
    """
    dump = case.dump
    allowed = entitlement(case).ram | truth_of(case).added
    outside = PageSet([(0, 1 << 64)]) - allowed
    inside = _present(dump, allowed)
    if inside:
        yield ok("pages", inside)
    left = _present(dump, outside)
    for check in _forbidden(dump, outside, "not memory of the machine") if left else ():
        if not check.passed:
            yield check


@kernel_rule(
    "KPAG-ROOT-001",
    "The page of DirectoryTableBase is in the dump",
    Level.MUST,
    Source("docs/format/kernel-kinds.md#root-page-in-the-dump", Grade.IMPLEMENTED),
    needs=("header", "pages"),
    applies=lambda case: case.dump.paged and case.dump.architecture is not None,
)
def root_present(case: KernelCase) -> Checks:
    """Without the root page table no virtual address can be read."""
    space = case.dump.space
    root = header_of(case.dump)["DirectoryTableBase"] if space is None else space.root
    if case.dump.page(root // PAGE_SIZE) is not None:
        yield ok("root page table")
    else:
        span = header_of(case.dump).span_of("DirectoryTableBase")
        yield bad("root page table", f"page {root // PAGE_SIZE:#x}", "not in the dump", span, fault=Fault.MISSING)


@kernel_rule(
    "KPAG-ONCE-001",
    "Each page is in the dump once",
    Level.MUST,
    Source("docs/format/kernel-pages.md#order-of-runs", Grade.IMPLEMENTED),
    needs=("pages",),
    applies=lambda case: case.dump.paged,
)
def once(case: KernelCase) -> Checks:
    """If two copies of a page differ, readers disagree on which one counts. The vendor's engine reads overlapping runs
    of a range dump right if the copies are equal: without truth the rule looks only at copies that differ.
    """
    pages = case.dump.pages
    twice = pages.total - pages.distinct if isinstance(pages, PageRuns) else 0
    # A damaged run names more pages than a reader of reports can count.
    there = max(1, min(pages.total, case.dump.source.size // PAGE_SIZE))
    if twice and case.dump.type in RANGES and not own(case) and _copies_agree(case.dump):
        yield ok("pages", there)
    elif twice:
        yield bad("pages", "each once", f"{twice} more than once", fault=Fault.FORBIDDEN)
    elif pages.total:
        yield ok("pages", there)


def _copies_agree(dump: KernelDump) -> bool:
    """Whether all copies of a page are in the file and equal."""
    pages, source = dump.pages, dump.source
    assert isinstance(pages, PageRuns)
    for start, end, at in pages.repeated:
        if at + (end - start) * PAGE_SIZE > source.size:
            return False
        for pfn, count, first in pages.runs(start, end):
            size, again = count * PAGE_SIZE, at + (pfn - start) * PAGE_SIZE
            if any(differing(source, first, source, again, size)):
                return False
    return True


def _required(case: KernelCase, *names: str) -> Checks:
    for clause in entitlement(case).decided():
        if clause.duty is Duty.MUST and clause.name in names:
            yield from _missing(case.dump, clause.pages, clause.name)


def _never(case: KernelCase, *names: str) -> Checks:
    for clause in entitlement(case).decided():
        if clause.duty is Duty.NEVER and clause.name in names:
            yield from _forbidden(case.dump, clause.pages, clause.name)


@kernel_rule(
    "KPAG-COMPLETE-001",
    "A complete dump holds all memory of the machine",
    Level.MUST,
    Source("docs/format/kernel-kinds.md#complete-dump", Grade.DOCUMENTED),
    Source("docs/format/kernel-kinds.md#sets-of-pages", Grade.DOCUMENTED),
    needs=("pages",),
    applies=lambda case: _paged(case) and asked_kind(case) is Kind.COMPLETE,
)
def complete(case: KernelCase) -> Checks:
    """A complete dump holds every page of MmPhysicalMemoryBlock, in use or free."""
    yield from _required(case, "memory of the machine")


def _kernel_or_active(case: KernelCase) -> bool:
    return _paged(case) and asked_kind(case) in (Kind.KERNEL, Kind.ACTIVE)


@kernel_rule(
    "KPAG-KERNEL-001",
    "All kernel pages are in the dump",
    Level.MUST,
    Source("docs/format/kernel-kinds.md#kernel-dump", Grade.DOCUMENTED),
    Source("docs/format/kernel-kinds.md#sets-of-pages", Grade.DOCUMENTED),
    needs=("pages",),
    applies=_kernel_or_active,
)
def kernel_pages(case: KernelCase) -> Checks:
    """Kernel pages are the page tables of the kernel half and all pages that these map: kernel, HAL, drivers, pools,
    stacks. Engine 29507 takes pages in transition, too, and the page tables of the current process.
    """
    yield from _required(
        case,
        *("page table of the kernel", "mapped by the kernel half", "in transition in the kernel half"),
        "page table of the current process",
    )


@kernel_rule(
    "KPAG-ADDED-001",
    "Pages that a bug-check callback added are in the dump",
    Level.MUST,
    Source("docs/format/kernel-kinds.md#pages-added-by-callbacks", Grade.DOCUMENTED),
    needs=("pages",),
    applies=lambda case: _paged(case) and engine_of(case.request) is None,
)
def added_pages(case: KernelCase) -> Checks:
    """A driver requested the pages by number, whatever they hold. The engines do not know these requests."""
    yield from _missing(case.dump, truth_of(case).added, "added by a bug-check callback")


@kernel_rule(
    "KPAG-KERNEL-002",
    "A kernel dump holds no memory of user-mode applications",
    Level.MUST,
    Source("docs/format/kernel-kinds.md#kernel-dump", Grade.DOCUMENTED),
    Source("docs/format/kernel-kinds.md#sets-of-pages", Grade.DOCUMENTED),
    needs=("pages",),
    applies=lambda case: _paged(case) and asked_kind(case) is Kind.KERNEL,
)
def no_user_pages(case: KernelCase) -> Checks:
    """Users send kernel dumps to others because they expect no passwords and documents in them. Engine 29507 leaves out
    the page tables of other processes, too.
    """
    yield from _never(case, "memory of a user-mode application", "page table of another process")


@kernel_rule(
    "KPAG-KERNEL-003",
    "A kernel dump holds no unallocated memory",
    Level.MUST,
    Source("docs/format/kernel-kinds.md#kernel-dump", Grade.DOCUMENTED),
    Source("docs/format/kernel-kinds.md#sets-of-pages", Grade.DOCUMENTED),
    needs=("pages",),
    applies=lambda case: _paged(case) and asked_kind(case) is Kind.KERNEL,
)
def no_unallocated_pages(case: KernelCase) -> Checks:
    """A page that nothing maps is free, or belonged to a process that has ended."""
    yield from _never(case, "memory that nothing maps")


@kernel_rule(
    "KPAG-TABLES-001",
    "A kernel dump holds all page tables of a user half, or none",
    Level.SHOULD,
    Source("docs/format/kernel-kinds.md#user-page-tables-in-a-kernel-dump", Grade.OBSERVED),
    needs=("pages",),
    applies=lambda case: _paged(case) and asked_kind(case) is Kind.KERNEL,
)
def user_tables(case: KernelCase) -> Checks:
    """The rule judges each process, because a writer may include only the tables of the current one. With some of the
    tables only a part of the address space would translate. Root pages do not count, because they also serve the kernel
    half.
    """
    rights = entitlement(case)
    others = rights.kernel_tables | rights.kernel_pages | truth_of(case).added
    for root in rights.process_roots:
        tables = rights.tables_of(root) - others
        there = _present(case.dump, tables)
        subject = f"user page tables below root {root:#x}"
        if there in (0, tables.total):
            yield ok(subject, max(tables.total, 1))
        else:
            yield bad(subject, ("all", "none"), f"{there} of {tables.total}")


@kernel_rule(
    "KPAG-ACTIVE-001",
    "An active dump holds the memory that applications use",
    Level.MUST,
    Source("docs/format/kernel-kinds.md#active-dump", Grade.DOCUMENTED),
    Source("docs/format/kernel-kinds.md#sets-of-pages", Grade.DOCUMENTED),
    needs=("pages",),
    applies=lambda case: _paged(case) and asked_kind(case) is Kind.ACTIVE,
)
def active_user_pages(case: KernelCase) -> Checks:
    """Applications use the pages that the user half of a process maps. Which pages in transition belong to the dump is
    unknown. Engine 29507 takes all pages in use.
    """
    yield from _required(case, "mapped by a user half", "active page")


@kernel_rule(
    "KPAG-ACTIVE-002",
    "An active dump holds no free pages",
    Level.MUST,
    Source("docs/format/kernel-kinds.md#active-dump", Grade.DOCUMENTED),
    Source("docs/format/kernel-kinds.md#sets-of-pages", Grade.DOCUMENTED),
    needs=("pages",),
    applies=lambda case: _paged(case) and asked_kind(case) is Kind.ACTIVE,
)
def active_no_free_pages(case: KernelCase) -> Checks:
    """Free and zeroed pages have no useful content. An active dump exists to leave them out."""
    yield from _never(case, "free or zeroed page")


@kernel_rule(
    "KPAG-SHARED-001",
    "Every page that both halves map is in the dump",
    Level.MUST,
    Source("docs/format/kernel-kinds.md#page-of-both-halves", Grade.INFERRED),
    needs=("pages",),
    applies=_kernel_or_active,
)
def shared_pages(case: KernelCase) -> Checks:
    """The most important one is KUSER_SHARED_DATA. Without it tools cannot tell the version of Windows."""
    yield from _missing(case.dump, entitlement(case).shared, "mapped by both halves")


@kernel_rule(
    "KPAG-BYTES-001",
    "Every page holds the machine's bytes",
    Level.MUST,
    Source("docs/format/kernel-pages.md#bytes-of-a-page", Grade.WITNESSED, versions=("29507",)),
    Source("docs/format/kernel-pages.md#bytes-of-a-page", Grade.DOCUMENTED),
    needs=("pages",),
    applies=_paged,
)
def page_bytes(case: KernelCase) -> Checks:
    """Only this rule finds a page at the wrong place, a page that changed after the capture, or zeros in place of data.
    Pages that the machine could not read are not compared.
    """
    dump, truth = case.dump, truth_of(case)
    readable = (truth.ram | truth.added) - truth.unreadable
    for start, end in (truth.unreadable & truth.ram).runs:
        for _, count, offset in dump.pages.runs(start, end):
            dump.dont_care(Span(offset, offset + count * PAGE_SIZE), "a page that the machine could not read")
    for low, high in readable.runs:
        for base, count, offset in dump.pages.runs(low, high):
            there = min(count, max(dump.source.size - offset, 0) // PAGE_SIZE)
            if not there:
                return
            yield from _compare(dump, truth, base, there, offset)


def _compare(dump: KernelDump, truth: KernelTruth, base: int, count: int, offset: int) -> Checks:
    failures = 0
    for pfn, pages, there in truth.pieces(base, count):
        at = offset + (pfn - base) * PAGE_SIZE
        if there is None:
            wrong = nonzero_pages(dump.source, at, pages)
        else:
            wrong = differing_pages(dump.source, at, truth.contents, there, pages * PAGE_SIZE)
        for index in wrong:
            failures += 1
            held = dump.source.read(at + index * PAGE_SIZE, PAGE_SIZE)
            wanted = bytes(PAGE_SIZE) if there is None else truth.contents.read(there + index * PAGE_SIZE, PAGE_SIZE)
            byte = next(i for i in range(PAGE_SIZE) if held[i] != wanted[i])
            start = at + index * PAGE_SIZE + byte
            yield bad(
                f"page {pfn + index:#x}, byte {byte:#x}",
                wanted[byte : byte + 8].hex(),
                held[byte : byte + 8].hex(),
                Span(start, at + (index + 1) * PAGE_SIZE),
            )
    if count > failures:
        yield ok("pages", count - failures)
