"""Every byte of a golden dump is judged or declared as don't-care, and no damaged golden breaks the judge."""

from __future__ import annotations

import random
import tracemalloc
from collections.abc import Iterator
from itertools import groupby

import pytest
from dumptruth.emu.writer.layout import LayoutMap
from dumptruth.fixtures.campaign.campaign import Of, Result, campaign, chosen, examine, lines
from dumptruth.fixtures.campaign.mutations import Mutation, mutations, path_of
from dumptruth.fixtures.campaign.subjects import Subject, golden_names, names, subject
from dumptruth.oracle import Outcome

MOST_DONT_CARE = 0.0014
"""Share of don't-care bytes in all goldens. It may only fall."""
MOST_EXCUSED = 0.00181
"""Share of the bytes in all goldens whose change no rule reports, for a reason. It may only fall."""
LIMIT = 0.005
FLIPS, CUTS, MUTATIONS, HOSTILE = 2, 1, 3, 1
"""Number of mutations of each dump in every test run."""
NEIGHBOURS = 3
EXTREMES = {"all ones", "largest signed", "smallest signed", "doubled", "complement"}
"""The worst values of a count or an offset."""
CEILING = 48 << 20
"""Memory in bytes that judging one of these dumps may take, whatever its counts say."""
WHOLE = 0.03
"""The least number of mutations in the campaign."""
LEAST = 200_000


def test_the_share_of_dont_care_bytes_is_small_and_only_falls() -> None:
    free = total = 0
    for name in golden_names():
        of = subject(name)
        report = of.judge(of.data)
        here = report.dont_care + (0 if report.member is None else report.member.dont_care)
        free += here
        total += report.size
        print(f"{name}: {here} of {report.size} bytes ({here / report.size:.2%})")
    print(f"all: {free} of {total} bytes ({free / total:.3%})")
    assert free / total <= MOST_DONT_CARE <= LIMIT


def mutated(of: Subject, count: int) -> list[Mutation]:
    """The given number of mutations of a few neighbouring parts: the same ones in every run."""
    chance = random.Random(of.name)
    start = chance.randrange(len(of.layout.entries))
    found: list[Mutation] = []
    while len(found) < count:
        window = [of.layout.entries[(start + at) % len(of.layout.entries)] for at in range(NEIGHBOURS)]
        found += mutations(of.data, LayoutMap(sorted(window, key=lambda entry: entry.offset), []))
        start += NEIGHBOURS
    return chance.sample(found, count)


def spoilt(of: Subject) -> list[Mutation]:
    """A sample of flipped bytes, truncations and mutations of one dump."""
    data = of.data
    places = random.Random(of.name).sample(range(len(data)), FLIPS + CUTS)
    flips = [Mutation("turned over", path_of(of.layout, at), at, 1, bytes([data[at] ^ 0xFF])) for at in places[CUTS:]]
    cuts = [Mutation("file cut", path_of(of.layout, at), at, len(data) - at, b"") for at in places[:CUTS]]
    return [*flips, *cuts, *mutated(of, MUTATIONS)]


@pytest.mark.parametrize("name", names())
def test_a_sample_of_all_damage_to_a_dump_is_noticed(name: str) -> None:
    of = subject(name)
    assert of.judge(of.data, strict=True).outcome is Outcome.CONFORMANT
    found = examine(of, spoilt(of))
    assert found.survivors == []
    assert found.total == FLIPS + CUTS + MUTATIONS
    assert found.noticed > found.advised


def hostile(of: Subject) -> Iterator[Mutation]:
    return (item for item in Of.MUTATIONS.made(of) if item.operator in EXTREMES)


def peak(of: Subject, items: list[Mutation]) -> int:
    """Peak memory in bytes of judging any of them, with truth and without."""
    most = 0
    for item in items:
        data = item.apply(of.data)
        tracemalloc.start()
        try:
            of.judge(data)
            of.alone(data)
            most = max(most, tracemalloc.get_traced_memory()[1])
        finally:
            tracemalloc.stop()
    return most


@pytest.mark.parametrize("name", golden_names()[::9])
def test_an_extreme_number_in_a_golden_costs_no_memory(name: str) -> None:
    of = subject(name)
    of.judge(of.data)
    assert peak(of, random.Random(name).choices(list(hostile(of)), k=HOSTILE)) < CEILING


@pytest.mark.slow
@pytest.mark.parametrize("name", names())
def test_every_kind_of_extreme_number_in_every_dump_costs_no_memory(name: str) -> None:
    of = subject(name)
    of.judge(of.data)
    chance = random.Random(name)
    kinds = groupby(sorted(hostile(of), key=kind_of), key=kind_of)
    assert peak(of, [chance.choice(list(items)) for _, items in kinds]) < CEILING


def kind_of(item: Mutation) -> str:
    """The field without the number of its record in a list."""
    return "".join(letter for letter in item.path if not letter.isdigit())


def examined(of: list[str], what: Of, share: float = 1.0) -> Result:
    """The whole campaign. It must leave no survivor."""
    whole = Result()
    found = list(campaign(of, what, share))
    print("\n" + "\n".join(lines(found)))
    for _, result in found:
        whole.add(result)
    assert whole.survivors == []
    return whole


@pytest.mark.slow
def test_every_byte_of_every_golden_is_examined() -> None:
    found = examined(list(golden_names()), Of.BYTES)
    assert sum(found.excused.values()) <= MOST_EXCUSED * found.total


@pytest.mark.slow
def test_a_golden_cut_at_any_length_is_noticed() -> None:
    found = examined(list(golden_names()), Of.CUTS)
    assert found.noticed == found.total


@pytest.mark.slow
def test_the_campaign_is_large_and_nothing_survives_without_a_reason() -> None:
    assert examined(names(), Of.MUTATIONS, WHOLE).total >= LEAST


def test_a_share_is_the_same_mutations_every_time_and_others_of_every_dump() -> None:
    one, other = subject("user/streams/two"), subject("user/streams/unknown")
    some = list(chosen(one, share=0.01))
    assert some == list(chosen(one, share=0.01))
    assert 200 < len(some) < 800
    assert {(item.operator, item.path) for item in some} != {
        (item.operator, item.path) for item in chosen(other, share=0.01)
    }


def test_every_byte_of_the_headers_of_a_small_dump_is_examined() -> None:
    of = subject("pristine/small")
    head = of.layout.section("Directory").end
    found = examine(of, (item for item in Of.BYTES.made(of) if item.at < head))
    assert (found.total, found.noticed + found.advised, found.survivors) == (head, head - 2, [])
    assert [(path, count) for (path, _), count in found.excused.items()] == [("Header.Version", 2)]
