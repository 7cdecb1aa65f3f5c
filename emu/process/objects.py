"""Models kernel objects: their types and access rights, when they are signaled, and what a satisfied wait changes.

Type names are those of the object manager (as HandleData shows them). Access rights: winnt.h, ntddk.h.
"""

# ruff: noqa: ARG002 - most types ignore the waiting thread

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from ..machine.cpu import CpuState
from .files import File as FileNode
from .winnt import Status, StatusError

GENERIC_READ, GENERIC_WRITE, GENERIC_EXECUTE, GENERIC_ALL = 0x80000000, 0x40000000, 0x20000000, 0x10000000
MAXIMUM_ALLOWED = 0x02000000
DELETE = 0x00010000
SYNCHRONIZE = 0x00100000
READ_CONTROL = 0x00020000

FILE_READ_DATA, FILE_WRITE_DATA, FILE_APPEND_DATA = 0x1, 0x2, 0x4
SECTION_MAP_WRITE, SECTION_MAP_READ, SECTION_MAP_EXECUTE = 0x2, 0x4, 0x8
EVENT_MODIFY_STATE = 0x2
SEMAPHORE_MODIFY_STATE = 0x2
THREAD_TERMINATE, THREAD_SUSPEND_RESUME = 0x1, 0x2

_STANDARD_RIGHTS = READ_CONTROL  # STANDARD_RIGHTS_READ, _WRITE and _EXECUTE (winnt.h)


@dataclass(eq=False)
class KernelObject:
    """An object that handles refer to. Compared by identity.

    ``name`` is the full object manager path, None for an unnamed object.
    """

    type_name: ClassVar[str] = ""
    all_access: ClassVar[int] = 0
    read_access: ClassVar[int] = 0
    write_access: ClassVar[int] = 0
    execute_access: ClassVar[int] = 0
    waitable: ClassVar[bool] = True

    name: str | None = None
    handle_count: int = field(default=0, init=False)
    references: int = field(default=1, init=False)
    """Pointers to the object, without those of handles."""
    waits: list[Wait] = field(default_factory=list, init=False)

    @property
    def pointer_count(self) -> int:
        """PointerCount. Windows 8.1 and later add 32768 references for every open handle (``!handle``, ``!object``)."""
        return self.handle_count * 0x8000 + self.references

    def is_signaled(self, thread: Thread) -> bool:
        """Whether a wait of ``thread`` is satisfied.

        Called for waitable types only. Sections, directories, keys and tokens never grant SYNCHRONIZE.
        """
        raise NotImplementedError

    def acquire(self, thread: Thread) -> bool:
        """Apply the effect of a satisfied wait. Returns whether the object was abandoned."""
        return False

    def grant(self, desired: int) -> int:
        """The granted access for ``desired``, with generic rights mapped (GENERIC_MAPPING of the type)."""
        granted = desired & 0x001FFFFF
        if desired & (GENERIC_ALL | MAXIMUM_ALLOWED):
            granted |= self.all_access
        if desired & GENERIC_READ:
            granted |= self.read_access | _STANDARD_RIGHTS
        if desired & GENERIC_WRITE:
            granted |= self.write_access | _STANDARD_RIGHTS
        if desired & GENERIC_EXECUTE:
            granted |= self.execute_access | _STANDARD_RIGHTS
        return granted


@dataclass(eq=False)
class Wait:
    """One thread that waits for objects, or for time only. ``deadline`` is a FILETIME; None waits for ever."""

    thread: Thread
    objects: tuple[KernelObject, ...]
    wait_all: bool
    deadline: int | None
    status: Status | int = Status.SUCCESS

    def try_satisfy(self) -> int | None:
        """The status that ends the wait; None if it continues."""
        if not self.objects:
            return None
        thread = self.thread
        if self.wait_all:
            if not all(waited.is_signaled(thread) for waited in self.objects):
                return None
            abandoned = [waited.acquire(thread) for waited in self.objects]
            return Status.ABANDONED_WAIT_0 if any(abandoned) else Status.SUCCESS
        for index, waited in enumerate(self.objects):
            if waited.is_signaled(thread):
                return (Status.ABANDONED_WAIT_0 if waited.acquire(thread) else Status.SUCCESS) + index
        return None


