"""Makes consistent kernel-mode snapshots by hand. Parameters set the properties that a test examines.

``synthetic_machine`` returns a stopped kernel: page tables in physical memory, a kernel image in a large page, drivers,
processes, processors, and every structure that a debugger starts from. ``bare_machine`` returns RAM with a root page
only, for tests about the arrangement of pages.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import replace

from ..snapshot.kernel import (
    BugCheck,
    DataBlob,
    Driver,
    KernelProcess,
    KernelSnapshot,
    KernelSystem,
    KernelThread,
    Processor,
    Symbols,
    UnloadedDriver,
)
from ..snapshot.process import PAGE_SIZE, Context
from .image import driver_headers
from .kernel_memory import MachineMemory, frame_runs, touched_runs
from .kernel_structures import (
    BUILDS,
    KLDR_SIZE,
    PCR_TO_PRCB,
    POOL,
    KernelBuild,
    KernelHeap,
    debugger_data,
    descriptor_table,
    special_registers,
    write_drivers,
    write_processes,
    write_processor,
    write_unloaded,
)
from .process import TIME, amd64_context

RUNS = ((1, 0x9F), (0x100, 0x300), (0x410, 0x1F0))
"""5.6 MiB of RAM in three runs, with a hole below 1 MiB and another one."""
KERNEL_BASE = 0xFFFF_F800_0020_0000
DRIVER_BASE = 0xFFFF_F800_0100_0000
DRIVER_SIZE = 0x4000
DRIVER_STRIDE = 0x10_0000
PROCESSOR_BASE = 0xFFFF_E100_0000_0000
PROCESSOR_STRIDE = 0x10_0000
STACK_BASE = 0xFFFF_F980_0000_0000
STACK_SIZE = 0x6000
STACK_STRIDE = 0x1_0000
PFN_DATABASE = 0xFFFF_FA80_0000_0000
KUSER_KERNEL, KUSER_USER = 0xFFFF_F780_0000_0000, 0x7FFE_0000
USER_BASE = 0x7FF6_0000_0000
POOL_POINTER = POOL + 0x40
BUG_CHECK = BugCheck(0xD1, (0x10, 2, 0, KERNEL_BASE + 0x1234))
_BOOT_ID = 7
_TEB = 0x800
"""Offset of a user thread's TEB in the first page of its process, which begins with the PEB."""
_UP_TIME = 36_000_000_000  # an hour
_NAMES = {9600: "9600.17415.amd64fre.winblue_r4.141028-1500", 19041: "19041.1.amd64fre.vb_release.191206-1406",
          26100: "26100.1.amd64fre.ge_release.240331-1435"}  # fmt: skip
_VARIABLES = (  # variables of the kernel image: name and bytes
    ("PsLoadedModuleList", 0x10), ("PsActiveProcessHead", 0x10), ("KdpDebuggerDataListHead", 0x10),
    ("MmPfnDatabase", 8), ("KiBugCheckData", 0x28), ("MmUnloadedDrivers", 8), ("MmPhysicalMemoryBlock", 8),
    ("KdVersionBlock", 0x28), ("KdDebuggerDataBlock", 0x400), ("KiProcessorBlock", 0x200), ("NtBuildLab", 0x100),
    ("MmVerifierData", 0xA0), ("MmBadPagesDetected", 8), ("MmZeroedPageSingleBitErrorsDetected", 8),
    ("IopNumTriageDumpDataBlocks", 8), ("IopTriageDumpDataBlocks", 0x100), ("MmLastUnloadedDriver", 8),
)  # fmt: skip


