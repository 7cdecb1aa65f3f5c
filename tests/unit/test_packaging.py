"""The package list and the data patterns of pyproject.toml match the folders, so that the wheel is complete."""

from __future__ import annotations

import importlib
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import dumptruth
import pytest

ROOT = Path(__file__).resolve().parents[2]
TOP = ("emu", "oracle", "fixtures")
ITSELF = Path("fixtures", "app", "dumptruth")
"""The folder of the package ``dumptruth`` itself."""


def _pyproject() -> dict[str, Any]:
    with (ROOT / "pyproject.toml").open("rb") as file:
        return tomllib.load(file)


def _folder(package: str) -> Path:
    """The folder of ``dumptruth.emu.writer`` and its like, by the mapping."""
    return ROOT / ITSELF if package == "dumptruth" else ROOT.joinpath(*package.split(".")[1:])


def _package(folder: Path) -> str:
    place = folder.relative_to(ROOT)
    return "dumptruth" if place == ITSELF else ".".join(("dumptruth", *place.parts))


def _files(top: str) -> list[Path]:
    return [path for path in (ROOT / top).rglob("*") if path.is_file() and "__pycache__" not in path.parts]


def _covered(setuptools: dict[str, Any]) -> set[Path]:
    return {
        path
        for package, patterns in setuptools["package-data"].items()
        for pattern in patterns
        for path in _folder(package).glob(pattern)
    }


def test_the_package_list_names_exactly_the_folders_that_hold_python_or_documents() -> None:
    folders = {path.parent for top in TOP for path in _files(top) if path.suffix == ".py"}
    folders |= {path.parent for path in _files("docs")}
    listed = _pyproject()["tool"]["setuptools"]["packages"]
    assert len(listed) == len(set(listed)), "a package is listed twice"
    assert set(listed) == set(map(_package, folders))


def test_every_package_is_a_regular_package() -> None:
    for package in _pyproject()["tool"]["setuptools"]["packages"]:
        if package.startswith("dumptruth.docs"):
            continue  # documents, and no Python
        assert (_folder(package) / "__init__.py").is_file(), f"{package} has no __init__.py"


def test_every_package_lies_below_a_mapped_folder() -> None:
    setuptools = _pyproject()["tool"]["setuptools"]
    folders = {f"dumptruth.{top}": top for top in ("docs", *TOP)}
    assert setuptools["package-dir"] == {"dumptruth": ITSELF.as_posix(), **folders}


@pytest.mark.parametrize("top", ["docs", *TOP])
def test_every_file_that_is_not_python_is_package_data(top: str) -> None:
    covered = _covered(_pyproject()["tool"]["setuptools"])
    data = [path for path in _files(top) if path.suffix != ".py"]
    assert [str(path.relative_to(ROOT)) for path in data if path not in covered] == [], "not in the wheel"


def test_every_data_pattern_matches_a_file() -> None:
    dead = [
        f"{package}: {pattern}"
        for package, patterns in _pyproject()["tool"]["setuptools"]["package-data"].items()
        for pattern in patterns
        if not any(_folder(package).glob(pattern))
    ]
    assert dead == []


@pytest.mark.parametrize("package", ["dumptruth", *(f"dumptruth.{top}" for top in TOP)])
def test_each_top_package_says_that_it_is_typed(package: str) -> None:
    assert (_folder(package) / "py.typed").is_file()
    assert "py.typed" in _pyproject()["tool"]["setuptools"]["package-data"][package]


def test_the_project_declares_the_command() -> None:
    assert _pyproject()["project"]["scripts"] == {"dumptruth": "dumptruth.fixtures.app.start:main"}


def test_the_package_itself_has_the_version() -> None:
    assert dumptruth.__version__ == _pyproject()["project"]["version"]


def test_the_package_is_a_command(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "dumptruth", "--version"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout == f"dumptruth {_pyproject()['project']['version']}\n"


def test_the_project_declares_the_pytest_plugin() -> None:
    declared = _pyproject()["project"]["entry-points"]["pytest11"]
    assert declared == {"dumptruth": "dumptruth.oracle.pytest_plugin"}
    assert hasattr(importlib.import_module(declared["dumptruth"]), "pytest_addoption")
