"""Makes a process that has memory and data for every flag of user minidumps.

``flag_target`` returns it, for each architecture: a few hundred KiB, the same on every call. ``Places`` has the
addresses. What each flag captures: docs/format/minidump-captured-memory.md, docs/format/minidump-process-data.md.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass, replace

from ..constants import (
    MEM_COMMIT,
    MEM_IMAGE,
    MEM_MAPPED,
    MEM_RESERVE,
    NORMAL_PRIORITY_CLASS,
    PAGE_EXECUTE_READ,
    PAGE_EXECUTE_READWRITE,
    PAGE_EXECUTE_WRITECOPY,
    PAGE_GUARD,
    PAGE_NOACCESS,
    PAGE_READONLY,
    PAGE_READWRITE,
)
from ..process.winnt import Status
from ..snapshot.process import (
    PAGE_SIZE,
    ExceptionEvent,
    FunctionEntry,
    FunctionTable,
    HandleOperation,
    ProcessSnapshot,
    SystemInformation,
    Thread,
    UnloadedModule,
)
from ..snapshot.processor_state import X86CpuInformation, XstateConfiguration, XstateFeature
from .contexts import synthetic_context
from .flag_images import CRASH, DATA, TEXT, flag_image
from .pages import MAXIMUM_USER_ADDRESS, Pages, address_space, pattern
from .process import KUSER_SHARED_DATA, SECOND, TIME, synthetic_process, synthetic_system

_STACK_RESERVE = 0x1_0000
_DEEP_COUNTER = 0x2A
_STACK_COMMITTED = 0x2000
_X86_END = 0x7FFF_0000
_FUNCTION_TABLE_SIZE = 136
"""Bytes of DYNAMIC_FUNCTION_TABLE (docs/format/minidump-function-tables.md#native-descriptor)."""
_NULL_POINTER = 0x10
_POINTER = {"x86": {"Ecx": _NULL_POINTER}, "amd64": {"Rcx": _NULL_POINTER}, "arm64": {"X1": _NULL_POINTER}}
"""The register that the crashing instruction loads from."""
_UNWIND_CODES = (3, 0)
"""CountOfCodes of the generated functions' UNWIND_INFO."""


@dataclass(frozen=True, slots=True)
class Places:
    """The addresses in a process of one pointer size."""

    pointer_size: int
    top: int
    """Added to every address: those of a 64-bit process need more than 32 bits."""

    def __getattr__(self, name: str) -> int:
        """Return an address by its name in ``_PLACES``."""
        try:
            return self.top + _PLACES[name]
        except KeyError:
            raise AttributeError(name) from None

    def teb(self, index: int) -> int:
        """Return the TEB address of the thread with this index."""
        return self.peb + PAGE_SIZE + index * self.teb_size

    @property
    def teb_size(self) -> int:
        """Bytes of a TEB."""
        return 0x2000 if self.pointer_size == 8 else 0x1000

    def stack_base(self, index: int) -> int:
        """Return StackBase of the thread with this index."""
        return self.stacks + (index + 1) * _STACK_RESERVE

    def stack_limit(self, index: int) -> int:
        """Return StackLimit of the thread with this index."""
        return self.stack_base(index) - _STACK_COMMITTED


_PLACES = {
    "peb": 0x0020_0000,
    "stacks": 0x0030_0000,
    "heap": 0x0100_0000,  # private, read and write: four pages, a guard page, reserved pages
    "parameters": 0x0100_1000,  # RTL_USER_PROCESS_PARAMETERS, its strings, then the environment
    "environment": 0x0100_2C00,  # the readable memory ends 0x1400 bytes later
    "tls_vector": 0x0100_0100,
    "slots": 0x0110_0000,  # TLS expansion slots, then FLS data: private, read and write
    "torn": 0x0200_0000,  # private, read and write: 0x14 pages, the sixth cannot be read
    "mapped": 0x0210_0000,  # a mapped file, read only: five pages, the second cannot be read
    "executable": 0x0220_0000,  # private, read, write and execute
    "generated": 0x0230_0000,  # private, execute: generated code, with a function table
    "secret": 0x0240_0000,  # private: no access, then a guard page, then read only
    "stranger": 0x0250_0000,  # a mapped image that is not a listed module
    "program": 0x1000_0000,
    "library": 0x2000_0000,
}

PLACES = {4: Places(4, 0), 8: Places(8, 0x7000_0000_0000)}
"""By pointer size."""


def flag_target(architecture: str = "amd64", *, unreadable: bool = True) -> ProcessSnapshot:
    """Return the process. ``unreadable`` False: every accessible page can be read."""
    places = PLACES[4 if architecture == "x86" else 8]
    images = (
        flag_image(architecture, places.program, "C:\\work\\flags.exe", 0),
        flag_image(architecture, places.library, "D:/mixed\\path/lib with space.dll", 1),
    )
    threads = _threads(architecture, places)
    regions, memory, failing = address_space(
        [
            Pages(KUSER_SHARED_DATA, PAGE_SIZE, protect=PAGE_READONLY),
            Pages(places.peb, places.teb(len(threads)) - places.peb, data=_process_blocks(places, threads)),
            *_data(places, unreadable),
            *(page for index in range(len(threads)) for page in _stack(places, index, threads)),
            *(page for _, pages in images for page in pages),
        ],
        end=_X86_END if architecture == "x86" else MAXIMUM_USER_ADDRESS + 1,
    )
    base = synthetic_process(threads=0, modules=0, exception=False)
    crashed = threads[0]
    return replace(
        base,
        system=_system(architecture),
        process=replace(base.process, peb=places.peb, command_line="flags.exe /all"),
        threads=threads,
        modules=tuple(module for module, _ in images),
        unloaded_modules=(
            UnloadedModule(places.library, 0x8000, 0xBAD, 0x65B0_0000, "gone before.dll"),
            UnloadedModule(places.library + 0x20_0000, 0x8000, 0xBAD, 0x65B0_0001, "E:\\left\\with a path.dll"),
        ),
        regions=regions,
        memory=memory,
        unreadable=failing,
        exception=ExceptionEvent(
            crashed.thread_id, int(Status.ACCESS_VIOLATION), 0, 0, crashed.context.instruction_pointer,
            (0, _NULL_POINTER), crashed.context, False,
        ),
        function_tables=_function_tables(places) if architecture == "amd64" else (),
        handle_operations=(
            HandleOperation(4, 0x1234, crashed.thread_id, 1, 0, (places.program + TEXT + 8, places.library + TEXT)),
            HandleOperation(4, 0x1234, crashed.thread_id, 2, 1, ()),
        ),
    )  # fmt: skip


def _system(architecture: str) -> SystemInformation:
    avx = XstateConfiguration(7, (XstateFeature(0, 160), XstateFeature(160, 256), XstateFeature(576, 256)))
    if architecture == "amd64":
        return synthetic_system(xstate=avx)
    if architecture == "arm64":
        return synthetic_system(architecture=architecture)
    return synthetic_system(
        architecture=architecture, processor_features=None, maximum_user_mode_address=_X86_END - 1, xstate=avx,
        x86_cpu=X86CpuInformation("GenuineIntel", 0x506E3, 0xBFEB_FBFF, 0),
    )  # fmt: skip


def _threads(architecture: str, places: Places) -> tuple[Thread, ...]:
    """Return four threads:

    - one that crashed, with unused stack below its stack pointer;
    - one with an odd stack pointer at the bottom of its stack;
    - one without any stack in use;
    - one in generated code, beside a page that cannot be read.
    """
    rows = (
        # (stack pointer, instruction pointer)
        (places.stack_base(0) - 0x400, places.program + CRASH),
        (places.stack_limit(1) + 3, places.library + TEXT + 0x40),
        (places.stack_base(2), places.library + TEXT + 0x140),
        (places.stack_base(3) - 0x80, places.generated + 0x20),
    )
    return tuple(
        Thread(
            thread_id=0x1238 + 4 * index,
            suspend_count=1,
            priority_class=NORMAL_PRIORITY_CLASS,
            priority=0,
            teb=places.teb(index),
            stack_base=places.stack_base(index),
            stack_limit=places.stack_limit(index),
            context=synthetic_context(
                architecture, stack_pointer=stack, instruction_pointer=instruction, **_POINTER[architecture],
                xstate=() if index else ((2, bytes(range(256))),),
            ),
            name="flags" if not index else None,
            create_time=TIME - 60 * SECOND,
            exit_time=0,
            exit_status=int(Status.PENDING),
            kernel_time=10_000,
            user_time=20_000 * (index + 1),
            start_address=places.program + TEXT,
            affinity=0xF,
            state="waiting" if index else "running",
        )
        for index, (stack, instruction) in enumerate(rows)
    )  # fmt: skip


def stack_words(places: Places) -> dict[str, int]:
    """Return the pointers in the first thread's stack, by purpose. Each is there once."""
    stack = places.stack_base(0) - 0x400
    return {
        "heap": places.heap + 0x804,  # not aligned to 8
        "before the page that cannot be read": places.torn + 0x5000 - 0x10,
        "behind it": places.torn + 0x6000 + 0x10,
        "page that cannot be read": places.torn + 0x5000,
        "before the guard page": places.heap + 0x4000 - 8,
        "guard page": places.heap + 0x4000,
        "TEB": places.teb(1) + 0x40,
        "code": places.program + TEXT + 0x44,
        "data of a module": places.library + DATA + 0x10,
        "own stack": stack + 0x200,
        "below the stack pointer": stack - 0x10,
        "another stack, not captured": places.stack_limit(2) + 0x20,
        "mapped file": places.mapped + 0x2010,
        "executable memory": places.executable + 0x10,
        "image that is no module": places.stranger + 0x80,
        "free memory": places.top + 0x0600_0000,
        "small number": 0x12,
    }


def _stack(places: Places, index: int, threads: Sequence[Thread]) -> list[Pages]:
    """Return reserved part, guard page and committed part of a stack; the used part holds secrets and pointers."""
    size = places.pointer_size
    limit, base = places.stack_limit(index), places.stack_base(index)
    data = bytearray(b"secret! " * (_STACK_COMMITTED // 8))
    at = -(-threads[index].context.stack_pointer // size) * size
    # Only the first thread has pointers to memory that nothing else captures.
    targets = list(stack_words(places).values()) if index == 0 else [places.program + TEXT + 0x10, base - 0x40, 7]
    for word in targets:
        if at < base:
            data[at - limit : at - limit + size] = word.to_bytes(size, "little")
            at += 2 * size
    if index == 2:  # the thread with an empty stack: no window of INDIRECT_MEMORY holds the number
        data[-4 * size : -3 * size] = _DEEP_COUNTER.to_bytes(size, "little")
    allocation = base - _STACK_RESERVE
    return [
        Pages(allocation, limit - PAGE_SIZE - allocation, MEM_RESERVE, PAGE_READWRITE),
        Pages(limit - PAGE_SIZE, PAGE_SIZE, protect=PAGE_READWRITE | PAGE_GUARD, allocation_base=allocation,
              allocation_protect=PAGE_READWRITE),
        Pages(limit, _STACK_COMMITTED, allocation_base=allocation, data=bytes(data)),
    ]  # fmt: skip


def _process_blocks(places: Places, threads: Sequence[Thread]) -> bytes:
    """Return PEB and TEBs, in one allocation (docs/format/minidump-process-data.md#offsets-in-teb-and-peb)."""
    wide = places.pointer_size == 8
    peb = bytearray(b"PEB." * (PAGE_SIZE // 4))
    for offsets, value in (
        ((0x08, 0x10), places.program), ((0x10, 0x20), places.parameters), ((0x18, 0x30), places.heap),
    ):  # fmt: skip
        _put(peb, offsets[wide], value, places)
    data = bytes(peb)
    for index, thread in enumerate(threads):
        teb = bytearray(b"TEB." * (places.teb_size // 4))
        vector = thread.teb + 0x200 if index == 3 else places.tls_vector + 0x40 * index
        # The second thread's FLS data reach into the guard page after the heap.
        fls = (places.slots + 0x2000, places.heap + 0x3F00)[index] if index < 2 else 0
        for offsets, value in (
            ((0x04, 0x08), thread.stack_base), ((0x08, 0x10), thread.stack_limit), ((0x18, 0x30), thread.teb),
            ((0x20, 0x40), 0x1234), ((0x24, 0x48), thread.thread_id), ((0x2C, 0x58), vector),
            ((0x30, 0x60), places.peb), ((0xF94, 0x1780), 0 if index else places.slots), ((0xFB4, 0x17C8), fls),
            # ExceptionList: another value than "none" makes the thread a WOW64 one (docs/format/engine.md).
            ((0x00, 0x00), 0 if wide else 0xFFFF_FFFF),
        ):  # fmt: skip
            _put(teb, offsets[wide], value, places)
        if wide:
            _put(teb, 0x1788, 0, places)  # ChpeV2CpuAreaInfo: no ARM64EC process
        data += bytes(teb)
    return data


def _put(data: bytearray, offset: int, value: int, places: Places) -> None:
    data[offset : offset + places.pointer_size] = value.to_bytes(places.pointer_size, "little")


def _data(places: Places, unreadable: bool) -> list[Pages]:
    """Return the pages outside of stacks and listed modules."""

    def pages(base: int, count: int, protect: int = PAGE_READWRITE, **more: object) -> Pages:
        return Pages(base, count * PAGE_SIZE, protect=protect, **more)  # type: ignore[arg-type]

    torn, mapped, secret = places.torn, places.mapped, places.secret
    generated = bytearray(b"\xcc" * PAGE_SIZE)
    for index, codes in enumerate(_UNWIND_CODES):
        struct.pack_into("<BBBB", generated, 0x800 + 0x40 * index, 1, 4, codes, 0)  # UNWIND_INFO
    return [
        pages(places.heap, 4, data=_heap(places)),
        pages(places.heap + 0x4000, 1, PAGE_READWRITE | PAGE_GUARD, allocation_base=places.heap),
        Pages(places.heap + 0x5000, 0xB000, MEM_RESERVE, PAGE_READWRITE, allocation_base=places.heap),
        pages(places.slots, 11),
        pages(torn, 5),
        pages(torn + 0x5000, 1, allocation_base=torn, unreadable=unreadable),
        pages(torn + 0x6000, 14, allocation_base=torn),
        pages(mapped, 1, PAGE_READONLY, type=MEM_MAPPED),
        pages(mapped + 0x1000, 1, PAGE_READONLY, type=MEM_MAPPED, allocation_base=mapped, unreadable=unreadable),
        pages(mapped + 0x2000, 3, PAGE_READONLY, type=MEM_MAPPED, allocation_base=mapped),
        pages(places.executable, 1, PAGE_EXECUTE_READWRITE),
        pages(places.generated, 1, PAGE_EXECUTE_READ, data=bytes(generated)),
        pages(secret, 1, PAGE_NOACCESS, allocation_protect=PAGE_READWRITE),
        pages(secret + 0x1000, 1, PAGE_READWRITE | PAGE_GUARD, allocation_base=secret),
        pages(secret + 0x2000, 1, PAGE_READONLY, allocation_base=secret, allocation_protect=PAGE_READWRITE),
        Pages(places.stranger, PAGE_SIZE, MEM_COMMIT, PAGE_READONLY, MEM_IMAGE, None, PAGE_EXECUTE_WRITECOPY),
    ]


def _heap(places: Places) -> bytes:
    """Return TLS vectors, process parameters with their strings, and the environment.

    docs/format/minidump-process-data.md#offsets-in-the-process-parameters
    """
    size, wide = places.pointer_size, places.pointer_size == 8
    data = bytearray(pattern(places.heap, 0x4000))
    for index in range(3):  # two slots each, one for each module
        at = places.tls_vector - places.heap + 0x40 * index
        for slot in range(2):
            _put(data, at + slot * size, places.heap + 0x600 + 0x20 * slot, places)
    at = places.parameters - places.heap
    length = 0x440 if wide else 0x2C0
    data[at : at + length] = bytes(length)
    end = at + length
    strings = (
        ((0x24, 0x38), "C:\\work\\"), ((0x38, 0x60), "C:\\work\\flags.exe"), ((0x40, 0x70), "flags.exe /all"),
        ((0x70, 0xB0), "flags"), ((0x78, 0xC0), "Winsta0\\Default"),
    )  # fmt: skip
    for offsets, text in strings:
        encoded = text.encode("utf-16-le")
        struct.pack_into("<HH", data, at + offsets[wide], len(encoded), len(encoded) + 2)
        _put(data, at + offsets[wide] + size, places.heap + end, places)
        data[end : end + len(encoded) + 2] = encoded + b"\0\0"
        end += len(encoded) + 2
    struct.pack_into("<II", data, at, end - at, end - at)  # MaximumLength, Length: both with the strings
    environment = "OS=Windows_NT\0SECRET=hidden\0\0".encode("utf-16-le")
    start = places.environment - places.heap
    data[start : start + len(environment)] = environment
    _put(data, at + (0x80 if wide else 0x48), places.environment, places)
    _put(data, at + (0x3F0 if wide else 0x290), len(environment), places)
    return bytes(data)


def _function_tables(places: Places) -> tuple[FunctionTable, ...]:
    base = places.generated
    entries = tuple(
        FunctionEntry(0x40 * index, 0x40 * index + 0x30, 0x800 + 0x40 * index) for index in range(len(_UNWIND_CODES))
    )
    native = struct.pack("<QQ", base, base + PAGE_SIZE).ljust(_FUNCTION_TABLE_SIZE, b"\0")
    return (FunctionTable(base, base + PAGE_SIZE, base, native, entries),)
