"""Every byte of a conformant kernel dump, changed, is noticed, or lies in what is declared as nobody's to judge."""

from __future__ import annotations

import random
from typing import Any

import pytest
from dumptruth.oracle import ByteSource, KernelCase, Outcome, all_rules, check, read_kernel

KINDS = ("full", "summary", "header only", "small A", "small B", "small 9600", "bitmap kernel", "ranges kernel")


def declared(made: Any) -> set[int]:
    """Bytes that the readers and the rules declare as nobody's to judge."""
    dump = read_kernel(ByteSource(made.data))
    case = KernelCase(dump, made.truth, made.request)
    for rule in all_rules().values():
        if rule.kind == dump.kind and rule.applies(case) and dump.facts.issuperset(rule.needs):
            list(rule.check(case))
    return {at for item in dump.dont_cares for at in range(item.span.start, item.span.end)}


def noticed(made: Any, at: int, change: int) -> bool:
    data = bytearray(made.data)
    data[at] ^= change
    report = check(ByteSource(bytes(data)), made.truth, made.request)
    assert report.outcome is not Outcome.INTERNAL_ERROR, report.reason
    return report.outcome is not Outcome.CONFORMANT


def campaign(made: Any, share: float) -> list[str]:
    """Changes that nobody noticed. Of pages and of room, which one comparison judges, a smaller share."""
    free, chance = declared(made), random.Random(len(made.data))
    bulk = range(made.at.get("pages", made.at.get("tail", 0)), made.at.get("blobs", 0))
    missed = []
    for at in range(len(made.data)):
        if chance.random() >= (share / 500 if at in bulk else share) or at in free:
            continue
        change = chance.choice((0x01, 0x80, 0xFF))
        if not noticed(made, at, change):
            missed.append(f"{at:#x} ^ {change:#x}")
    return missed


@pytest.mark.parametrize("kind", KINDS)
def test_a_changed_byte_is_noticed(dumps: dict[str, Any], kind: str) -> None:
    assert campaign(dumps[kind], 0.003) == []


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_every_changed_byte_is_noticed(dumps: dict[str, Any], kind: str) -> None:
    assert campaign(dumps[kind], 1) == []


def test_what_nobody_judges_is_little(dumps: dict[str, Any]) -> None:
    shares = {kind: len(declared(dumps[kind])) for kind in KINDS}
    # BootId and the low byte of Attributes; in layout B the memory manager's counts too.
    assert {kind: share for kind, share in shares.items() if share != 5} == {"small B": 45}
