"""Translates errors of the host to HRESULTs (docs/format/write-dump-file.md#return-values-by-situation)."""

from __future__ import annotations

import errno
import io

from ..constants import Hresult, hresult_from_win32
from ..writer.layout import LayoutError, LayoutOverflow

_HRESULTS = {  # the codes that the file calls of Windows return in these cases (winerror.h)
    errno.ENOENT: Hresult.ERROR_PATH_NOT_FOUND,  # when a file is created, the missing part is its folder
    errno.ENOTDIR: Hresult.ERROR_PATH_NOT_FOUND,
    errno.EACCES: Hresult.ERROR_ACCESS_DENIED,
    errno.EPERM: Hresult.ERROR_ACCESS_DENIED,
    errno.EROFS: Hresult.ERROR_ACCESS_DENIED,
    errno.EISDIR: Hresult.ERROR_ACCESS_DENIED,
    errno.EEXIST: Hresult.ERROR_FILE_EXISTS,
    errno.ENOSPC: Hresult.ERROR_DISK_FULL,
    errno.EFBIG: Hresult.ERROR_FILE_TOO_LARGE,
    errno.EMFILE: Hresult.ERROR_TOO_MANY_OPEN_FILES,
    errno.ENFILE: Hresult.ERROR_TOO_MANY_OPEN_FILES,
    errno.ENAMETOOLONG: Hresult.ERROR_FILENAME_EXCED_RANGE,
    errno.ESPIPE: Hresult.ERROR_SEEK_ON_DEVICE,
    errno.EBADF: Hresult.ERROR_INVALID_HANDLE,
    errno.EIO: Hresult.ERROR_WRITE_FAULT,
    errno.ENOMEM: Hresult.E_OUTOFMEMORY,
    getattr(errno, "EDQUOT", errno.ENOSPC): Hresult.ERROR_DISK_FULL,
}


def hresult_of(error: OSError) -> int:
    """Return the HRESULT for an error of the host's file system; E_FAIL if no code fits."""
    windows_error = getattr(error, "winerror", None)
    if windows_error:
        return hresult_from_win32(windows_error)
    if isinstance(error, io.UnsupportedOperation):  # the file object cannot write or seek
        return Hresult.ERROR_ACCESS_DENIED
    return _HRESULTS.get(error.errno, Hresult.E_FAIL) if error.errno is not None else Hresult.E_FAIL


def hresult_of_layout(error: LayoutError) -> int:
    """Return ERROR_FILE_TOO_LARGE for a dump with offsets or sizes above 4 GiB, E_FAIL for other layout errors."""
    if isinstance(error, LayoutOverflow) and error.beyond_4_gib:
        return Hresult.ERROR_FILE_TOO_LARGE
    return Hresult.E_FAIL
