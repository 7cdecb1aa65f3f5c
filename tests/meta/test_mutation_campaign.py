"""The mutation campaign: the judge detects every change of a byte, field or part, unless a reason excuses it."""

from __future__ import annotations

from dumptruth.emu.writer.layout import Entry, LayoutMap
from dumptruth.fixtures.campaign.campaign import Of, Result, examine, lines
from dumptruth.fixtures.campaign.mutations import Mutation, every_byte, every_cut, mutations
from dumptruth.fixtures.campaign.subjects import golden_names, names, subject


def test_every_part_and_every_field_of_every_dump_is_mutated() -> None:
    for name in ("pristine/small", "pristine/kernel-small-b"):
        case = subject(name)
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


def test_an_undetected_mutation_without_a_reason_is_a_survivor() -> None:
    case = subject("pristine/small")
    version = case.layout.entry("Header").fields["Version"][0]
    free = Mutation("flip bit 0", "Header.Version", version + 2, 1, bytes([case.data[version + 2] ^ 1]))
    same = Mutation("copied", "Header.Version", version, 1, case.data[version : version + 1])
    found = examine(case, [free, same, Mutation("zero", "Header.Signature", 0, 4, bytes(4))])
    assert (found.total, found.unchanged, found.noticed, found.survivors) == (3, 1, 1, [])
    assert [path for path, _ in found.excused] == ["Header.Version"]
    assert examine(case, [Mutation("zero", "Header.Signature", 0, 4, bytes(4))]).advised == 0
    nowhere = Mutation("appended nothing that anybody owns", "the end", len(case.data), 0, b"")
    assert examine(case, [nowhere]).unchanged == 1
    assert any("small" in line for line in lines([(case.name, Result(total=1, survivors=[free]))]))


def test_every_byte_is_turned_over_once_and_a_small_file_is_cut_at_every_length() -> None:
    for name in ("user/small/process-x86", "pristine/cab", "pristine/userdump"):
        of = subject(name)
        assert [item.at for item in every_byte(of.data, of.layout)] == list(range(len(of.data)))
        cuts = {item.at for item in every_cut(of.data, of.layout)}
        assert cuts == set(range(len(of.data))) or len(of.data) > 16 << 10
        assert {entry.offset for entry in of.layout.entries} | {entry.end - 1 for entry in of.layout.entries} <= cuts
    assert Of("bytes") is Of.BYTES


def test_the_subjects_are_all_dumps_that_answer_to_a_truth_once_each() -> None:
    assert len(set(names())) == len(names()) > 110
    assert set(golden_names()) < set(names())
    assert len({subject(name).data for name in golden_names()}) > 70