def synthetic_machine(
    *,
    build: int = 26100,
    processors: int = 2,
    crashing: int = 0,
    drivers: int = 3,
    driver_names: Sequence[str] = (),
    unloaded: Sequence[str] = ("gone.sys", "verylongname.sys"),
    processes: int = 2,
    user_pages: int = 3,
    pool_pages: int = 4,
    standby: int = 5,
    stale: int = 4,
    stack_used: int = 0x238,
    runs: Sequence[tuple[int, int]] = RUNS,
    bug_check: BugCheck = BUG_CHECK,
    exception: tuple[int, int, int] | None = None,
    registers: Mapping[str, int] | None = None,
    in_user_process: bool = False,
    blobs: Sequence[DataBlob] = (),
    triage_data: Sequence[tuple[int, int]] = (),
    added_pages: Sequence[tuple[int, int]] = (),
    levels: int = 4,
) -> KernelSnapshot:
    """Return a stopped machine.

    - ``processes``: number of user processes besides System, with ``user_pages`` pages each.
    - ``pool_pages``: number of pool pages of the kernel that hold a pattern.
    - ``standby``: number of unused frames on the standby list. ``stale``: number of free frames with old contents.
      Neither may be in a kernel dump.
    - ``registers``: changes to the context of the crashing processor.
    - ``levels`` of page tables: 4, or 5 (LA57).
    - ``in_user_process``: the crash is in the address space of the first user process.

    Raises ValueError when the arguments contradict each other or RAM is too small.
    """
    layout = BUILDS[build]
    memory = MachineMemory(runs, levels)
    image = memory.allocate_large()
    root = memory.new_root()
    memory.map(root, KERNEL_BASE, image, large=True)
    heap = KernelHeap(memory, root)
    symbols = _symbols()
    heap.write(KERNEL_BASE + 0x1000, b"kernel code" * 30)

    shared = memory.allocate()
    memory.map(root, KUSER_KERNEL, shared)
    heap.write(KUSER_KERNEL + 0x264, struct.pack("<I4xI", 1, 10))
    heap.write(KUSER_KERNEL + 0x2C4, struct.pack("<I", _BOOT_ID))
    heap.write(KUSER_KERNEL + 0x2D0, struct.pack("<I", 0x110))
    memory.map_new(root, PFN_DATABASE, PAGE_SIZE)
    heap.write(PFN_DATABASE, b"PFNDATABASE" * 8)
    for index in range(pool_pages):
        heap.place(struct.pack("<Q", index) * (PAGE_SIZE // 8))

    driver_list = _drivers(heap, drivers, driver_names)
    for driver in driver_list:
        if driver is not driver_list[0]:
            memory.map_new(root, driver.base, driver.size)
        heap.write(driver.base, driver_headers(driver))
    unloaded_list = tuple(
        UnloadedDriver(name, DRIVER_BASE - (index + 2) * 0x2000, DRIVER_BASE - (index + 1) * 0x2000)
        for index, name in enumerate(unloaded)
    )
    stacks = [STACK_BASE + index * STACK_STRIDE for index in range(processors)]
    for stack in stacks:
        memory.map_new(root, stack, STACK_SIZE)
    process_list = _processes(
        memory, heap, layout, shared=shared, count=processes, user_pages=user_pages, stacks=stacks
    )
    crash_process = process_list[1] if in_user_process else process_list[0]
    processor_list = _processors(
        memory, heap, layout, processes=process_list, crash_process=crash_process, crashing=crashing, stacks=stacks,
        stack_used=stack_used, registers=registers or {},
    )  # fmt: skip

    write_drivers(heap, symbols.ps_loaded_module_list, driver_list)
    write_unloaded(heap, symbols.mm_unloaded_drivers, _address("MmLastUnloadedDriver"), unloaded_list)
    write_processes(heap, layout, symbols.ps_active_process_head, process_list)
    for processor in processor_list:
        write_processor(heap, layout, processor, symbols.kd_version_block)
    _write_variables(
        heap, build, layout, levels=levels, runs=memory.runs, processors=processor_list, bug_check=bug_check
    )
    for process in process_list[1:]:
        memory.share_kernel_half(root, process.directory_table_base)
    if in_user_process:
        crash_thread = processor_list[crashing].current_thread
        heap.pointers(crash_thread + 0xB8, crash_process.process)

    idle = memory.untaken()
    for frame in idle[: standby + stale]:
        memory.page(frame)[:] = struct.pack("<Q", frame) * (PAGE_SIZE // 8)
    return KernelSnapshot(
        system=KernelSystem("amd64", build, 0xF, 1, 0x110, _NAMES[build]),
        time=TIME,
        up_time=_UP_TIME,
        processors=processor_list,
        crashing_processor=crashing,
        directory_table_base=crash_process.directory_table_base,
        system_directory_table_base=root,
        bug_check=bug_check,
        exception=exception,
        symbols=symbols,
        processes=process_list,
        drivers=driver_list,
        unloaded_drivers=unloaded_list,
        physical_runs=memory.runs,
        memory=memory.snapshot(),
        free_pages=frame_runs(idle[standby:]),
        standby_pages=frame_runs(idle[:standby]),
        unreadable_pages=(),
        added_pages=tuple(added_pages),
        triage_data=tuple(triage_data),
        blobs=tuple(blobs),
    )


def bare_machine(
    runs: Sequence[tuple[int, int]], touched: Mapping[int, bytes] | None = None, *, root: int | None = None
) -> KernelSnapshot:
    """Return a machine with RAM and an empty root page table only. ``touched`` gives pages by frame number.

    ``root`` is the frame of the root; None: the first frame of RAM. A FULL dump of any type can be written of it.
    """
    frame = runs[0][0] if root is None else root
    processor = Processor(0, 0, 0, 0, amd64_context(Rip=KERNEL_BASE, Rsp=STACK_BASE), (), STACK_BASE, STACK_BASE)
    return KernelSnapshot(
        system=KernelSystem("amd64", 19041, 0xF, 1, 0x110, _NAMES[19041]), time=TIME, up_time=_UP_TIME,
        processors=(processor,), crashing_processor=0, directory_table_base=frame * PAGE_SIZE,
        system_directory_table_base=frame * PAGE_SIZE, bug_check=BugCheck(0xE2, (0, 0, 0, 0)), exception=None,
        symbols=_symbols(), processes=(), drivers=(), unloaded_drivers=(), physical_runs=tuple(runs),
        memory=touched_runs(dict(touched or {})), free_pages=(), standby_pages=(), unreadable_pages=(),
        added_pages=(), triage_data=(), blobs=(),
    )  # fmt: skip


def _address(name: str) -> int:
    """Return the address of a kernel variable. The variables follow each other from the start of a page."""
    at = KERNEL_BASE + 0x1_0000
    for variable, size in _VARIABLES:
        if variable == name:
            return at
        at += -(-size // 16) * 16
    raise KeyError(name)


def _symbols() -> Symbols:
    return Symbols(
        kernel_base=KERNEL_BASE,
        kd_debugger_data_block=_address("KdDebuggerDataBlock"),
        kd_version_block=_address("KdVersionBlock"),
        ps_loaded_module_list=_address("PsLoadedModuleList"),
        ps_active_process_head=_address("PsActiveProcessHead"),
        mm_pfn_database=_address("MmPfnDatabase"),
        ki_bugcheck_data=_address("KiBugCheckData"),
        ki_processor_block=_address("KiProcessorBlock"),
        mm_unloaded_drivers=_address("MmUnloadedDrivers"),
        mm_physical_memory_block=_address("MmPhysicalMemoryBlock"),
    )


def _drivers(heap: KernelHeap, count: int, names: Sequence[str]) -> tuple[Driver, ...]:
    found = [_driver(heap, "ntoskrnl.exe", KERNEL_BASE, 0x20_0000, 0)]
    for index in range(count):
        name = names[index] if index < len(names) else "hal.dll" if index == 0 else f"driver{index}.sys"
        found.append(_driver(heap, name, DRIVER_BASE + index * DRIVER_STRIDE, DRIVER_SIZE, index + 1))
    return tuple(found)


def _driver(heap: KernelHeap, name: str, base: int, size: int, number: int) -> Driver:
    return Driver(
        entry=heap.allocate(KLDR_SIZE), base=base, size=size, entry_point=base + 0x1000, checksum=0x5000 + number,
        time_date_stamp=0x6000_0000 + number, full_name=f"\\SystemRoot\\system32\\{name}", base_name=name,
        flags=0x0900_4000, load_count=1, read_only_sections=((base + 0x1000, 0x1000),),
    )  # fmt: skip


def _processes(
    memory: MachineMemory,
    heap: KernelHeap,
    layout: KernelBuild,
    *,
    shared: int,
    count: int,
    user_pages: int,
    stacks: Sequence[int],
) -> tuple[KernelProcess, ...]:
    """Return System with one thread per processor, and user processes with one thread each.

    The kernel stacks of user processes are in the pool.
    """

    def thread(number: int, teb: int, limit: int) -> KernelThread:
        size = STACK_SIZE if limit >= STACK_BASE else 0x1000
        return KernelThread(heap.allocate(layout.size_ethread), number, teb, limit, limit + size)

    system = KernelProcess(
        heap.allocate(layout.size_eprocess), 4, "System", heap.root, 0,
        tuple(thread(8 + 4 * index, 0, stack) for index, stack in enumerate(stacks)),
    )  # fmt: skip
    found = [system]
    for index in range(count):
        root = memory.new_root()
        memory.map(root, KUSER_USER, shared, user=True)
        for page in range(user_pages):
            frame = memory.allocate()
            memory.map(root, USER_BASE + page * PAGE_SIZE, frame, user=True)
            memory.page(frame)[:] = f"user page {page:5} of {index:5} ".encode().ljust(32) * (PAGE_SIZE // 32)
        if user_pages:
            memory.write(root, USER_BASE, bytes(0x40))  # PEB: no image, no loader data
            memory.write_pointer(root, USER_BASE + _TEB, *_teb(0x100 + 4 * index, 0x200 + 4 * index))
        found.append(
            KernelProcess(
                heap.allocate(layout.size_eprocess), 0x100 + 4 * index, f"program{index}.exe", root, USER_BASE,
                (thread(0x200 + 4 * index, USER_BASE + _TEB, heap.allocate(0x1000)),),
            )
        )  # fmt: skip
    return tuple(found)


def _teb(process_id: int, thread_id: int) -> tuple[int, ...]:
    """Return the start of a TEB (docs/format/minidump-process-data.md#offsets-in-teb-and-peb).

    A debugger takes a TEB whose ExceptionList is not 0 for that of a WOW64 thread.
    """
    top = USER_BASE + PAGE_SIZE  # the thread's stack is the rest of the page
    return (0, top, USER_BASE + _TEB, 0, 0, 0, USER_BASE + _TEB, 0, process_id, thread_id, 0, 0, USER_BASE)


def _processors(
    memory: MachineMemory,
    heap: KernelHeap,
    layout: KernelBuild,
    *,
    processes: tuple[KernelProcess, ...],
    crash_process: KernelProcess,
    crashing: int,
    stacks: Sequence[int],
    stack_used: int,
    registers: Mapping[str, int],
) -> tuple[Processor, ...]:
    """Return the processors. Each runs a thread of System on the stack of that thread."""
    found = []
    for index, stack in enumerate(stacks):
        kpcr = PROCESSOR_BASE + index * PROCESSOR_STRIDE
        memory.map_new(heap.root, kpcr, PCR_TO_PRCB + layout.size_prcb)
        top = stack + STACK_SIZE
        used = stack_used if index == crashing else 0x180
        heap.pointers(top - used, *((KERNEL_BASE + 0x2000 + word * 0x10) for word in range(used // 8)))
        context = _context(Rip=KERNEL_BASE + 0x1234, Rsp=top - used, Rbx=kpcr, Rsi=heap.root, Rdi=POOL_POINTER)
        if index == crashing:
            context = _context(**{**context.as_mapping(), **registers})
        root = crash_process.directory_table_base if index == crashing else heap.root
        found.append(
            Processor(
                number=index, kpcr=kpcr, kprcb=kpcr + PCR_TO_PRCB,
                current_thread=processes[0].threads[index].thread, context=context,
                special_registers=special_registers(root, 0x10, descriptor_table(heap), memory.levels),
                stack_limit=stack, stack_base=top,
            )
        )  # fmt: skip
    return tuple(found)


def _context(**registers: int) -> Context:
    """Return a context of kernel mode (docs/format/kernel-structures.md#contextflags-and-selectors)."""
    made = amd64_context(**{"SegCs": 0x10, "SegSs": 0x18, "SegFs": 0x53, **registers})
    return replace(made, context_flags=0x10_000F)


def _write_variables(
    heap: KernelHeap,
    build: int,
    layout: KernelBuild,
    *,
    levels: int,
    runs: Sequence[tuple[int, int]],
    processors: tuple[Processor, ...],
    bug_check: BugCheck,
) -> None:
    """Write the kernel's global variables, with KDBG and KdVersionBlock."""
    pages = sum(count for _, count in runs)
    descriptor = struct.pack("<I4xQ", len(runs), pages) + b"".join(struct.pack("<QQ", *run) for run in runs)
    heap.pointers(_address("MmPhysicalMemoryBlock"), heap.place(descriptor))
    heap.pointers(_address("MmPfnDatabase"), PFN_DATABASE)
    heap.pointers(_address("KiBugCheckData"), bug_check.code, *bug_check.parameters)
    heap.pointers(_address("KiProcessorBlock"), *(processor.kprcb for processor in processors))
    heap.write(_address("NtBuildLab"), _NAMES[build].encode("ascii"))
    heap.write(_address("IopNumTriageDumpDataBlocks"), struct.pack("<I", 1))
    heap.pointers(_address("IopTriageDumpDataBlocks"), KERNEL_BASE + 0x8000, KERNEL_BASE + 0x8031)
    block, head = _address("KdDebuggerDataBlock"), _address("KdpDebuggerDataListHead")
    heap.pointers(head, block, block)
    old = {name: _address(name) for name in ("MmBadPagesDetected", "MmZeroedPageSingleBitErrorsDetected")}
    data = debugger_data(
        layout, levels, Flink=head, Blink=head, KernBase=KERNEL_BASE, PsLoadedModuleList=_address("PsLoadedModuleList"),
        PsActiveProcessHead=_address("PsActiveProcessHead"), KiBugcheckData=_address("KiBugCheckData"),
        MmPfnDatabase=_address("MmPfnDatabase"), KiProcessorBlock=_address("KiProcessorBlock"),
        MmUnloadedDrivers=_address("MmUnloadedDrivers"),
        MmLastUnloadedDriver=_address("MmLastUnloadedDriver"), MmPhysicalMemoryBlock=_address("MmPhysicalMemoryBlock"),
        NtBuildLab=_address("NtBuildLab"), MmVerifierData=_address("MmVerifierData"),
        IopNumTriageDumpDataBlocks=_address("IopNumTriageDumpDataBlocks"),
        IopTriageDumpDataBlocks=_address("IopTriageDumpDataBlocks"), **(old if build == 9600 else {}),
    )  # fmt: skip
    heap.write(block, data)
    version = struct.pack("<HHBBHHBBBBHQQQ", 0xF, build, 6, 2, 0x7, 0x8664, 12, 3, 0x2D, 0, 0, KERNEL_BASE,
                          _address("PsLoadedModuleList"), head)  # fmt: skip
    heap.write(_address("KdVersionBlock"), version)
