"""Fixtures of several unit tests."""

from ..precompiled import precompiled_headers

__all__ = ["precompiled_headers"]
