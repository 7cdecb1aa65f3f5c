"""Where a sparse file has data, as Windows tells it."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable
from typing import Any, Final

_FSCTL_QUERY_ALLOCATED_RANGES: Final = 0x940CF  # winioctl.h
_RANGES: Final = 1024
"""FILE_ALLOCATED_RANGE_BUFFER (winioctl.h: FileOffset and Length, 64 bits each) that one answer has room for."""

Extent = tuple[int, int]


def device_io_control() -> Callable[..., Any] | None:
    """kernel32.dll's function; None where there is none."""
    if sys.platform == "win32":
        control: Callable[..., Any] = ctypes.WinDLL("kernel32").DeviceIoControl
        return control
    return None


def allocated_ranges(control: Callable[..., Any], handle: int, size: int, limit: int) -> list[Extent] | None:
    """The allocated ranges of an open file of ``size`` bytes, sorted ``[start, end)``; None where the file system does
    not tell. Of more than about ``limit`` the rest is one. ``handle`` is the system's, not Python's file descriptor.
    """
    found: list[Extent] = []
    at = 0
    while at < size:
        if len(found) >= limit:
            return [*found, (at, size)]
        asked, answer = (ctypes.c_int64 * 2)(at, size - at), (ctypes.c_int64 * (2 * _RANGES))()
        told = ctypes.c_uint32()
        whole = control(
            ctypes.c_void_p(handle), _FSCTL_QUERY_ALLOCATED_RANGES, asked, ctypes.sizeof(asked), answer,
            ctypes.sizeof(answer), ctypes.byref(told), None,
        )  # fmt: skip
        count = told.value // 16
        if not whole and not count:
            return None
        found += [(answer[2 * index], answer[2 * index] + answer[2 * index + 1]) for index in range(count)]
        if whole:  # else ERROR_MORE_DATA: the answer was full
            return found
        at = found[-1][1]
    return found
