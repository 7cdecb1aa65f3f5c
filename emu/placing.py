"""Temporary files and folders that become an output when they are complete, and else leave nothing.

- A file that is replaced gives its permissions to the new one, and its owner where the system allows it.
- ``sweep`` removes what an interruption left: a name is registered before the file is made.
- A process that is killed cannot remove its temporaries. The next one that writes into that folder does, if nobody has
  them locked. Windows deletes no file that is open, which serves as the lock; temporary folders stay there.
"""

from __future__ import annotations

import contextlib
import os
import stat
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

PRIVATE: Final = 0o600
"""Permissions of a new dump: the memory of a process is for its owner."""
PREFIX: Final = ".dumptruth-"
_FRESH: Final = 10.0
"""Seconds in which a temporary is not taken for left over: it is locked a moment after it is made."""
_FILE, _FOLDER = ".tmp", ".dir"
_pending: dict[Path, int | None] = {}
"""The temporaries of this process. The number is the descriptor that holds the lock of a folder."""


def temporary_file(folder: Path, permissions: int) -> tuple[int, Path]:
    """A new file in ``folder``, as a descriptor that can be written, and its path. Raises OSError."""
    _clear(folder)
    path = _name(folder, _FILE)
    _pending[path] = None
    try:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
        descriptor = os.open(path, flags, permissions)
    except OSError:  # after an interruption the file may exist
        _pending.pop(path, None)
        raise
    _lock(descriptor)
    return descriptor, path


def temporary_folder(parent: Path) -> Path:
    """A new folder in ``parent`` that only its owner can enter. Raises OSError."""
    _clear(parent)
    path = _name(parent, _FOLDER)
    _pending[path] = None
    try:
        path.mkdir(mode=0o700)
    except OSError:  # after an interruption the file may exist
        _pending.pop(path, None)
        raise
    if sys.platform != "win32":
        descriptor = _pending[path] = os.open(path, os.O_RDONLY)
        _lock(descriptor)
    return path


def take_place(temporary: Path, path: Path, permissions: int | None = None, *, replace: bool = True) -> None:
    """Give ``temporary`` the name ``path``. Raises OSError, FileExistsError without ``replace``.

    A replaced file gives its permissions and owner. ``permissions`` are those of a new file; None: those that it has.
    """
    if not replace:
        _set_permissions(temporary, permissions)
        _rename_to_new(temporary, path)
    else:
        try:
            inherit(temporary, path)
        except FileNotFoundError:
            _set_permissions(temporary, permissions)
        temporary.replace(path)
    _pending.pop(temporary, None)


def inherit(temporary: Path, old: Path) -> None:
    """Give ``temporary`` the permissions of ``old``, and its owner where possible. Raises OSError."""
    found = old.stat()
    if sys.platform != "win32":
        with contextlib.suppress(OSError):
            os.chown(temporary, found.st_uid, found.st_gid)
    _set_permissions(temporary, stat.S_IMODE(found.st_mode) & 0o777)


@contextlib.contextmanager
def scratch_folder() -> Iterator[Path]:
    """A new folder for temporary files. It is removed at the end, also of a command that is interrupted."""
    import tempfile  # noqa: PLC0415 - most uses of this module need no such folder

    path = temporary_folder(Path(tempfile.gettempdir()))
    try:
        yield path
    finally:
        discard(path)


def discard(temporary: Path) -> None:
    """Remove a temporary file or folder, if it is still there. Never raises OSError."""
    if temporary.suffix == _FOLDER:
        _remove_folder(temporary)
    else:
        with contextlib.suppress(OSError):
            temporary.unlink()
    descriptor = _pending.pop(temporary, None)
    if descriptor is not None:
        os.close(descriptor)


def sweep() -> None:
    """Remove every temporary of this process."""
    for path in list(_pending):
        discard(path)


def remove_scratch_of(pid: int) -> None:
    """Remove the folders of ``scratch_folder`` in a process that has died. Never raises OSError."""
    import tempfile  # noqa: PLC0415 - as above

    with contextlib.suppress(OSError):
        for path in Path(tempfile.gettempdir()).glob(f"{PREFIX}{pid:x}-*{_FOLDER}"):
            discard(path)


def _remove_folder(path: Path) -> None:
    import shutil  # noqa: PLC0415 - loads the compressors of the standard library

    shutil.rmtree(path, ignore_errors=True)


def _name(folder: Path, suffix: str) -> Path:
    return folder / f"{PREFIX}{os.getpid():x}-{os.urandom(8).hex()}{suffix}"


def _set_permissions(path: Path, permissions: int | None) -> None:
    if permissions is not None and sys.platform != "win32":
        path.chmod(permissions)


def _rename_to_new(temporary: Path, path: Path) -> None:
    """Rename, but never replace a file. Raises FileExistsError."""
    if sys.platform == "win32":
        temporary.rename(path)  # refuses a name that is taken
        return
    try:
        os.link(temporary, path)
    except FileExistsError:
        raise
    except OSError:  # a file system without hard links
        with path.open("xb"):
            temporary.replace(path)
        return
    temporary.unlink()


def _lock(descriptor: int) -> None:
    """Keep others from taking the temporary for one that is left over. The lock ends with the process."""
    if sys.platform != "win32":
        import fcntl  # noqa: PLC0415 - POSIX only

        with contextlib.suppress(OSError):  # a file system without locks: then ``_clear`` cannot lock it either
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _clear(folder: Path) -> None:
    """Remove the temporaries in ``folder`` that a killed process left. Never raises OSError."""
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith(PREFIX) and entry.stat(follow_symlinks=False).st_mtime < time.time() - _FRESH:
                _clear_one(Path(entry.path))


def _clear_one(path: Path) -> None:
    if sys.platform == "win32":
        if path.suffix == _FILE:
            with contextlib.suppress(OSError):
                path.unlink()
        return
    if path.suffix not in (_FILE, _FOLDER):
        return
    import fcntl  # noqa: PLC0415 - POSIX only

    with contextlib.suppress(OSError):
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)  # fails while the other process lives
            if path.suffix == _FOLDER:
                _remove_folder(path)
            else:
                path.unlink()
        finally:
            os.close(descriptor)
