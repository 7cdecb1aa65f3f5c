"""The data of a report's maps: regions of the file, and the target's memory by state."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise

import pytest
from dumptruth.fixtures.mutants import all_mutants, kernel_pristine, pristine
from dumptruth.fixtures.mutants.registry import BaseDump, Mutant, MutatedDump
from dumptruth.fixtures.vectors.target import case_of
from dumptruth.oracle import ByteSource, Dump, KernelDump, Span, check, read_kernel, read_minidump
from dumptruth.oracle.readers.reading import Claim, Owner
from dumptruth.oracle.readers.userdump_facts import UserDump
from dumptruth.oracle.report.file_regions import FileRegion, Part, file_regions
from dumptruth.oracle.report.memory_map import memory_map
from dumptruth.oracle.report.memory_model import MemoryMap, State, landmarks_in
from dumptruth.oracle.report.subjects import Subject, findings_inside, subjects
from hypothesis import given
from hypothesis import strategies as st


def regions_of(claims: Iterable[Claim], size: int) -> list[FileRegion]:
    dump = Dump(ByteSource(bytes(size)))
    dump.claims.extend(claims)
    return list(file_regions(dump))


def inner(data: bytes) -> Subject:
    """The dump: the file itself, or the member of a cabinet."""
    return subjects(ByteSource(data))[-1]


def map_of(base: BaseDump, spoilt: bytes | MutatedDump | None = None) -> MemoryMap:
    made = case_of(base)
    fault = spoilt if isinstance(spoilt, MutatedDump) else MutatedDump(made.data if spoilt is None else spoilt)
    subject = inner(fault.data)
    if base.foreign:
        return memory_map(subject.reading)
    judged = fault.truth or made.truth, fault.asked or made.asked
    report = check(ByteSource(fault.data), *judged)
    return memory_map(subject.reading, *judged, findings_inside(report, subject))


@given(
    st.lists(
        st.tuples(st.integers(0, 60), st.integers(1, 20), st.sampled_from(Owner), st.booleans(), st.sampled_from("ab")),
        max_size=12,
    ),
    st.integers(0, 64),
)
def test_every_byte_is_in_one_region_and_a_double_claim_is_an_overlap(
    drawn: list[tuple[int, int, Owner, bool, str]], size: int
) -> None:
    claims = [Claim(start, start + length, label, owner, shared) for start, length, owner, shared, label in drawn]
    regions = regions_of(claims, size)
    assert [region.start for region in regions[:1]] == [0] * bool(size)
    assert [region.end for region in regions[-1:]] == [size] * bool(size)
    assert all(one.end == two.start for one, two in pairwise(regions))
    distinct = {claim if not claim.shared else claim.span for claim in claims}
    # Not a set: two equal claims that are not shared are an overlap.
    spans = [claim.span for claim in claims if not claim.shared] + [span for span in distinct if isinstance(span, Span)]
    for region in regions:
        for byte in range(region.start, region.end):
            owners = sum(span.start <= byte < span.end for span in spans)
            wanted = {0: region.part is Part.UNCLAIMED, 1: region.part not in (Part.UNCLAIMED, Part.OVERLAP)}
            assert wanted.get(owners, region.part is Part.OVERLAP), (byte, region)
        assert bool(region.label) == (region.part is not Part.UNCLAIMED)


@pytest.mark.parametrize("base", BaseDump)
def test_the_regions_of_a_pristine_dump_are_its_bytes_and_none_is_unclaimed(base: BaseDump) -> None:
    found = subjects(ByteSource(case_of(base).data))
    assert [subject.inside is None for subject in found] == [True, False][: len(found)]
    for subject in found:
        dump = subject.reading
        regions = list(file_regions(dump))
        assert sum(region.end - region.start for region in regions) == dump.source.size
        assert not {region.part for region in regions} & {Part.UNCLAIMED, Part.OVERLAP}
        assert regions[0].part is Part.HEADER
        if isinstance(dump, Dump):
            assert {Part.STREAM, Part.STRING, Part.CONTEXT, Part.MEMORY} <= {region.part for region in regions}


@pytest.mark.parametrize("base", BaseDump)
def test_the_memory_of_a_pristine_dump_is_as_required_and_all_of_it_is_on_the_map(base: BaseDump) -> None:
    found = map_of(base)
    assert found.complete
    assert not any(region.state.faulty for region in found.regions)
    assert all(one.end <= two.start for one, two in pairwise(found.regions))
    assert all((region.offset is not None) == region.state.there for region in found.regions)
    dump = inner(case_of(base).data).reading
    assert isinstance(dump, Dump | KernelDump | UserDump)
    if isinstance(dump, KernelDump) and dump.paged:
        paged, held = True, dump.pages.total * 0x1000
    else:
        paged, held = False, sum(end - start for start, end in dump.captured())
    assert found.space == ("physical" if paged else "virtual")
    assert sum(region.size for region in found.regions if region.state.there) == held
    assert found.judged == (not base.foreign and (paged or not base.kernel))


FAULTS = {
    "TRUE-UDMP-REGION-001": State.MISSING,
    "TRUE-UDMP-REGION-002": State.FORBIDDEN,
    "TRUE-UDMP-MEMORY-001": State.WRONG,
    "PAGE-REQUIRED": State.MISSING,
    "PAGE-FORBIDDEN": State.FORBIDDEN,
    "PAGE-BYTES": State.WRONG,
    "KPAG-COMPLETE": State.MISSING,
    "KPAG-KERNEL-001": State.MISSING,
    "KPAG-KERNEL-002": State.FORBIDDEN,
    "KPAG-KERNEL-003": State.FORBIDDEN,
    "KPAG-ACTIVE-001": State.MISSING,
    "KPAG-ACTIVE-002": State.FORBIDDEN,
    "KPAG-RAM": State.FORBIDDEN,
    "KPAG-BYTES": State.WRONG,
}


@pytest.mark.parametrize(
    "mutant",
    [mutant for mutant in all_mutants().values() if any(mutant.rule.startswith(prefix) for prefix in FAULTS)],
    ids=lambda mutant: mutant.id,
)
def test_the_map_of_a_mutant_shows_the_fault_that_the_rule_finds(mutant: Mutant) -> None:
    found = map_of(mutant.base, mutant.make(case_of(mutant.base)))
    state = next(state for prefix, state in FAULTS.items() if mutant.rule.startswith(prefix))
    assert found.total(state), {region.state for region in found.regions}


def test_a_byte_of_the_file_is_found_in_memory_and_names_lie_where_they_are() -> None:
    made = pristine.pristine(BaseDump.DEFAULT)
    dump = read_minidump(ByteSource(made.data))
    found = memory_map(dump, made.truth, made.asked)
    for item in dump.memory:
        for offset in (item.offset, item.offset + item.size - 1):
            address = found.at_offset(offset)
            assert address is not None
            assert dump.read_memory(address, 1) == made.data[offset : offset + 1]
    assert found.at_offset(0) is None
    module = dump.modules[0]
    assert module.name is not None
    assert landmarks_in(found.landmarks, module.base, module.base + 1) == [module.name.text.rpartition("\\")[2]]
    assert landmarks_in(found.landmarks, 0x1000, 0x2000) == []


def test_a_cut_kernel_dump_misses_the_pages_that_it_names() -> None:
    made = kernel_pristine.pristine(BaseDump.KERNEL_DEFAULT)
    found = memory_map(read_kernel(ByteSource(made.data[: len(made.data) // 2])))
    whole = memory_map(read_kernel(ByteSource(made.data)))
    assert not whole.total(State.MISSING)
    assert found.total(State.MISSING) + found.total(State.PRESENT) == whole.total(State.PRESENT)
    assert found.total(State.MISSING) > 0x1000


def test_bytes_that_many_structures_claim_are_one_region_with_the_number_of_the_others() -> None:
    claims = [Claim(10 + index, 20 + index, f"range {index}") for index in range(1000)]
    assert regions_of(claims, 2000) == [
        (0, 10, Part.UNCLAIMED, ""),
        (10, 11, Part.RECORD, "range 0"),
        (11, 1018, Part.OVERLAP, "range 0, range 1 and 998 more"),
        (1018, 1019, Part.RECORD, "range 999"),
        (1019, 2000, Part.UNCLAIMED, ""),
    ]


def test_overlaps_that_only_touch_are_one_region_and_count_each_claim_once() -> None:
    claims = [Claim(0, 6, "a"), Claim(2, 4, "b"), Claim(4, 8, "c"), Claim(6, 7, "d")]
    assert regions_of(claims, 8) == [
        (0, 2, Part.RECORD, "a"), (2, 7, Part.OVERLAP, "a, b and 2 more"), (7, 8, Part.RECORD, "c"),
    ]  # fmt: skip
