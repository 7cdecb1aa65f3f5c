"""The minidump reader's face: ``read_minidump`` and the ``Dump`` it returns."""

from __future__ import annotations

from .facts import Dump

__all__ = ["Dump"]
