"""Cabinets of another zlib build have other bytes: they compare equal by content, and no other difference passes."""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from dumptruth.fixtures.app.blessing import replace_goldens
from dumptruth.fixtures.app.cli import run_command
from dumptruth.fixtures.mutants import hand_pristine
from dumptruth.fixtures.vectors import goldens, manifest
from dumptruth.fixtures.vectors.build import make
from dumptruth.fixtures.vectors.cabinets import unpacked
from dumptruth.fixtures.vectors.recipe import Recipe, load_recipes
from dumptruth.fixtures.vectors.repacked import same, settled

HELD = manifest.load(goldens.GOLDEN)["vectors"]
CABINETS = {vector["name"]: vector for vector in HELD if vector["container"] == "cab"}
SOME = ("by-hand/cab-images", "cab/kernel-small", "invalid/cab-secondary-004/no-image-at-all")
"""The last is not committed; only the manifest describes it."""
_compressobj = zlib.compressobj


@pytest.fixture(scope="module")
def recipes() -> dict[str, Recipe]:
    return load_recipes()


@pytest.fixture
def other_zlib(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Makes zlib behave like another build: it searches less far back for repetitions."""

    def compressobj(level: int = -1, *arguments: Any, **named: Any) -> Any:
        return _compressobj(1, *arguments, **named)

    monkeypatch.setattr(zlib, "compressobj", compressobj)
    hand_pristine.pristine.cache_clear()
    yield
    hand_pristine.pristine.cache_clear()


def _made(recipes: dict[str, Recipe], *names: str) -> dict[str, bytes]:
    """The files of vectors, made anew, and their manifest. A vector that is not committed is only in the manifest."""
    files, vectors = {}, []
    for name in names:
        made = make(recipes[name], recipes)
        told = manifest.entry(made) | {"truth": None}
        assert made.data is not None
        if CABINETS[name]["file"] is None:
            told["file"] = None
        else:
            files[told["file"]] = made.data
        vectors.append(told)
    return {**files, manifest.NAME: manifest.text({"vectors": vectors}).encode("utf-8")}


@pytest.fixture
def folder(recipes: dict[str, Recipe], tmp_path: Path) -> Path:
    """Goldens, packed with this build of zlib."""
    replace_goldens(_made(recipes, *SOME), tmp_path / "golden")
    return tmp_path / "golden"


@pytest.mark.usefixtures("other_zlib")
def test_every_cabinet_compares_equal_after_repacking(recipes: dict[str, Recipe]) -> None:
    otherwise = 0
    for name, held in CABINETS.items():
        made = manifest.entry(make(recipes[name], recipes)) | {name: held[name] for name in ("file", "truth")}
        assert same(made, held), name
        otherwise += made["sha256"] != held["sha256"]
    assert otherwise > len(CABINETS) // 2


def test_cabinets_with_different_contents_never_compare_equal() -> None:
    """Vectors that compare equal share one file and differ in the request."""
    of_one_file: dict[str, set[str]] = {}
    for vector in CABINETS.values():
        of_one_file.setdefault(vector["unpacked"], set()).add(vector["sha256"])
    assert {unpacked: files for unpacked, files in of_one_file.items() if len(files) > 1} == {}


def test_a_committed_cabinet_that_differs_only_in_packing_is_kept(
    folder: Path, recipes: dict[str, Recipe], other_zlib: None
) -> None:
    made = _made(recipes, *SOME)
    assert [path for path, _ in goldens.difference(made, folder)] != []
    expected, packed = settled(made, folder)
    assert packed == list(SOME)
    assert list(goldens.difference(expected, folder)) == []


def test_a_vector_with_other_contents_is_not_the_same(
    folder: Path, recipes: dict[str, Recipe], other_zlib: None
) -> None:
    made = _made(recipes, *SOME)
    document = json.loads(made[manifest.NAME])
    document["vectors"][0]["unpacked"] = "0" * 64
    document["vectors"][2]["note"] = "another"
    expected, packed = settled({**made, manifest.NAME: manifest.text(document).encode("utf-8")}, folder)
    assert packed == [SOME[1]]
    told = dict(goldens.difference(expected, folder))
    assert told[f"manifest.json: {SOME[0]}"] == "sha256, size, unpacked changed"
    assert "note" in told[f"manifest.json: {SOME[2]}"]
    assert f"{SOME[0]}.cab" in told
    assert len(told) == 3


def test_a_committed_file_that_is_not_the_manifests_is_not_excused(
    folder: Path, recipes: dict[str, Recipe], other_zlib: None
) -> None:
    file = folder / f"{SOME[1]}.cab"
    data = bytearray(file.read_bytes())
    data[32] ^= 1  # setID, which no reader uses
    file.write_bytes(data)
    expected, packed = settled(_made(recipes, *SOME), folder)
    assert SOME[1] not in packed
    assert f"{SOME[1]}.cab" in dict(goldens.difference(expected, folder))


@pytest.fixture
def repacked(folder: Path, recipes: dict[str, Recipe], other_zlib: None, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The goldens, while new files are packed in another way."""
    made = _made(recipes, *SOME)
    monkeypatch.setattr(goldens, "GOLDEN", folder)
    monkeypatch.setattr(goldens, "golden_files", lambda *_, **__: made)
    return folder


@pytest.mark.parametrize("command", [["verify"], ["bless", "--yes"]])
def test_verify_and_bless_count_them_in_one_line(
    repacked: Path, capsys: pytest.CaptureFixture[str], command: list[str]
) -> None:
    before = {path: path.read_bytes() for path in repacked.rglob("*") if path.is_file()}
    assert run_command(["vectors", *command]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"3 cabinets have the same contents, but other compressed bytes by this zlib: {', '.join(SOME)}"
    assert lines[1].endswith(": 0 differ")
    assert {path: path.read_bytes() for path in repacked.rglob("*") if path.is_file()} == before


def test_the_comparison_covers_every_field_of_a_cabinet() -> None:
    data = (goldens.GOLDEN / "by-hand" / "cab-images.cab").read_bytes()
    for at in (8, 24, 32, 36 + 4, 36 + 6):  # cbCabinet, versions, setID, cCFData and typeCompress of a folder
        changed = bytearray(data)
        changed[at] ^= 0x40
        assert unpacked(bytes(changed)) != unpacked(data), at
    assert unpacked(data[:-1]) != unpacked(data)
    assert unpacked(b"") != unpacked(data)
