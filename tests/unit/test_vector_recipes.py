"""Recipes are read, expanded and checked, and each error is one line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from dumptruth.fixtures.app.blessing import replace_goldens
from dumptruth.fixtures.app.cli import run_command
from dumptruth.fixtures.vectors import goldens, manifest
from dumptruth.fixtures.vectors.build import make
from dumptruth.fixtures.vectors.recipe import Kind, Recipe, RecipeError, load_recipes
from dumptruth.fixtures.vectors.target import TargetSpecError, target_of
from dumptruth.oracle import load_any_truth

HEAD = '[[vector]]\nname = "a/b"\nnote = "a note"\n'
SMALL = 'target = { synthetic = "process", threads = 1, modules = 1 }\nrequest = { qualifier = "small" }\n'


def recipes(folder: Path, text: str, flags: str = 'Odd = "odd"\n') -> dict[str, Recipe]:
    (folder / "flags.toml").write_text(flags, encoding="utf-8")
    (folder / "some.toml").write_text(text, encoding="utf-8")
    return load_recipes(folder)


def test_a_family_is_the_product_of_its_variables(tmp_path: Path) -> None:
    found = recipes(
        tmp_path,
        '[[vector]]\nname = "{q}/{form.name}"\neach.q = ["small", "default"]\n'
        'each.form = [{ name = "one", threads = 1 }, { name = "two", threads = 2 }]\n'
        'target = { synthetic = "process", threads = "{form.threads}" }\nrequest = { qualifier = "{q}" }\n'
        'note = "{q} with {form.threads}"\n',
    )
    assert list(found) == ["default/one", "default/two", "small/one", "small/two"]
    two = found["small/two"]
    assert two["target"] == {"synthetic": "process", "threads": 2}
    assert (two["note"], two.kind, two.source) == ("small with 2", Kind.VALID, "target")


def test_the_hash_is_that_of_the_recipe_alone(tmp_path: Path) -> None:
    first = recipes(tmp_path, HEAD + SMALL)["a/b"]
    turned = "\n".join(reversed((HEAD + SMALL).splitlines()[1:]))
    again = recipes(tmp_path, "[[vector]]\n" + turned + "\n")["a/b"]
    other = recipes(tmp_path, HEAD + SMALL.replace("small", "default"))["a/b"]
    assert first.digest == again.digest != other.digest


def test_a_pattern_makes_a_vector_for_each_mutant_and_commits_one_of_each_rule(tmp_path: Path) -> None:
    found = recipes(
        tmp_path, '[[vector]]\nname = "invalid/*"\nkind = "invalid"\nmutant = "MDMP-HEADER-*"\ngolden = 1\n'
    )
    rules = {recipe["mutant"].partition("/")[0] for recipe in found.values()}
    assert len(found) > len(rules) > 1
    committed = [recipe["mutant"].partition("/")[0] for recipe in found.values() if recipe["golden"]]
    assert sorted(committed) == sorted(rules)
    assert all(name == f"invalid/{recipe['mutant'].lower()}" for name, recipe in found.items())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name = 1", "expected tables [[vector]] and nothing else"),
        ("[[vector]]", "vector 1: name: expected a text"),
        (HEAD, "a/b: expected exactly one of target, mutant, habit, base; found none"),
        (HEAD + SMALL + 'mutant = "X"', "found target, mutant"),
        (HEAD + SMALL + "colour = 1", "colour: unknown key"),
        (HEAD + SMALL + "cut = true\nbase = 1", "base: expected str, found '1'"),
        (HEAD + SMALL + 'kind = "fine"', "kind: expected valid, invalid, acceptable, refused"),
        (HEAD + SMALL + 'kind = "invalid"', "kind invalid: expected bug, rule; found none"),
        (HEAD + SMALL + 'rule = "X"', "kind valid: expected none of rule, bug, reason, hresult; found rule"),
        (HEAD + SMALL + 'flags = ["Unheard"]', "flag 'Unheard': expected one of flags.toml"),
        (HEAD + SMALL + "cut = 4", "expected base together with one of change, edits, insert, cut, append"),
        (HEAD + 'base = "a/c"\ncut = 4', "base 'a/c': expected a vector that is made from a target"),
        (HEAD + 'target = { synthetic = "process" }', "request: expected with every target but a pristine one"),
        (HEAD + 'target = { program = "x" }', "target: expected scenario, pristine, synthetic"),
        (HEAD + 'target = { scenario = "x", colour = 1 }\nrequest = { qualifier = 1 }', "target: expected build, proc"),
        (HEAD + SMALL.replace("qualifier", "quality"), "request.quality: unknown key"),
        (HEAD.replace("a/b", "A b") + SMALL, "name: expected a path of lower-case words"),
        (HEAD.replace('note = "a note"', "") + SMALL, "note: expected a sentence"),
        (HEAD.replace("a note", "{x}") + SMALL, "{x}: each has no such variable"),
        (HEAD + SMALL + "each.x = []", "each: expected a list of values"),
        (HEAD + SMALL + HEAD + SMALL, "a/b: a vector of some.toml has the same name"),
        (HEAD + 'mutant = "NONE-*"\nkind = "invalid"', "mutant 'NONE-*': no mutant matches"),
        (HEAD + 'mutant = "MDMP-*"\nkind = "invalid"\nwithout = ["X/y"]', "without: no mutant is named X/y"),
        (HEAD + 'mutant = "MDMP-*"', "kind valid: a mutant makes one of kind invalid"),
        ("[[vector", "some.toml: "),
    ],
)
def test_an_error_in_a_recipe_is_one_line(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(RecipeError) as error:
        recipes(tmp_path, text)
    assert message in str(error.value)
    assert str(error.value).startswith("some.toml: ")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("edits = [{ path = 'Nowhere', field = 'X', value = 1 }]", "the dump has no 'Nowhere'"),
        ("edits = [{ path = 'Header', field = 'Flags', value = 'ff' }]", "1 bytes do not fit the 8"),
        ("edits = [{ path = 'Header', field = 'CheckSum', value = 4294967296 }]", "int too big"),
        ("edits = [{ path = 'Header', field = 'CheckSum' }]", "expected path, field and value or add"),
        ("edits = [{ path = 'Header', at = 31, bytes = '0000' }]", "2 bytes do not fit the 1"),
        ("change = { name = 'nothing' }", "change 'nothing': expected one of longer"),
        ("change = { name = 'longer', stream = 'Nowhere' }", "change 'longer': 'Nowhere'"),
        ("change = { name = 'longer', colour = 1 }", "change 'longer': longer() got an unexpected keyword"),
        ("insert = { before = 'Nowhere', bytes = '00' }", "insert: the dump has no 'Nowhere'"),
        ("insert = { before = 'Header' }", "insert: expected before and bytes"),
        ("cut = 1000000", "cut 1000000: the file has"),
        ("append = 'xyz'", "expected bytes in hexadecimal"),
        ("cut = 4\nbug = 'ODD'", "bug 'ODD': expected one of BAD_COUNT"),
        ("cut = 4\nbug = 'MISSING'\nrule = 'MDMP-NONE-001'", "rule 'MDMP-NONE-001': there is no such rule"),
    ],
)
def test_an_impossible_edit_is_one_line(tmp_path: Path, change: str, message: str) -> None:
    expected = "".join(
        line for key, line in {"bug": "bug = 'MISSING'\n", "rule": "rule = 'MDMP-DIR-001'\n"}.items()
        if f"{key} =" not in change
    )  # fmt: skip
    text = HEAD + SMALL + HEAD.replace("a/b", "a/c") + f"kind = 'invalid'\nbase = 'a/b'\n{expected}{change}\n"
    found = recipes(tmp_path, text)
    with pytest.raises(RecipeError, match=r"some.toml: a/c: ") as error:
        make(found["a/c"], found)
    assert message in str(error.value)


def test_edits_change_what_they_name_and_nothing_else(tmp_path: Path) -> None:
    text = (
        HEAD + SMALL + HEAD.replace("a/b", "a/c") + "kind = 'invalid'\nbase = 'a/b'\nbug = 'BAD_VALUE'\n"
        "rule = 'MDMP-HEADER-003'\ncut = -2\nappend = 'beef'\nedits = [\n"
        "{ path = 'Header', field = 'CheckSum', value = -2 },\n"
        "{ path = 'Header', field = 'NumberOfStreams', add = 1 },\n"
        "{ path = 'Directory[1]', at = 4, bytes = '0102' },\n]\n"
    )
    found = recipes(tmp_path, text)
    pristine, changed = make(found["a/b"], found), make(found["a/c"], found)
    assert pristine.data is not None
    assert pristine.layout is not None
    expected = bytearray(pristine.data)
    expected[-2:] = b"\xbe\xef"
    expected[0x10:0x14] = b"\xfe\xff\xff\xff"  # MINIDUMP_HEADER.CheckSum
    expected[8] += 1
    at = pristine.layout.entry("Directory[1]").offset
    expected[at + 4 : at + 6] = b"\1\2"
    assert changed.data == bytes(expected)


@pytest.mark.parametrize(
    ("request_", "kind", "message"),
    [
        ('{ qualifier = "full" }', "valid", "the writer refuses the request with E_INVALIDARG"),
        ('{ qualifier = "small" }', "refused", "hresult: expected E_FAIL; the writer accepts the request"),
        ('{ qualifier = "full" }', "refused", "expected E_FAIL, found E_INVALIDARG"),
        ('{ qualifier = "tiny" }', "valid", "request.qualifier: 'tiny': expected a name of DbgEng.h"),
        ('{ qualifier = "small", flags = ["x"] }', "valid", "request.flags: 'x': expected a name"),
        ('{ qualifier = "small", user_streams = [{ type = 1 }] }', "valid", "expected tables of type and data"),
    ],
)
def test_a_request_with_another_outcome_is_an_error(tmp_path: Path, request_: str, kind: str, message: str) -> None:
    refused = 'hresult = "E_FAIL"\n' if kind == "refused" else ""
    target = SMALL.splitlines()[0]
    found = recipes(tmp_path, f'{HEAD}{target}\nrequest = {request_}\nkind = "{kind}"\n{refused}')
    with pytest.raises(RecipeError) as error:
        make(found["a/b"], found)
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"synthetic": "robot"}, "synthetic 'robot': expected one of process"),
        ({"synthetic": "process", "legs": 4}, "legs"),
        ({"pristine": "robot"}, "pristine 'robot': expected one of small"),
        ({"synthetic": "machine", "page_0": True, "runs": [[5, 0x9F], [0x200, 0x200]]}, "RAM begins at page 5"),
    ],
)
def test_an_impossible_target_is_one_line(spec: dict[str, object], message: str) -> None:
    with pytest.raises(TargetSpecError) as error:
        target_of(spec)
    assert message in str(error.value)


def test_differences_are_listed_file_by_file(tmp_path: Path) -> None:
    vectors = [{"name": "a/b", "sha256": "1"}, {"name": "a/c", "sha256": "2"}]
    text = json.dumps({"vectors": vectors}).encode()
    expected = {"manifest.json": text, "a/b.dmp": b"abc", "a/c.dmp": b"xyz", "a/d.dmp": b""}
    replace_goldens(expected, tmp_path)
    assert list(goldens.difference(expected, tmp_path)) == []
    (tmp_path / "a" / "b.dmp").write_bytes(b"aXc")
    (tmp_path / "a" / "c.dmp").write_bytes(b"xy")
    (tmp_path / "a" / "d.dmp").unlink()
    (tmp_path / "stray.txt").write_bytes(b"")
    vectors[0]["sha256"] = "3"
    (tmp_path / "manifest.json").write_text(json.dumps({"vectors": vectors[:1]}), encoding="utf-8")
    assert list(goldens.difference(expected, tmp_path)) == [
        ("a/b.dmp", "differs from byte 0x1 on: 58, expected 62"),
        ("a/c.dmp", "2 bytes, expected 3"),
        ("a/d.dmp", "missing"),
        ("manifest.json: a/b", "sha256 changed"),
        ("manifest.json: a/c", "not listed"),
        ("stray.txt", "no recipe makes it"),
    ]
    replace_goldens(expected, tmp_path)
    assert list(goldens.difference(expected, tmp_path)) == []
    assert not (tmp_path / "stray.txt").exists()


def test_vectors_are_built_on_demand_with_their_truth(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "built"
    assert run_command(["vectors", "build", str(folder), "user/comment/*", "--jobs", "1"]) == 0
    assert "4 vectors of 1 targets" in capsys.readouterr().out
    made = manifest.load(folder)
    vector = made["vectors"][0]
    assert (folder / vector["file"]).stat().st_size == vector["size"]
    assert (folder / vector["truth"] / "truth.json").is_file()
    assert run_command(["check", str(folder / vector["file"]), "--truth", str(folder / vector["truth"]), "-q", "small",
                        "--comment", vector["request"]["comment"]]) == 0  # fmt: skip


def test_vectors_are_listed_by_pattern_mode_kind_and_flag(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["vectors", "list", "hostile/*", "--mode", "kernel", "--flag", "Truncated", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found
    assert all(vector["name"].startswith("hostile/kernel/") and vector["kind"] == "invalid" for vector in found)
    assert run_command(["vectors", "list", "nothing/*"]) == 2
    assert "no vector matches 'nothing/*'" in capsys.readouterr().err
    assert run_command(["vectors", "list", "--kind", "fine"]) == 2
    assert "unknown 'fine'; expected valid, invalid" in capsys.readouterr().err


def test_a_folder_without_a_manifest_is_refused(tmp_path: Path) -> None:
    with pytest.raises(manifest.ManifestError, match=r"manifest.json: "):
        manifest.load(tmp_path)
    (tmp_path / "manifest.json").write_text('{"format": "other"}', encoding="utf-8")
    with pytest.raises(manifest.ManifestError, match="expected format dumptruth-vectors, version 1"):
        manifest.load(tmp_path)


def test_every_exported_truth_matches_its_schema(tmp_path: Path) -> None:
    """One target of each builder, of the targets that only recipes make."""
    for spec in (
        {"synthetic": "odd-names"}, {"synthetic": "nothing-but-a-thread"}, {"synthetic": "many-runs", "count": 43},
        {"synthetic": "machine", "page_0": True, "last_page": True, "runs": [[1, 0x9F], [0x200, 0x200]], "blobs": 2},
        {"synthetic": "process", "runs": [1, 33]}, {"pristine": "userdump-arm64"},
    ):  # fmt: skip
        target = target_of(spec)
        target.save(tmp_path / target.id)
        assert target.has_truth
        assert load_any_truth(tmp_path / target.id)
    assert not target_of({"synthetic": "ram", "runs": [[1, 9]]}).has_truth
    assert not target_of({"pristine": "kernel-x86"}).has_truth
