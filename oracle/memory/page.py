"""The size of a page."""

from typing import Final

PAGE_SIZE: Final = 0x1000
"""Bytes of a small page on x86, amd64 and arm64 Windows."""
