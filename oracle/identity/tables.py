"""Loads the tables of names and meanings beside this file, each when it is first used."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any


def _text(name: str) -> str:
    return (files(__package__) / name).read_text(encoding="utf-8")


@cache
def toml(name: str) -> Mapping[str, Any]:
    """The table ``name``.toml."""
    return tomllib.loads(_text(f"{name}.toml"))


@cache
def names(table: str) -> Mapping[int, str]:
    """Code -> name of ``bugcodes`` or ``ntstatus``. Where a code has several names, the first one counts."""
    found: dict[int, str] = {}
    for line in _text(f"{table}.tsv").splitlines():
        if line and not line.startswith("#"):
            name, value = line.split("\t")
            found.setdefault(int(value, 0) & 0xFFFF_FFFF, name)
    return found


@cache
def numbered(table: str, *path: str) -> Mapping[int, Any]:
    """A part of a TOML table whose keys are numbers; empty if the table has no such part."""
    part: Any = toml(table)
    for key in path:
        part = part.get(key, {})
    return {int(key, 0): value for key, value in part.items() if key[:1].isdigit()}
