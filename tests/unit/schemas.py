"""Validators of the published schemas, each checked and compiled once."""

from __future__ import annotations

import json
from functools import cache
from importlib.resources import files
from typing import Any

from jsonschema import Draft202012Validator
from referencing import Registry, Resource


@cache
def validator(name: str) -> Draft202012Validator:
    """The validator of the schema with that file name."""
    found = _loaded(name)
    Draft202012Validator.check_schema(found)
    names = [file.name for file in (files("dumptruth.oracle") / "schemas").iterdir() if file.name.endswith(".json")]
    registry: Registry[Any] = Registry().with_resources(
        (other, Resource.from_contents(_loaded(other))) for other in names
    )
    return Draft202012Validator(found, registry=registry)


def _loaded(name: str) -> Any:
    return json.loads((files("dumptruth.oracle") / "schemas" / name).read_text(encoding="utf-8"))


def schema(name: str) -> dict[str, Any]:
    found = validator(name).schema
    assert isinstance(found, dict)
    return found