@dataclass(eq=False)
class Timer(KernelObject):
    """A timer. It is signaled at ``due``, a FILETIME, and again after each ``period`` of 100 ns, if that is not 0."""

    type_name = "Timer"
    all_access = 0x1F0003
    read_access, write_access, execute_access = 0x1, 0x2, SYNCHRONIZE

    manual_reset: bool = False
    signaled: bool = False
    due: int | None = None
    period: int = 0

    def is_signaled(self, thread: Thread) -> bool:
        return self.signaled

    def acquire(self, thread: Thread) -> bool:
        if not self.manual_reset:
            self.signaled = False
        return False


@dataclass(eq=False)
class Event(KernelObject):
    """An event. A wait resets it unless it has ``manual_reset``."""

    type_name = "Event"
    all_access = 0x1F0003
    read_access, write_access, execute_access = 0x1, EVENT_MODIFY_STATE, SYNCHRONIZE

    manual_reset: bool = False
    signaled: bool = False

    def is_signaled(self, thread: Thread) -> bool:
        return self.signaled

    def acquire(self, thread: Thread) -> bool:
        if not self.manual_reset:
            self.signaled = False
        return False


@dataclass(eq=False)
class Mutant(KernelObject):
    """A mutex. ``count`` is that of NtQueryMutant: 1 free, 0 owned once, -1 owned twice."""

    type_name = "Mutant"
    all_access = 0x1F0001
    read_access, write_access, execute_access = 0x1, 0, SYNCHRONIZE

    owner: Thread | None = None
    count: int = 1
    abandoned: bool = False

    def is_signaled(self, thread: Thread) -> bool:
        return self.owner is None or self.owner is thread

    def acquire(self, thread: Thread) -> bool:
        if self.count == -(1 << 31):
            raise StatusError(Status.MUTANT_LIMIT_EXCEEDED)
        was_abandoned, self.abandoned = self.abandoned, False
        if self.owner is None:
            thread.mutants.append(self)
        self.owner = thread
        self.count -= 1
        return was_abandoned

    def release(self, thread: Thread) -> int:
        """Release the mutex and return the previous count. Raises MUTANT_NOT_OWNED unless ``thread`` owns it."""
        if self.owner is not thread:
            raise StatusError(Status.MUTANT_NOT_OWNED)
        previous = self.count
        self.count += 1
        if self.count == 1:
            self.owner = None
            thread.mutants.remove(self)
        return previous

    def abandon(self) -> None:
        """Mark the mutex as abandoned, because its owner ended."""
        self.owner, self.count, self.abandoned = None, 1, True


@dataclass(eq=False)
class Semaphore(KernelObject):
    """A semaphore. A wait decrements ``count``."""

    type_name = "Semaphore"
    all_access = 0x1F0003
    read_access, write_access, execute_access = 0x1, SEMAPHORE_MODIFY_STATE, SYNCHRONIZE

    count: int = 0
    limit: int = 1

    def is_signaled(self, thread: Thread) -> bool:
        return self.count > 0

    def acquire(self, thread: Thread) -> bool:
        self.count -= 1
        return False

    def release(self, count: int) -> int:
        """Add ``count`` and return the previous count. Raises SEMAPHORE_LIMIT_EXCEEDED without any change."""
        if self.count + count > self.limit:
            raise StatusError(Status.SEMAPHORE_LIMIT_EXCEEDED)
        self.count += count
        return self.count - count


