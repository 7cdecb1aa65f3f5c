"""The dump of every kernel scenario conforms under every qualifier and profile, with truth and without.

A sample that covers every pair of scenario, qualifier and profile always runs; all combinations with ``-m slow``.
"""

from __future__ import annotations

from functools import cache
from itertools import product

import pytest
from dumptruth.emu.constants import Qualifier
from dumptruth.emu.plan.kernel import KernelPlan
from dumptruth.emu.plan.kernel_small import SmallLayout
from dumptruth.emu.request import KernelProfile, Request
from dumptruth.emu.scenarios.kernel import KERNEL_SCENARIOS, run_kernel_scenario
from dumptruth.emu.snapshot.kernel import KernelSnapshot
from dumptruth.emu.writer.kernel_dump import kernel_dump_bytes
from dumptruth.fixtures.mutants.kernel_pristine import asked, truth
from dumptruth.fixtures.replay.judging import replayer
from dumptruth.oracle import ByteSource, KernelTruth, Outcome, Report, Verdict, check

from ..samples import pairs_always, with_the_rest_slow

SMALL, DEFAULT, FULL, ACTIVE = (
    Qualifier.DEBUG_DUMP_SMALL,
    Qualifier.DEBUG_DUMP_DEFAULT,
    Qualifier.DEBUG_DUMP_FULL,
    Qualifier.DEBUG_DUMP_ACTIVE,
)
BUILDS = (9600, 19041)
REPLAY = "KXCT-REPLAY-001"
WITHOUT_FAULT = {"bugcheck-e2", "bugcheck-ef", "user-crash", "live-dump"}
"""Scenarios without a processor fault: a replay has nothing to repeat."""

# DumpType of each profile and qualifier (docs/format/kernel-kinds.md#type-for-each-kind).
TYPES = {
    KernelProfile.PORTABLE: {SMALL: 4, DEFAULT: 6, FULL: 1, ACTIVE: 6},
    KernelProfile.CLASSIC: {SMALL: 4, DEFAULT: 2, FULL: 1, ACTIVE: 6},
    KernelProfile.BITMAP: {SMALL: 4, DEFAULT: 6, FULL: 5, ACTIVE: 6},
    KernelProfile.RANGES: {SMALL: 4, DEFAULT: 8, FULL: 10, ACTIVE: 9},
    KernelProfile.HEADER: {SMALL: 3, DEFAULT: 3, FULL: 3, ACTIVE: 3},
}


@cache
def machine(name: str) -> tuple[KernelSnapshot, KernelTruth]:
    """The snapshot of a scenario and its truth, made once for all dumps."""
    snapshot = run_kernel_scenario(name)
    return snapshot, truth(snapshot)


def dumped(snapshot: KernelSnapshot, held: KernelTruth, request: Request) -> tuple[KernelPlan, Report, Report]:
    """The dump, and the reports with truth and without."""
    data, written = kernel_dump_bytes(snapshot, request)
    source = ByteSource(data, "a.dmp")
    own = check(source, held, asked(request), profile=request.profile, strict=True, replay=replayer(held))
    return written.plan, own, check(source)


def assert_conformant(report: Report) -> None:
    failed = [(result.rule, result.findings[:1]) for result in report.results if result.verdict is Verdict.FAIL]
    assert failed == []
    assert report.outcome is Outcome.CONFORMANT, report.reason
    assert (report.kind, report.unclaimed, report.claimed) == ("kernel-dump", 0, report.size)


def test_every_profile_is_tested() -> None:
    assert set(TYPES) == set(KernelProfile)


@pytest.mark.parametrize(
    ("name", "profile", "qualifier"),
    pairs_always(product([scenario.name for scenario in KERNEL_SCENARIOS], TYPES, (SMALL, DEFAULT, FULL, ACTIVE))),
)
def test_the_dump_conforms_and_every_byte_has_an_owner(name: str, profile: KernelProfile, qualifier: Qualifier) -> None:
    snapshot, held = machine(name)
    plan, own, foreign = dumped(snapshot, held, Request(qualifier, profile=profile))
    assert plan.dump_type == TYPES[profile][qualifier]
    assert_conformant(own)
    assert_conformant(foreign)
    replayed = next(result.verdict for result in own.results if result.rule == REPLAY)
    complete = plan.dump_type in {1, 5, 10} and name not in WITHOUT_FAULT
    assert replayed is (Verdict.PASS if complete else Verdict.NOT_APPLICABLE)


@pytest.mark.parametrize(
    ("name", "build"),
    with_the_rest_slow(
        product([scenario.name for scenario in KERNEL_SCENARIOS], BUILDS),
        [(scenario.name, BUILDS[index % 2]) for index, scenario in enumerate(KERNEL_SCENARIOS)],
    ),
)
def test_small_dumps_of_other_builds_conform(name: str, build: int) -> None:
    """The build decides the layout of a small dump (docs/format/kernel-small-layouts.md#who-writes-which-layout)."""
    snapshot = run_kernel_scenario(name, build=build)
    written, own, foreign = dumped(snapshot, truth(snapshot), Request(SMALL, profile=KernelProfile.PORTABLE))
    assert_conformant(own)
    assert_conformant(foreign)
    assert written.small is not None
    assert written.small.layout is SmallLayout.A
