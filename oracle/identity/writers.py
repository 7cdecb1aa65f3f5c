"""Tells who wrote a dump by its habits (writers.toml)."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Any

from ..readers.container import stream_name
from .model import Writer
from .tables import toml


def writer_of(kind: str, traits: Mapping[str, str], streams: Collection[int] = ()) -> Writer:
    """``traits``: name -> value, of those that the dump shows. ``streams``: the types of its streams."""
    rows = toml("writers")[kind]
    writer, evidence = _first(rows.get("writer", ()), traits, streams)
    asked, more = _first(rows.get("asked", ()), traits, streams)
    if asked is not None and writer is not None and writer in asked:
        asked, more = None, None
    shown = [evidence, more if more != evidence else None]
    told = tuple(item for item in shown if item is not None)
    return Writer(writer, asked, told or tuple(f"{name}: {value}" for name, value in traits.items()))


def _first(
    rows: Collection[Mapping[str, Any]], traits: Mapping[str, str], streams: Collection[int]
) -> tuple[str | None, str | None]:
    """The name that the first matching row gives, and its evidence."""
    for row in rows:
        if "stream" in row:
            if row["stream"] in streams:
                return row["writer"], stream_name(row["stream"])
            continue
        value = traits.get(row["trait"])
        found = None if value is None else re.fullmatch(row["pattern"], value, re.DOTALL)
        if found is not None:
            return row["writer"].format(found[0], *found.groups()), f"{row['trait']}: {value}"
    return None, None
