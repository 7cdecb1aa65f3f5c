"""The committed vectors: the manifest matches its schema, and every file matches the manifest."""

from __future__ import annotations

import hashlib
import json
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from dumptruth.fixtures.replay.replayer import replay_dump
from dumptruth.fixtures.vectors import goldens, manifest
from dumptruth.fixtures.vectors.build import make
from dumptruth.fixtures.vectors.recipe import Recipe, load_glossary, load_recipes
from dumptruth.fixtures.vectors.repacked import same, settled
from dumptruth.fixtures.vectors.target import Target
from dumptruth.oracle import ByteSource, Outcome, Report, RequestTruth, Truth, Verdict, all_rules, check, load_any_truth
from dumptruth.oracle.truth.load import parse_request
from jsonschema import Draft202012Validator
from referencing import Registry, Resource

ROOT = Path(__file__).resolve().parents[2]
SCHEMAS = ROOT / "oracle" / "schemas"
HELD = manifest.load(goldens.GOLDEN)
VECTORS = {vector["name"]: vector for vector in HELD["vectors"]}
COMMITTED = {name: vector for name, vector in VECTORS.items() if vector["file"] is not None}
JUDGED = [name for name, vector in COMMITTED.items() if vector["truth"] is not None or not vector["judged"]["truth"]]
"""Vectors whose truth is committed too, where they need one."""


@cache
def recipes() -> dict[str, Recipe]:
    return load_recipes()


@cache
def truth_of(target: str) -> Truth:
    return load_any_truth(goldens.GOLDEN / "truth" / target)


def judge(vector: dict[str, Any], *, strict: bool | None = None) -> Report:
    judged = vector["judged"]
    source = ByteSource((goldens.GOLDEN / vector["file"]).read_bytes(), vector["name"])
    request: RequestTruth | None = vector["request"] and parse_request(vector["request"])
    return check(
        source,
        truth_of(vector["target"]) if judged["truth"] else None,
        request if judged["truth"] else None,
        profile=request.profile if request else "portable" if vector["mode"] == "kernel" else "modern",
        strict=judged["strict"] if strict is None else strict,
    )


def failing(report: Report) -> set[str]:
    return {result.rule for result in report.results if result.verdict is Verdict.FAIL}


def test_the_manifest_matches_its_schema() -> None:
    found = {name: json.loads((SCHEMAS / name).read_text("utf-8")) for name in ("vectors-1.json", "request-1.json")}
    registry: Registry[Any] = Registry().with_resources(
        [(name, Resource.from_contents(schema)) for name, schema in found.items()]
    )
    Draft202012Validator.check_schema(found["vectors-1.json"])
    validator = Draft202012Validator(found["vectors-1.json"], registry=registry)
    assert [f"{error.json_path}: {error.message[:200]}" for error in validator.iter_errors(HELD)] == []


def test_the_manifest_lists_every_recipe_and_has_its_hash() -> None:
    assert {name: recipe.digest for name, recipe in recipes().items()} == {
        name: vector["recipe"] for name, vector in VECTORS.items()
    }, "a recipe changed: dumptruth vectors bless"


def test_every_flag_is_explained_and_used() -> None:
    used = {flag for vector in VECTORS.values() for flag in vector["flags"]}
    assert used == set(load_glossary()) == set(HELD["flags"])


def test_every_committed_file_has_the_hash_that_the_manifest_says() -> None:
    for name, vector in COMMITTED.items():
        data = (goldens.GOLDEN / vector["file"]).read_bytes()
        assert (hashlib.sha256(data).hexdigest(), len(data)) == (vector["sha256"], vector["size"]), name
    for name, target in HELD["targets"].items():
        folder = goldens.GOLDEN / "truth" / name
        for file, told in target["files"].items() if folder.exists() else ():
            data = (folder / file).read_bytes()
            assert (hashlib.sha256(data).hexdigest(), len(data)) == (told["sha256"], told["size"]), f"{name}/{file}"


