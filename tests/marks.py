"""Marks of tests that need something that not every machine has."""

from __future__ import annotations

import importlib.util

import pytest

needs_compiler = pytest.mark.skipif(
    importlib.util.find_spec("ziglang") is None, reason="compiling needs the extra `images`"
)
