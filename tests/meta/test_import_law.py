"""The import law of docs/architecture.md#who-may-import-whom, checked by parsing every file.

The judge must share nothing with the writer that it judges. The syntax tree shows all imports, also those inside
functions and under TYPE_CHECKING; imports at run time would not.
"""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from collections import defaultdict
from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from itertools import chain
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TOP = ("emu", "oracle", "fixtures")

VAGUE = {"utils", "util", "helpers", "helper", "common", "commons", "manager", "managers", "misc", "shared", "stuff"}
"""File names that say nothing about their contents."""


@dataclass(frozen=True)
class Import:
    file: str
    line: int
    module: str
    relative: bool

    def __str__(self) -> str:
        return f"{self.file}:{self.line} imports {self.module}"


def _sources(*tops: str) -> list[Path]:
    return sorted(path for top in tops for path in (ROOT / top).rglob("*.py"))


def _package_of(path: Path) -> list[str]:
    """The package at which relative imports of this file start."""
    return ["dumptruth", *path.relative_to(ROOT).parent.parts]


def _is_import_call(node: ast.AST) -> bool:
    if not isinstance(node, ast.Call) or not node.args:
        return False
    called = node.func
    name = called.attr if isinstance(called, ast.Attribute) else called.id if isinstance(called, ast.Name) else ""
    return name in {"import_module", "__import__"}