@dataclass(eq=False)
class Section(KernelObject):
    """A section. Its ``pages`` physical pages from ``physical`` on are shared by all views."""

    type_name = "Section"
    all_access = 0xF001F
    read_access, write_access, execute_access = 0x5, SECTION_MAP_WRITE, SECTION_MAP_EXECUTE
    waitable = False

    size: int = 0
    protect: int = 0
    physical: int = 0
    pages: int = 0
    views: set[int] = field(default_factory=set)
    """Bases of the views that map these pages."""


@dataclass(eq=False)
class FileObject(KernelObject):
    """An open file, directory or console device. ``node`` is None for a device."""

    type_name = "File"
    all_access = 0x1F01FF
    read_access, write_access, execute_access = 0x120089, 0x120116, 0x1200A0

    node: FileNode | None = None
    position: int = 0
    device: str = ""
    """``console`` for handles to the console, else empty."""
    delete_on_close: bool = False
    listing: list[tuple[str, FileNode]] | None = None
    """What NtQueryDirectoryFile has still to tell; None before its first call."""

    def is_signaled(self, thread: Thread) -> bool:
        return True


@dataclass(eq=False)
class ThreadObject(KernelObject):
    """The object of a thread. It is signaled when the thread has ended."""

    type_name = "Thread"
    all_access = 0x1FFFFF
    read_access, write_access, execute_access = 0x48, 0x37, SYNCHRONIZE

    thread: Thread | None = None

    def is_signaled(self, thread: Thread) -> bool:
        return self.thread is not None and self.thread.exited


@dataclass(eq=False)
class ProcessObject(KernelObject):
    """The object of the process. It is signaled when the process has exited."""

    type_name = "Process"
    all_access = 0x1FFFFF
    read_access, write_access, execute_access = 0x410, 0xBEA, SYNCHRONIZE

    exited: bool = False

    def is_signaled(self, thread: Thread) -> bool:
        return self.exited


@dataclass(eq=False)
class Directory(KernelObject):
    """An object directory."""

    type_name = "Directory"
    all_access = 0xF000F
    read_access, write_access, execute_access = 0x3, 0xC, 0x3
    waitable = False


@dataclass(eq=False)
class Key(KernelObject):
    """A registry key."""

    type_name = "Key"
    all_access = 0xF003F
    read_access, write_access, execute_access = 0x20019, 0x20006, 0x20019
    waitable = False


@dataclass(frozen=True, slots=True)
class Stack:
    """The stack of a thread: ``[allocation, base)`` is reserved, ``[TEB.NtTib.StackLimit, base)`` is committed.

    ``guarantee`` is the least room that a stack overflow leaves for its handler.
    """

    allocation: int
    base: int
    guarantee: int = 0


@dataclass(eq=False)
class Thread:
    """A thread of the process. ``thread_id`` is a multiple of 4.

    ``create_time`` and ``exit_time`` are FILETIMEs; ``kernel_time`` and ``user_time`` count units of 100 ns.
    """

    thread_id: int
    teb: int
    stack: Stack
    start_address: int
    stack_limit: int
    """TEB.NtTib.StackLimit as the system set it: the lowest byte that is committed and not in a guard page."""
    state: CpuState
    """The registers while the thread does not run."""
    create_time: int
    affinity: int
    suspend_count: int = 0
    priority: int = 0
    """Relative priority, as GetThreadPriority returns it."""
    name: str | None = None
    exit_time: int = 0
    exit_status: int = Status.PENDING
    kernel_time: int = 0
    user_time: int = 0
    wait: Wait | None = None
    wake_status: int | None = None
    """Return value of the blocking service, for the moment when the thread runs again."""
    alerted: bool = False
    """Whether NtAlertThreadByThreadId was called since the last NtWaitForAlertByThreadId ended."""
    alertable_by_id: bool = False
    """Whether the thread waits in NtWaitForAlertByThreadId."""
    mutants: list[Mutant] = field(default_factory=list)
    object: ThreadObject = field(default_factory=ThreadObject)

    def __post_init__(self) -> None:
        self.object.thread = self

    @property
    def exited(self) -> bool:
        return self.exit_time != 0
