"""The cases themselves: the sound are sound, the odd are legal, the broken break the rule that they say."""

from __future__ import annotations

from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path

import pytest
from dumptruth.emu.constants import FormatFlag, Qualifier
from dumptruth.emu.debugger.client import DumpWriteError
from dumptruth.emu.request import KernelProfile, Profile
from dumptruth.fixtures.conformance import Workshop, reader_cases, writer_cases
from dumptruth.fixtures.conformance.writing import asked_of_writers, refused_with
from dumptruth.oracle import ByteSource, Outcome, check
from dumptruth.oracle.conform import Kind, ReaderCase
from dumptruth.oracle.conform.writer import due_refusal

ALWAYS = ("user/*synthetic*", "user/odd/*", "user/hostile/*", "kernel/*/synthetic", "kernel/odd/*", "kernel/hostile/*")
"""Those that need no emulator; the others are behind ``slow``."""


@pytest.fixture(scope="module")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Workshop:
    return Workshop(tmp_path_factory.mktemp("cases"))


def _always(name: str) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in ALWAYS)


def _parameters(names: Iterator[str]) -> list[object]:
    return [pytest.param(name, marks=() if _always(name) else pytest.mark.slow) for name in names]


WRITTEN = {asked.name: asked for asked in asked_of_writers()}
READ = {case.name: case for case in reader_cases(Workshop(Path()))}


@pytest.mark.parametrize("name", _parameters(iter(WRITTEN)))
def test_the_projects_own_writer_passes_every_case_of_writers(workshop: Workshop, name: str) -> None:
    asked = WRITTEN[name]
    target = workshop.target(asked)
    due = due_refusal(target.truth, target.request)
    if due is not None:
        with pytest.raises(DumpWriteError) as raised:
            workshop.dump(asked)
        assert raised.value.hresult == refused_with(asked)
        return
    assert refused_with(asked) is None
    path, _ = workshop.dump(asked)
    with ByteSource.open(path) as source:
        report = check(source, target.truth, target.request, profile=asked.profile)
    assert report.outcome is Outcome.CONFORMANT, [result.rule for result in report.failing()]


@pytest.mark.parametrize("name", _parameters(iter(READ)))
def test_a_dump_for_readers_is_what_its_case_says(workshop: Workshop, name: str) -> None:
    case: ReaderCase = {case.name: case for case in reader_cases(workshop)}[name]
    dumped = case.make()
    target = dumped.target
    with ByteSource.open(dumped.file) as source:
        if target is None:
            report = check(source)
        else:
            report = check(source, target.truth, target.request, profile=target.request.profile)
    failing = [result.rule for result in report.failing()]
    if case.kind is Kind.INVALID:
        assert report.outcome is Outcome.NON_CONFORMANT
        assert case.rule in failing
        assert case.note
    else:
        assert (report.outcome, failing) == (Outcome.CONFORMANT, [])


def test_names_are_unique_and_kinds_are_all_there(workshop: Workshop) -> None:
    for cases in (writer_cases(workshop), reader_cases(workshop)):
        names = [case.name for case in cases]
        assert len(names) == len(set(names))
    assert {case.kind for case in READ.values()} == set(Kind)


def test_every_qualifier_profile_and_user_flag_is_asked_of_writers() -> None:
    asked = list(WRITTEN.values())
    qualifiers = {Qualifier(item.request.qualifier) for item in asked}
    assert {item.profile for item in asked if item.mode == "user"} == set(Profile)
    assert {item.profile for item in asked if item.mode == "kernel"} == set(KernelProfile)
    assert len(qualifiers) == 4
    flags = {flag for flag in FormatFlag if flag.name and flag.name.startswith("DEBUG_FORMAT_USER_SMALL_")}
    for target in ("synthetic", "flags"):
        assert {FormatFlag(item.flags) for item in asked if item.flags and item.target == target} == flags
