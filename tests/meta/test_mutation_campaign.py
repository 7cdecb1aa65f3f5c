"""The mutation campaign: whatever a byte, a field or a part suffers is noticed, or has a reason not to be."""

from __future__ import annotations

import pytest
from dumptruth.emu.writer.layout import Entry, LayoutMap
from dumptruth.fixtures.campaign import Result, campaign, case_of, examine, lines, vectors
from dumptruth.fixtures.mutants.registry import Vector
from dumptruth.fixtures.mutations import Mutation, mutations

ALWAYS = 0.0004
"""Of all mutations, in every run of the tests."""
WHOLE = 0.15
"""Of all mutations in the campaign: a quarter of a million."""
LEAST = 200_000


@pytest.mark.parametrize("vector", vectors())
def test_a_sample_of_mutations_is_noticed(vector: Vector) -> None:
    case = case_of(vector)
    found = examine(case, [item for item in mutations(case.data, case.layout) if not item.spared(ALWAYS)])
    assert found.survivors == []
    assert found.noticed


@pytest.mark.slow
def test_the_campaign_is_large_and_nothing_survives_without_a_reason() -> None:
    results = [(vector, campaign(vector, WHOLE)) for vector in vectors()]
    print("\n".join(lines(results)))
    assert sum(result.total for _, result in results) >= LEAST
    assert [item for _, result in results for item in result.survivors] == []


def test_every_part_and_every_field_of_every_dump_is_mutated() -> None:
    for vector in (Vector.SMALL, Vector.KERNEL_SMALL_B):
        case = case_of(vector)
        made = list(mutations(case.data, case.layout))
        touched = {item.path for item in made}
        for entry in case.layout.entries:
            if entry.size:
                assert entry.path in touched
                assert {f"{entry.path}.{name}" for name, (_, size) in entry.fields.items() if size} <= touched
        assert len({item.operator for item in made}) > 35
        assert len({(item.operator, item.path, item.at) for item in made}) == len(made)


def test_a_mutation_is_one_splice() -> None:
    data = bytes(range(16))
    layout = LayoutMap([Entry("A", "a", 0, 8, {"First": (0, 4), "Second": (4, 4)}), Entry("B", "a", 8, 8, {})], [])
    made = {(item.operator, item.path): item.apply(data) for item in mutations(data, layout)}
    assert made["zero", "A.First"] == bytes(4) + data[4:]
    assert made["big-endian", "A.Second"] == data[:4] + data[4:8][::-1] + data[8:]
    assert made["swapped with the next field", "A.First"] == data[4:8] + data[:4] + data[8:]
    assert made["swapped with the next part", "A"] == data[8:] + data[:8]
    assert made["lost", "B"] == data[:8]
    assert made["4 zero bytes before", "B"] == data[:8] + bytes(4) + data[8:]
    assert made["file cut in the middle", "B"] == data[:12]


def test_what_nobody_notices_and_nothing_excuses_is_a_survivor() -> None:
    case = case_of(Vector.SMALL)
    version = case.layout.entry("Header").fields["Version"][0]
    free = Mutation("flip bit 0", "Header.Version", version + 2, 1, bytes([case.data[version + 2] ^ 1]))
    same = Mutation("copied", "Header.Version", version, 1, case.data[version : version + 1])
    found = examine(case, [free, same, Mutation("zero", "Header.Signature", 0, 4, bytes(4))])
    assert (found.total, found.unchanged, found.noticed, found.survivors) == (3, 1, 1, [])
    assert [path for path, _ in found.excused] == ["Header.Version"]
    nowhere = Mutation("appended nothing that anybody owns", "the end", len(case.data), 0, b"")
    assert examine(case, [nowhere]).unchanged == 1
    assert any("small" in line for line in lines([(Vector.SMALL, Result(total=1, survivors=[free]))]))
