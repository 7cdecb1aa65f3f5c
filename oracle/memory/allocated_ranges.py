"""Finds the parts of a sparse file that hold data."""

from __future__ import annotations

import errno
import importlib
import os
import sys
from collections.abc import Callable
from typing import Any, Final

_MAX_EXTENTS: Final = 65_536
_FSCTL_QUERY_ALLOCATED_RANGES: Final = 0x940CF  # winioctl.h
_RANGES: Final = 1024
"""How many FILE_ALLOCATED_RANGE_BUFFERs one answer has room for (winioctl.h: FileOffset and Length, 64 bits each)."""

Extent = tuple[int, int]


def _system_handle(descriptor: int) -> int:
    return int(importlib.import_module("msvcrt").get_osfhandle(descriptor))


def data_extents(handle: int, size: int) -> list[tuple[int, int]] | None:
    """Where an open file has data, as sorted ``[start, end)``; None if the system cannot say.

    A file with more than ``_MAX_EXTENTS`` extents counts as data after the last one.
    """
    if not hasattr(os, "SEEK_DATA"):
        control = device_io_control()
        return None if control is None else allocated_ranges(control, _system_handle(handle), size, _MAX_EXTENTS)
    found: list[tuple[int, int]] = []
    at = 0
    try:
        while at < size and len(found) < _MAX_EXTENTS:
            start = os.lseek(handle, at, os.SEEK_DATA)
            at = os.lseek(handle, start, os.SEEK_HOLE)
            found.append((start, at))
    except OSError as error:
        # ENXIO means that no data follows ``at``.
        return found if error.errno == errno.ENXIO else None
    if at < size:
        found.append((at, size))
    return found


def device_io_control() -> Callable[..., Any] | None:
    """DeviceIoControl of kernel32.dll; None on other systems."""
    if sys.platform == "win32":
        import ctypes  # noqa: PLC0415 - Windows only

        control: Callable[..., Any] = ctypes.WinDLL("kernel32").DeviceIoControl
        return control
    return None


def allocated_ranges(control: Callable[..., Any], handle: int, size: int, limit: int) -> list[Extent] | None:
    """The allocated ranges of an open file, as sorted ``[start, end)`` in bytes. None if the file system does not
    report them.

    For Windows. ``handle`` is a Windows handle, not Python's file descriptor. ``size`` is that of the file, in bytes.
    After about ``limit`` ranges, the rest of the file is returned as one range.
    """
    import ctypes  # noqa: PLC0415 - Windows only

    found: list[Extent] = []
    at = 0
    while at < size:
        if len(found) >= limit:
            return [*found, (at, size)]
        asked, answer = (ctypes.c_int64 * 2)(at, size - at), (ctypes.c_int64 * (2 * _RANGES))()
        written = ctypes.c_uint32()
        whole = control(
            ctypes.c_void_p(handle), _FSCTL_QUERY_ALLOCATED_RANGES, asked, ctypes.sizeof(asked), answer,
            ctypes.sizeof(answer), ctypes.byref(written), None,
        )  # fmt: skip
        count = written.value // 16
        if not whole and not count:
            return None
        found += [(answer[2 * index], answer[2 * index] + answer[2 * index + 1]) for index in range(count)]
        if whole:  # else ERROR_MORE_DATA: the answer was full
            return found
        at = found[-1][1]
    return found