@cache
def imports(path: Path, source: str | None = None) -> list[Import]:
    """Every import of a file as an absolute module name; ``from a import b`` gives both ``a`` and ``a.b``."""
    file = path.relative_to(ROOT).as_posix()
    found: list[Import] = []
    for node in ast.walk(ast.parse(source if source is not None else path.read_text(encoding="utf-8"), file)):
        if isinstance(node, ast.Import):
            found += [Import(file, node.lineno, alias.name, False) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = _package_of(path)[: len(_package_of(path)) - node.level + 1] if node.level else []
            module = ".".join(base + ([node.module] if node.module else []))
            found.append(Import(file, node.lineno, module, node.level > 0))
            found += [Import(file, node.lineno, f"{module}.{alias.name}", node.level > 0) for alias in node.names]
        elif _is_import_call(node):
            assert isinstance(node, ast.Call)
            name = node.args[0]
            if isinstance(name, ast.Constant) and isinstance(name.value, str):
                if name.value.startswith("."):
                    depth = len(name.value) - len(name.value.lstrip("."))
                    base = _package_of(path)[: len(_package_of(path)) - depth + 1]
                    module = ".".join([*base, name.value.lstrip(".")])
                    found.append(Import(file, node.lineno, module, True))
                else:
                    found.append(Import(file, node.lineno, name.value, False))
    return found


def _within(module: str, *packages: str) -> bool:
    return any(module == package or module.startswith(package + ".") for package in packages)


def _top_level(module: str) -> str:
    return module.partition(".")[0]


def _third_party(item: Import) -> bool:
    return not item.relative and _top_level(item.module) not in sys.stdlib_module_names | {"dumptruth"}


@cache
def _all() -> list[Import]:
    return [item for path in _sources(*TOP) for item in imports(path)]


def _of(prefix: str) -> list[Import]:
    return [item for item in _all() if item.file == prefix or item.file.startswith(prefix + "/")]


def test_the_parser_sees_every_way_to_import() -> None:
    source = (
        "from ..emu import constants\nfrom . import rule\nimport unicorn.x86_const as u\n"
        "def f():\n    import_module('lief')\n    importlib.import_module('..emu.debugger.client', __package__)\n"
        "if TYPE_CHECKING:\n    from ..emu.debugger.client import DebugClient\n"
    )
    seen = {item.module for item in imports(ROOT / "oracle" / "judge.py", source)}
    assert seen == {
        "dumptruth.emu", "dumptruth.emu.constants", "dumptruth.oracle", "dumptruth.oracle.rule", "unicorn.x86_const",
        "lief", "dumptruth.emu.debugger.client", "dumptruth.emu.debugger.client.DebugClient",
    }  # fmt: skip


def test_the_oracle_imports_neither_emu_nor_fixtures() -> None:
    assert [str(item) for item in _of("oracle") if _within(item.module, "dumptruth.emu", "dumptruth.fixtures")] == []


def test_the_oracle_runs_on_the_standard_library_alone() -> None:
    assert [
        str(item)
        for item in _of("oracle")
        if _third_party(item) and (item.file, _top_level(item.module)) != ("oracle/pytest_plugin.py", "pytest")
    ] == []


def test_emu_imports_neither_the_oracle_nor_fixtures() -> None:
    assert [str(item) for item in _of("emu") if _within(item.module, "dumptruth.oracle", "dumptruth.fixtures")] == []


def test_unicorn_is_imported_by_one_file() -> None:
    assert {item.file for item in _all() if _top_level(item.module) == "unicorn"} <= {"emu/machine/cpu.py"}


def test_lief_is_imported_by_the_image_loader_alone() -> None:
    assert {item.file for item in _all() if _top_level(item.module) == "lief"} <= {"emu/image.py"}


MAY_IMPORT: dict[str, str] = {
    # The target and the writer (emu).
    "emu": "emu.debugger emu.errors emu.images emu.limits emu.names emu.scenarios emu.snapshot emu.truth",
    "emu.constants": "",
    "emu.errors": "",
    "emu.placing": "",
    "emu.names": "emu.constants emu.errors",
    "emu.snapshot": "",
    "emu.request": "emu.constants emu.errors",
    "emu.plan": "emu.constants emu.request emu.snapshot",
    "emu.writer": "emu.constants emu.placing emu.request emu.snapshot emu.plan",
    "emu.truth": "emu.constants emu.errors emu.placing emu.request emu.snapshot",
    "emu.debugger": "emu.constants emu.errors emu.names emu.placing emu.request emu.snapshot emu.plan emu.writer",
    "emu.images": "emu.errors",
    "emu.image": "emu.errors",
    "emu.image_files": "emu.images emu.debugger",
    "emu.machine": "",
    "emu.sizes": "",
    "emu.limits": "emu.errors emu.sizes",
    "emu.symbols": "",
    "emu.process": "emu.constants emu.errors emu.limits emu.snapshot emu.image emu.images emu.machine",
    "emu.kernel": "emu.constants emu.errors emu.limits emu.sizes emu.snapshot emu.image emu.images emu.machine"
    " emu.process",
    "emu.capture": "emu.constants emu.snapshot emu.symbols emu.machine emu.process emu.kernel",
    "emu.scenarios": "emu.errors emu.image emu.limits emu.snapshot emu.process emu.kernel emu.capture",
    "emu.synthetic": "emu.constants emu.snapshot emu.plan emu.process",
    # The judge.
    "oracle.memory": "",
    "oracle.model": "",
    "oracle.decode": "oracle.memory oracle.model",
    "oracle.truth": "oracle.decode oracle.memory",
    "oracle.budget": "oracle.model",
    "oracle.readers": "oracle.budget oracle.decode oracle.memory oracle.model",
    "oracle.entitlement": "oracle.memory oracle.model oracle.truth",
    "oracle.case": "oracle.entitlement oracle.readers oracle.truth",
    "oracle.rule": "oracle.case oracle.model",
    "oracle.replay_input": "oracle.decode oracle.memory oracle.readers",
    "oracle.known_errors": "oracle.case oracle.model oracle.rule",
    "oracle.rules": "oracle.budget oracle.case oracle.decode oracle.entitlement oracle.known_errors oracle.memory"
    " oracle.model"
    " oracle.readers oracle.rule oracle.truth",
    "oracle.diagnosis": "oracle.budget oracle.case oracle.decode oracle.memory oracle.model oracle.readers"
    " oracle.truth",
    "oracle.selection": "oracle.model oracle.rule oracle.rules",
    "oracle.judge": "oracle.budget oracle.case oracle.diagnosis oracle.known_errors oracle.memory oracle.model"
    " oracle.readers"
    " oracle.rule oracle.rules oracle.selection oracle.truth",
    "oracle.inputs": "oracle.memory oracle.readers",
    "oracle.demands": "oracle.entitlement oracle.inputs oracle.truth",
    "oracle.checking": "oracle.budget oracle.case oracle.demands oracle.inputs oracle.judge oracle.memory oracle.model",
    "oracle.contents": "oracle.decode oracle.memory oracle.readers",
    "oracle.content_reader": "oracle.budget oracle.contents oracle.decode oracle.inputs oracle.memory oracle.model"
    " oracle.readers",
    "oracle.citations": "",
    "oracle.shown": "",
    "oracle.report": "oracle.budget oracle.entitlement oracle.memory oracle.model oracle.readers oracle.rule"
    " oracle.selection"
    " oracle.shown oracle.truth",
    "oracle.identity": "oracle.budget oracle.content_reader oracle.contents oracle.decode oracle.inputs oracle.memory"
    " oracle.readers"
    " oracle.report",
    "oracle.diff": "oracle.budget oracle.decode oracle.memory oracle.model oracle.readers oracle.report",
    "oracle.conform": "oracle.case oracle.checking oracle.decode oracle.entitlement oracle.memory oracle.model"
    " oracle.readers oracle.report oracle.shown oracle.truth",
    "oracle.vectors": "oracle.conform oracle.memory oracle.truth",
    "oracle.assertion": "oracle.checking oracle.memory oracle.model oracle.report.numbers oracle.shown oracle.truth",
    "oracle.pytest_plugin": "oracle.assertion oracle.shown oracle.vectors",
    "oracle": "oracle.case oracle.checking oracle.content_reader oracle.contents oracle.identity oracle.inputs"
    " oracle.memory oracle.model oracle.readers oracle.selection oracle.truth",
    # fixtures may import both.
    "fixtures": "",
    "fixtures.strategies": "emu",
    "fixtures.headers": "emu oracle",
    "fixtures.replay": "emu oracle",
    "fixtures.adapters": "emu oracle",
    "fixtures.mutants": "emu oracle fixtures.replay",
    "fixtures.habits": "fixtures.mutants",
    "fixtures.vectors": "emu oracle fixtures.habits fixtures.mutants",
    "fixtures.campaign": "emu oracle fixtures.mutants fixtures.vectors",
    "fixtures.documents": "emu oracle fixtures.adapters fixtures.mutants fixtures.vectors",
    "fixtures.app": "emu oracle fixtures.mutants fixtures.replay fixtures.vectors",
    "fixtures.drill": "fixtures.app",
}
"""Each room and the rooms that its files may import. A room is a folder, or a file beside the folders.

A room is listed after every room that it imports, so rooms form no circle. A library names no application.
"""

ROOMS = sorted(MAY_IMPORT, key=len, reverse=True)


def _modules() -> dict[str, Path]:
    """Every file by its dotted name below ``dumptruth``."""
    named: dict[str, Path] = {}
    for path in _sources(*TOP):
        parts = path.relative_to(ROOT).with_suffix("").parts
        named[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return named


def _inside(module: str, room: str) -> bool:
    return f"{module}.".startswith(f"{room}.")


def _room(module: str) -> str:
    return next(room for room in ROOMS if _inside(module, room))


@cache
def _graph() -> dict[str, dict[str, Import]]:
    """File to file: what each imports of this project, imports for type checkers included."""
    modules = _modules()
    return {module: _edges(path, modules) for module, path in modules.items()}


def _edges(path: Path, modules: Container[str]) -> dict[str, Import]:
    """The files that a file imports. ``from ..snapshot import store`` means ``store``, not the package on the way."""
    edges: dict[str, Import] = {}
    for item in imports(path):
        name = item.module.removeprefix("dumptruth.")
        if item.relative and name in modules:
            package = name.rpartition(".")[0]
            if package in edges and edges[package].line == item.line:
                del edges[package]
            edges[name] = item
    return edges


def _circles(graph: Mapping[str, Iterable[str]]) -> list[list[str]]:
    """Every circle that a depth-first search meets, as the files along it."""
    done: set[str] = set()
    found: list[list[str]] = []

    def visit(module: str, trail: list[str]) -> None:
        if module in trail:
            found.append([*trail[trail.index(module) :], module])
        elif module not in done:
            for other in graph.get(module, ()):
                visit(other, [*trail, module])
            done.add(module)

    for module in sorted(graph):
        visit(module, [])
    return found


@pytest.mark.parametrize("room", MAY_IMPORT)
def test_a_room_imports_only_the_rooms_it_may(room: str) -> None:
    allowed = tuple(MAY_IMPORT[room].split())
    stray = [
        str(item)
        for module, edges in _graph().items()
        if _room(module) == room
        for other, item in edges.items()
        if _room(other) != room and not any(_inside(other, name) for name in allowed)
    ]
    assert stray == []


def test_no_room_allows_what_leads_back_to_it() -> None:
    rooms = {
        room: [other for other in MAY_IMPORT for name in allowed.split() if other != room and _inside(other, name)]
        for room, allowed in MAY_IMPORT.items()
    }
    assert _circles(rooms) == []


def test_a_circle_is_found() -> None:
    assert _circles({"a": ["b"], "b": ["c", "d"], "c": ["a"]}) == [["a", "b", "c", "a"]]


def test_no_files_import_each_other_in_a_circle() -> None:
    assert [" -> ".join(circle) for circle in _circles(_graph())] == []


def test_the_snapshot_model_imports_only_the_standard_library() -> None:
    assert [str(item) for item in _of("emu/snapshot") if not item.relative
            and _top_level(item.module) not in sys.stdlib_module_names] == []  # fmt: skip


def test_no_library_imports_the_application() -> None:
    application = "dumptruth.fixtures.app"
    assert [
        str(item)
        for item in _all()
        # The drill is no library either: it runs the application.
        if _within(item.module, application) and not item.file.startswith(("fixtures/app/", "fixtures/drill/"))
    ] == []


def test_inside_the_packages_imports_are_relative() -> None:
    """The package ``dumptruth`` itself is excepted: its folder is not at the place of the package."""
    own = ("dumptruth", *TOP, "tests")
    assert [
        str(item)
        for item in _all()
        if not item.relative and _within(item.module, *own) and not item.file.startswith("fixtures/app/dumptruth/")
    ] == []


def test_every_third_party_import_is_a_declared_dependency() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    requirements = [*project["dependencies"], *chain(*project["optional-dependencies"].values())]
    declared = {re.split(r"[^A-Za-z0-9_-]", requirement)[0].replace("-", "_") for requirement in requirements}
    assert [str(item) for item in _all() if _third_party(item) and _top_level(item.module) not in declared] == []


def test_tests_import_the_packages_by_their_installed_names() -> None:
    found = [item for path in _sources("tests") for item in imports(path)]
    assert [str(item) for item in found if not item.relative and _within(item.module, *TOP)] == []


def test_names_of_files_say_what_is_inside() -> None:
    names = [path for top in (*TOP, "tests") for path in (ROOT / top).rglob("*") if "__pycache__" not in path.parts]
    assert [str(path.relative_to(ROOT)) for path in names if path.stem.lower() in VAGUE] == []


def test_names_of_test_files_are_unique() -> None:
    places: dict[str, list[str]] = defaultdict(list)
    for path in _sources("tests"):
        if path.name not in {"__init__.py", "conftest.py"}:
            places[path.name].append(str(path.relative_to(ROOT)))
    assert [where for where in places.values() if len(where) > 1] == []


def _bodies(top: str) -> dict[str, str]:
    """Functions of at least three statements, by their syntax trees without the function's name and docstring."""
    found: dict[str, str] = {}
    for path in _sources(top):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef) and len(node.body) >= 3:
                body = node.body[1:] if isinstance(node.body[0], ast.Expr) else node.body
                key = "\n".join(ast.dump(statement) for statement in body)
                found[key] = f"{path.relative_to(ROOT).as_posix()}:{node.lineno} {node.name}"
    return found


def test_no_function_was_copied_between_the_target_and_the_oracle() -> None:
    emu, oracle = _bodies("emu"), _bodies("oracle")
    assert [f"{emu[key]} = {oracle[key]}" for key in emu.keys() & oracle.keys()] == []
