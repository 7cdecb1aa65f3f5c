"""Limits of a command: time, memory, output. The system enforces the memory where it can, else a watchdog does."""

from __future__ import annotations

import ctypes
import errno
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from typing import Any, Final

# This program sets the memory limit and then becomes the command. A limit that is set from outside comes too late for
# processes that the command starts at once. A pre-exec function is not safe in a process with threads. Python ignores
# SIGPIPE, and the command would inherit that.
_LAUNCH: Final = (
    "import os, resource, signal, sys\n"
    "signal.signal(signal.SIGPIPE, signal.SIG_DFL)\n"
    "size = int(sys.argv[1])\n"
    "hard = resource.getrlimit(resource.RLIMIT_AS)[1]\n"
    "size = size if hard == resource.RLIM_INFINITY else min(size, hard)\n"
    "resource.setrlimit(resource.RLIMIT_AS, (size, size))\n"
    "resource.setrlimit(resource.RLIMIT_CORE, (0, 0))\n"
    "try: os.execvp(sys.argv[2], sys.argv[2:])\n"
    "except OSError as error:\n"
    "    sys.stderr.write(f'dumptruth: not started: {error.errno}\\n')\n"
    "    sys.exit(126)\n"
)
_NOT_STARTED: Final = re.compile(rb"dumptruth: not started: (\d+)\n")
"""What the launcher says, with status 126, of a command that the system cannot start."""


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits of one case. A command that exceeds one is killed, with all processes that it started."""

    seconds: float = 60.0
    memory: int = 3 << 30
    """Bytes of each process; 0: no limit. Counts address space on Linux and Windows, resident memory elsewhere."""
    output: int = 64 << 20
    """Bytes on standard output."""


def bounded(command: list[str], limits: Limits) -> list[str]:
    """The command line that starts ``command`` under its memory limit. Only Linux can limit memory this way; elsewhere
    the result is ``command``.
    """
    if sys.platform.startswith("linux") and limits.memory:
        return [sys.executable, "-I", "-S", "-c", _LAUNCH, str(limits.memory), *command]
    return command


def start_error(status: int | None, errors: bytes) -> OSError | None:
    """Why ``bounded`` could not start the command, from its exit status and standard error; None if it did."""
    said = _NOT_STARTED.fullmatch(errors) if status == 126 else None  # 126: sh(1), found but cannot be executed
    return None if said is None else OSError(int(said[1]), os.strerror(int(said[1])))


POOR: Final = frozenset(
    (
        errno.EAGAIN, errno.ENOMEM, errno.EMFILE, errno.ENFILE, errno.ENOSPC, errno.EFBIG, errno.EIO,
        getattr(errno, "EDQUOT", errno.ENOSPC),
    )
)  # fmt: skip
"""Errors of a host that lacks processes, memory, descriptors or room. They say nothing about the command."""


def resident(pid: int) -> int | None:
    """Resident memory of a process in bytes; None if it cannot be read, for example because the process has ended."""
    if sys.platform.startswith("linux"):
        try:
            with open(f"/proc/{pid}/status", encoding="ascii", errors="replace") as status:  # noqa: PTH123
                line = next((line for line in status if line.startswith("VmRSS:")), None)
        except OSError:
            return None
        return None if line is None else int(line.split()[1]) << 10  # proc(5): in kB, which are KiB
    if sys.platform == "win32":
        return None  # the job object enforces the limit
    said = subprocess.run(
        ["ps", "-o", "rss=", "-p", str(pid)], capture_output=True, text=True, check=False
    ).stdout.strip()
    return int(said) << 10 if said.isdecimal() else None  # ps(1): in KiB


class BasicLimits(ctypes.Structure):
    """winnt.h JOBOBJECT_BASIC_LIMIT_INFORMATION."""

    _fields_ = (
        ("PerProcessUserTimeLimit", ctypes.c_int64),
        ("PerJobUserTimeLimit", ctypes.c_int64),
        ("LimitFlags", ctypes.c_uint32),
        ("MinimumWorkingSetSize", ctypes.c_size_t),
        ("MaximumWorkingSetSize", ctypes.c_size_t),
        ("ActiveProcessLimit", ctypes.c_uint32),
        ("Affinity", ctypes.c_size_t),
        ("PriorityClass", ctypes.c_uint32),
        ("SchedulingClass", ctypes.c_uint32),
    )


class ExtendedLimits(ctypes.Structure):
    """winnt.h JOBOBJECT_EXTENDED_LIMIT_INFORMATION."""

    _fields_ = (
        ("BasicLimitInformation", BasicLimits),
        ("IoInfo", ctypes.c_uint64 * 6),
        ("ProcessMemoryLimit", ctypes.c_size_t),
        ("JobMemoryLimit", ctypes.c_size_t),
        ("PeakProcessMemoryUsed", ctypes.c_size_t),
        ("PeakJobMemoryUsed", ctypes.c_size_t),
    )


_PROCESS_MEMORY, _KILL_ON_JOB_CLOSE = 0x100, 0x2000  # winnt.h JOB_OBJECT_LIMIT_*
_EXTENDED_LIMIT_INFORMATION = 9  # winnt.h JobObjectExtendedLimitInformation


class Job:
    """On Windows a job object with the process and all processes that it starts; elsewhere it does nothing."""

    def __init__(self, process: subprocess.Popen[bytes], limits: Limits) -> None:
        self._job: int | None = None
        self._kernel: Any = None
        if sys.platform == "win32":
            kernel = ctypes.WinDLL("kernel32", use_last_error=True)
            kernel.CreateJobObjectW.restype = ctypes.c_void_p
            self._kernel = kernel
            self._job = kernel.CreateJobObjectW(None, None)
            wanted = ExtendedLimits()
            wanted.BasicLimitInformation.LimitFlags = _KILL_ON_JOB_CLOSE
            if limits.memory:
                wanted.BasicLimitInformation.LimitFlags |= _PROCESS_MEMORY
                wanted.ProcessMemoryLimit = limits.memory
            job, handle = ctypes.c_void_p(self._job), ctypes.c_void_p(int(process._handle))
            size = ctypes.sizeof(wanted)
            kernel.SetInformationJobObject(job, _EXTENDED_LIMIT_INFORMATION, ctypes.byref(wanted), size)
            kernel.AssignProcessToJobObject(job, handle)

    def end(self) -> None:
        """Kill every process of the job."""
        if self._job is not None:
            self._kernel.CloseHandle(ctypes.c_void_p(self._job))
            self._job = None
