"""Validators of the published schemas, each checked and compiled once."""

from __future__ import annotations

import json
from functools import cache
from importlib.resources import files
from typing import Any

from jsonschema import Draft202012Validator


@cache
def validator(name: str) -> Draft202012Validator:
    """The validator of the schema with that file name."""
    found = json.loads((files("dumptruth.oracle") / "schemas" / name).read_text(encoding="utf-8"))
    Draft202012Validator.check_schema(found)
    return Draft202012Validator(found)


def schema(name: str) -> dict[str, Any]:
    found = validator(name).schema
    assert isinstance(found, dict)
    return found
