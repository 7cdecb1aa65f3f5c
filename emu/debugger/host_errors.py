"""What a DbgEng method returns for an error of the host (spec user-mode 1.9)."""

from __future__ import annotations

import errno
import io

from ..constants import Hresult, hresult_from_win32
from ..writer.layout import LayoutError, LayoutOverflow

_HRESULTS = {  # the system codes that Windows' own file calls give in these cases (winerror.h)
    errno.ENOENT: Hresult.ERROR_PATH_NOT_FOUND,  # a file is created: what is missing is its folder
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
    """For an error of the host's file system."""
    windows_error = getattr(error, "winerror", None)
    if windows_error:
        return hresult_from_win32(windows_error)
    if isinstance(error, io.UnsupportedOperation):  # opened without the right to write or to seek
        return Hresult.ERROR_ACCESS_DENIED
    return _HRESULTS.get(error.errno, Hresult.E_FAIL) if error.errno is not None else Hresult.E_FAIL


def hresult_of_layout(error: LayoutError) -> int:
    """For a dump that cannot be laid out: too long for the format's 32-bit offsets and sizes, or inconsistent."""
    if isinstance(error, LayoutOverflow) and error.beyond_4_gib:
        return Hresult.ERROR_FILE_TOO_LARGE
    return Hresult.E_FAIL
