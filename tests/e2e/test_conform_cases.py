"""Each conformance case has the verdict that it declares: valid, acceptable, or failing its rule."""

from __future__ import annotations

from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path

import pytest
from dumptruth.emu.constants import FormatFlag
from dumptruth.emu.request import KernelProfile, Profile
from dumptruth.fixtures.vectors.build import make
from dumptruth.fixtures.vectors.conform import CaseFolder, case_recipes
from dumptruth.fixtures.vectors.recipe import load_recipes
from dumptruth.oracle import ByteSource, Outcome, check
from dumptruth.oracle.conform import Kind, ReaderCase, WriterCase
from dumptruth.oracle.conform.writer import due_refusal
from dumptruth.oracle.vectors import load_vectors, packaged

ALWAYS = (
    "user/*synthetic*", "user/odd/*", "user/hostile/*", "user/beyond/[!er]*", "kernel/*/synthetic", "kernel/odd/*",
    "kernel/hostile/*", "kernel/beyond/*",
)  # fmt: skip
"""The cases that need no emulator and little memory run always; the others have the mark ``slow``."""


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> dict[str, WriterCase]:
    return {case.name: case for case in CaseFolder(tmp_path_factory.mktemp("written")).writer_cases()}


@pytest.fixture(scope="module")
def read(tmp_path_factory: pytest.TempPathFactory) -> dict[str, ReaderCase]:
    return {case.name: case for case in CaseFolder(tmp_path_factory.mktemp("read")).reader_cases()}


def _always(name: str) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in ALWAYS)


def _parameters(names: Iterator[str]) -> list[object]:
    return [pytest.param(name, marks=() if _always(name) else pytest.mark.slow) for name in names]


RECIPES = load_recipes()
CASES = case_recipes(RECIPES)
WRITTEN = [case.name for case in CaseFolder(Path()).writer_cases()]
READ = {case.name: case for case in CaseFolder(Path()).reader_cases()}


@pytest.mark.parametrize("name", _parameters(iter(WRITTEN)))
def test_the_projects_own_writer_passes_every_case_of_writers(written: dict[str, WriterCase], name: str) -> None:
    case = written[name]
    target = case.make()
    made = make(RECIPES[name], RECIPES)
    assert made.hresult == case.hresult
    assert (made.data is None) == (case.hresult is not None) == (due_refusal(target.truth, target.request) is not None)
    if made.data is None:
        return
    report = check(ByteSource(made.data), target.truth, target.request, profile=target.request.profile)
    assert report.outcome is Outcome.CONFORMANT, [result.rule for result in report.failing()]


@pytest.mark.parametrize("name", _parameters(iter(READ)))
def test_a_dump_for_readers_has_the_verdict_that_its_case_declares(read: dict[str, ReaderCase], name: str) -> None:
    case = read[name]
    dumped = case.make()
    target, strict = dumped.target, bool(RECIPES[name]["strict"])
    with ByteSource.open(dumped.file) as source:
        if target is None:
            report = check(source, strict=strict)
        else:
            report = check(source, target.truth, target.request, profile=target.request.profile, strict=strict)
    failing = [result.rule for result in report.failing()]
    if case.kind is Kind.INVALID:
        assert report.outcome is Outcome.NON_CONFORMANT
        assert case.rule in failing
        assert case.note
    else:
        assert (report.outcome, failing) == (Outcome.CONFORMANT, [])


def test_every_case_is_a_vector_and_every_kind_is_there() -> None:
    assert {case.kind for case in READ.values()} == set(Kind)
    assert {*WRITTEN, *READ} == set(CASES) <= set(RECIPES)


def test_a_case_asks_of_a_reader_what_the_manifest_says() -> None:
    duties = {vector.name: vector.reader for vector in load_vectors(packaged()) if vector.name in READ}
    assert duties == {name: str(case.must) for name, case in READ.items()}


def test_writers_are_tested_with_every_qualifier_profile_and_user_flag() -> None:
    asked = {name: CASES[name]["request"] for name in WRITTEN}
    profiles = {(name.partition("/")[0], request.get("profile")) for name, request in asked.items()}
    usual = {("user", None): Profile.MODERN, ("kernel", None): KernelProfile.PORTABLE}
    assert {usual.get(item, item[1]) for item in profiles if item[0] == "user"} == set(Profile)
    assert {usual.get(item, item[1]) for item in profiles if item[0] == "kernel"} == set(KernelProfile)
    assert {request["qualifier"] for request in asked.values()} == {"small", "default", "full", "active"}
    prefix = "DEBUG_FORMAT_USER_SMALL_"
    flags = {flag.name for flag in FormatFlag if flag.name and flag.name.startswith(prefix)}
    for target in ("synthetic", "flags"):
        of_target = [request for name, request in asked.items() if name.startswith(f"user/small/{target}/")]
        named = {flag for request in of_target for flag in request.get("flags", ())}
        assert {prefix + flag.upper().replace("-", "_") for flag in named} == flags