def test_nothing_is_committed_that_the_manifest_does_not_name_and_all_within_the_limits() -> None:
    there = {path.relative_to(goldens.GOLDEN).as_posix(): path for path in goldens.GOLDEN.rglob("*") if path.is_file()}
    named = {vector["file"] for vector in COMMITTED.values()} | {manifest.NAME}
    named |= {f"{vector['truth']}/{file}" for vector in VECTORS.values() if vector["truth"]
              for file in ("truth.json", "memory.bin")}  # fmt: skip
    assert set(there) == named
    assert max(vector["size"] for vector in COMMITTED.values()) <= goldens.LARGEST_DUMP == 64 << 10
    assert sum(path.stat().st_size for path in there.values()) <= goldens.LARGEST_SET == 8 << 20


@pytest.mark.parametrize("name", [name for name in JUDGED if VECTORS[name]["kind"] == "valid"])
def test_a_valid_vector_is_conformant_and_every_byte_of_it_is_claimed(name: str) -> None:
    report = judge(VECTORS[name])
    assert failing(report) == set()
    assert report.outcome is Outcome.CONFORMANT, report.reason
    assert report.unclaimed == 0


@pytest.mark.parametrize(
    "name",
    [name for name in JUDGED if VECTORS[name]["kind"] == "invalid" and not VECTORS[name]["judged"]["replay"]],
)
def test_an_invalid_vector_fails_its_rule_and_its_declared_collateral_alone(name: str) -> None:
    vector = VECTORS[name]
    report = judge(vector)
    assert failing(report) == {vector["rule"], *vector["collateral"]}
    assert report.outcome is Outcome.NON_CONFORMANT, report.reason


@pytest.mark.parametrize("name", [name for name in JUDGED if VECTORS[name]["kind"] == "acceptable"])
def test_an_acceptable_vector_is_conformant_without_strict(name: str) -> None:
    report = judge(VECTORS[name], strict=False)
    assert report.outcome is Outcome.CONFORMANT, (report.reason, failing(report))
    assert failing(report) <= set(VECTORS[name]["warns"])


def test_every_rule_has_an_invalid_vector() -> None:
    told = {vector["rule"] for vector in VECTORS.values() if vector["kind"] == "invalid"}
    proved_without_a_file = {"KXCT-REPLAY-001", "KXCT-VERSION-001"}
    assert set(all_rules()) - told <= proved_without_a_file


def test_a_sample_made_anew_is_the_committed_one() -> None:
    """The first vector of every recipe file, to detect a change of the writer. ``vectors verify`` compares all."""
    first: dict[tuple[str, str], str] = {}
    for name, recipe in recipes().items():
        first.setdefault((recipe.file, recipe.source), name)
    for name in first.values():
        made = manifest.entry(make(recipes()[name], recipes()))
        held = {**VECTORS[name], "file": made["file"], "truth": made["truth"]}
        assert same(made, held), f"{name}: dumptruth vectors bless"


@pytest.mark.slow
def test_every_vector_made_anew_is_the_committed_one() -> None:
    expected, _ = settled(goldens.golden_files(recipes()), goldens.GOLDEN)
    assert list(goldens.difference(expected, goldens.GOLDEN)) == []


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name, vector in VECTORS.items() if vector["kind"] != "refused"])
def test_every_vector_has_its_declared_verdict_the_large_ones_too(name: str) -> None:
    vector = VECTORS[name]
    made = make(recipes()[name], recipes())
    assert made.data is not None
    held = truth_made(made.target) if vector["judged"]["truth"] else None
    request: RequestTruth | None = None if held is None else parse_request(vector["request"])
    report = check(
        ByteSource(made.data, name),
        held,
        request,
        profile=vector["profile"] or "modern",
        strict=vector["judged"]["strict"] or (vector["kind"] == "valid" and not vector["warns"]),
        replay=replay_dump if vector["judged"]["replay"] else None,
    )
    if vector["kind"] == "invalid":
        assert failing(report) == {vector["rule"], *vector["collateral"]}
        assert report.outcome is Outcome.NON_CONFORMANT, report.reason
    else:
        assert failing(report) <= set(vector["warns"])
        assert report.outcome is Outcome.CONFORMANT, report.reason


_TRUTHS: dict[str, Truth] = {}


def truth_made(target: Target) -> Truth:
    if target.id not in _TRUTHS:
        with tempfile.TemporaryDirectory() as folder:
            target.save(Path(folder) / "truth")
            _TRUTHS[target.id] = load_any_truth(Path(folder) / "truth")
    return _TRUTHS[target.id]
