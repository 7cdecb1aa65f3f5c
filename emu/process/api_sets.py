"""API sets: names such as api-ms-win-crt-stdio-l1-1-0.dll, for which the loader takes another DLL (api_sets.toml)."""

from __future__ import annotations

import re
import tomllib
from functools import cache
from pathlib import Path

__all__ = ["host_of"]


@cache
def _table() -> tuple[tuple[re.Pattern[str], str], ...]:
    rows = tomllib.loads(Path(__file__).with_name("api_sets.toml").read_text(encoding="utf-8"))["set"]
    return tuple((re.compile(row["pattern"]), row["host"]) for row in rows)


def host_of(name: str) -> str:
    """The DLL that has the functions of the API set ``name``. Other names are returned as they are."""
    stem = name.lower().removesuffix(".dll")
    return next((host for pattern, host in _table() if pattern.fullmatch(stem)), name)
