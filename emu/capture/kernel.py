"""Captures a stopped machine as a ``KernelSnapshot``. Addresses and values come from the guest's structures."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from ctypes import sizeof

from ..kernel import structures as layout
from ..kernel.boot_block import BUGCHECK_BLOBS, BUGCHECK_RANGES, KUSER_KERNEL, MMPFN_SIZE, PageState
from ..kernel.configuration import KERNEL_FOLDER
from ..kernel.machine import Machine, Stopped
from ..kernel.structures import KernelStructures, StructureError
from ..kernel.system_space import PFN_DATABASE
from ..machine.ram import PAGE_SIZE
from ..process.context import CONTEXT_SIZE, context_from_bytes
from ..snapshot.kernel import (
    BugCheck,
    DataBlob,
    Driver,
    KernelProcess,
    KernelSnapshot,
    KernelSystem,
    KernelThread,
    PhysicalRun,
    Processor,
    Symbols,
    UnloadedDriver,
)
from ..snapshot.stack import KernelStack
from ..symbols import PdbFiles
from .stacks import Placed, in_order, named

Runs = tuple[tuple[int, int], ...]
_ENTRIES_AT_ONCE = 1 << 14
"""Number of PFN database entries read at a time. The database has 1.2 % of the size of the memory in use."""


def capture_kernel(machine: Machine, stopped: Stopped) -> KernelSnapshot:
    """The snapshot of a stopped machine. It shares the machine's memory, unless the stop is ``live``.

    Raises StructureError if the kernel's structures are inconsistent.
    """
    return _Capture(machine, stopped).snapshot()


class _Capture:
    def __init__(self, machine: Machine, stopped: Stopped) -> None:
        self._machine = machine
        self._boot = machine.boot
        self._stopped = stopped
        self._memory = KernelStructures(machine.boot.space.tables)
        self._kdbg = self._symbol("KdDebuggerDataBlock")

    def snapshot(self) -> KernelSnapshot:
        memory, boot = self._memory, self._boot
        processors = tuple(self._processor(number) for number in range(len(boot.processors)))
        crashing = processors[self._stopped.processor]
        data = self._symbol("KiBugCheckData")
        code, *parameters = (memory.number(data + 8 * index) for index in range(5))
        in_use = self._frames_in(*(state for state in PageState if state not in (PageState.ZEROED, PageState.FREE)))
        return KernelSnapshot(
            system=self._system(),
            time=self._system_time(layout.KUSER_SYSTEM_TIME),
            up_time=self._system_time(layout.KUSER_INTERRUPT_TIME),
            processors=processors,
            crashing_processor=self._stopped.processor,
            directory_table_base=dict(crashing.special_registers)["Cr3"] & -PAGE_SIZE,
            system_directory_table_base=boot.space.tables.root,
            bug_check=BugCheck(code, (parameters[0], parameters[1], parameters[2], parameters[3])),
            exception=None,
            symbols=self._symbols(),
            processes=tuple(self._processes()),
            drivers=tuple(self._drivers()),
            unloaded_drivers=tuple(self._unloaded_drivers()),
            physical_runs=boot.memory.runs,
            memory=tuple(self._physical_runs()),
            free_pages=_without(boot.memory.runs, in_use),
            standby_pages=self._frames_in(PageState.STANDBY, PageState.MODIFIED, PageState.MODIFIED_NO_WRITE),
            unreadable_pages=self._frames_in(PageState.BAD),
            added_pages=_merged(self._ranges("KiBugCheckAddedPages")),
            triage_data=self._ranges("KiBugCheckTriageData"),
            blobs=tuple(self._blobs()),
            stacks=tuple(self._stacks(processors)),
        )

    # --- addresses -------------------------------------------------------------------------------------------------

    def _symbol(self, name: str) -> int:
        return self._boot.kernel.address_of(name)

    def _debugger_data(self, field: tuple[int, int]) -> int:
        offset, size = field
        return self._memory.number(self._kdbg + offset, size)

    def _symbols(self) -> Symbols:
        return Symbols(
            kernel_base=self._boot.kernel.base,
            kd_debugger_data_block=self._kdbg,
            kd_version_block=self._symbol("KdVersionBlock"),
            ps_loaded_module_list=self._symbol("PsLoadedModuleList"),
            ps_active_process_head=self._symbol("PsActiveProcessHead"),
            mm_pfn_database=self._symbol("MmPfnDatabase"),
            ki_bugcheck_data=self._symbol("KiBugCheckData"),
            ki_processor_block=self._symbol("KiProcessorBlock"),
            mm_unloaded_drivers=self._symbol("MmUnloadedDrivers"),
            mm_physical_memory_block=self._symbol("MmPhysicalMemoryBlock"),
        )

    # --- system, processors ----------------------------------------------------------------------------------------

    def _system(self) -> KernelSystem:
        memory, version = self._memory, self._symbol("KdVersionBlock")
        return KernelSystem(
            architecture="amd64",
            build_number=memory.number(version + layout.VERSION_MINOR, 2),
            major_version=memory.number(version + layout.VERSION_MAJOR, 2),
            product_type=memory.number(KUSER_KERNEL + layout.KUSER_PRODUCT_TYPE, 4),
            suite_mask=memory.number(KUSER_KERNEL + layout.KUSER_SUITE_MASK, 4),
            nt_build_lab=memory.text(self._debugger_data(layout.KDBG_NT_BUILD_LAB)),
        )

    def _system_time(self, offset: int) -> int:
        """The value of a KSYSTEM_TIME: LowPart and High1Time."""
        return self._memory.number(KUSER_KERNEL + offset, 8)

    def _processor(self, number: int) -> Processor:
        memory = self._memory
        kprcb = memory.number(self._symbol("KiProcessorBlock") + 8 * number)
        registers = kprcb + self._debugger_data(layout.KDBG_OFFSET_PRCB_PROC_STATE_SPECIAL_REG)
        record = memory.number(kprcb + self._debugger_data(layout.KDBG_OFFSET_PRCB_CONTEXT))
        context = context_from_bytes(memory.read(record, CONTEXT_SIZE))
        thread = memory.number(kprcb + self._debugger_data(layout.KDBG_OFFSET_PRCB_CURRENT_THREAD))
        limit, base = self._stack(thread)
        # The processor may run on another stack than that of the thread: for a DPC, a double fault or an NMI.
        for low, high in self._boot.stacks:
            if low <= context["Rsp"] <= high and not limit <= context["Rsp"] <= base:
                limit, base = low, high
        return Processor(
            number=number,
            kpcr=kprcb - self._debugger_data(layout.KDBG_OFFSET_PCR_CONTAINED_PRCB),
            kprcb=kprcb,
            current_thread=thread,
            context=context,
            special_registers=tuple(
                (name, memory.number(registers + at, size)) for name, (at, size) in layout.KSPECIAL_REGISTERS.items()
            ),
            stack_limit=limit,
            stack_base=base,
        )

    # --- call stacks -----------------------------------------------------------------------------------------------

    def _stacks(self, processors: Sequence[Processor]) -> Iterator[KernelStack]:
        """The recorded call stacks: of each processor from its context on, of each thread that has waited."""
        calls = [cpu.shadow_stack for cpu in self._machine.cpus]
        first = calls[0]
        if first is None:
            return
        pdbs = PdbFiles((KERNEL_FOLDER, *(path.parent for path in self._boot.configuration.drivers)))
        images = {
            (image.base, image.end): Placed(image.name, image.base, pdbs.of(image.image.code_view))
            for image in (*self._boot.images, self._boot.program)
        }
        covering = in_order(images)
        for processor, shadow in zip(processors, calls, strict=True):
            if shadow is not None:
                frames = shadow.frames(processor.context["Rip"], processor.context["Rsp"])
                yield KernelStack(processor.current_thread, processor.number, named(frames, covering))
        running = {processor.current_thread for processor in processors}
        pointer = self._debugger_data(layout.KDBG_OFFSET_K_THREAD_KERNEL_STACK)
        for process in self._processes():
            for thread in process.threads:
                if thread.thread not in running:
                    frames = first.frames_of_stack(self._memory.number(thread.thread + pointer))
                    if frames:
                        yield KernelStack(thread.thread, None, named(frames, covering))

    # --- processes, drivers ----------------------------------------------------------------------------------------

    def _processes(self) -> Iterator[KernelProcess]:
        memory = self._memory
        for link in memory.list_entries(self._symbol("PsActiveProcessHead")):
            process = link - layout.EPROCESS_ACTIVE_PROCESS_LINKS
            root = memory.number(process + self._debugger_data(layout.KDBG_OFFSET_EPROCESS_DIRECTORY_TABLE_BASE))
            yield KernelProcess(
                process=process,
                process_id=memory.number(process + layout.EPROCESS_UNIQUE_PROCESS_ID),
                image_file_name=memory.text(process + layout.EPROCESS_IMAGE_FILE_NAME, layout.IMAGE_FILE_NAME_SIZE),
                directory_table_base=root & -PAGE_SIZE,
                peb=memory.number(process + self._debugger_data(layout.KDBG_OFFSET_EPROCESS_PEB)),
                threads=tuple(self._threads(process)),
            )

    def _threads(self, process: int) -> Iterator[KernelThread]:
        memory = self._memory
        for link in memory.list_entries(process + layout.EPROCESS_THREAD_LIST_HEAD):
            thread = link - layout.ETHREAD_THREAD_LIST_ENTRY
            limit, base = self._stack(thread)
            yield KernelThread(
                thread=thread,
                thread_id=memory.number(thread + layout.ETHREAD_CID_UNIQUE_THREAD),
                teb=memory.number(thread + self._debugger_data(layout.KDBG_OFFSET_K_THREAD_TEB)),
                stack_limit=limit,
                stack_base=base,
            )

    def _stack(self, thread: int) -> tuple[int, int]:
        """(limit, base) of a thread's kernel stack."""
        memory = self._memory
        limit = memory.number(thread + self._debugger_data(layout.KDBG_OFFSET_K_THREAD_STACK_LIMIT))
        return limit, memory.number(thread + self._debugger_data(layout.KDBG_OFFSET_K_THREAD_STACK_BASE))

    def _drivers(self) -> Iterator[Driver]:
        memory = self._memory
        images = {loaded.base: loaded for loaded in self._boot.images}
        for entry in memory.list_entries(self._symbol("PsLoadedModuleList")):
            base = memory.number(entry + layout.KLDR_DLL_BASE)
            if base not in images:
                raise StructureError(f"loaded module list: the entry at {entry:#x} names {base:#x}, where no image is")
            yield Driver(
                entry=entry,
                base=base,
                size=memory.number(entry + layout.KLDR_SIZE_OF_IMAGE, 4),
                entry_point=memory.number(entry + layout.KLDR_ENTRY_POINT),
                checksum=memory.number(entry + layout.KLDR_CHECK_SUM, 4),
                time_date_stamp=memory.number(entry + layout.KLDR_TIME_DATE_STAMP, 4),
                full_name=memory.unicode_string(entry + layout.KLDR_FULL_DLL_NAME),
                base_name=memory.unicode_string(entry + layout.KLDR_BASE_DLL_NAME),
                flags=memory.number(entry + layout.KLDR_FLAGS, 4),
                load_count=memory.number(entry + layout.KLDR_LOAD_COUNT, 2),
                read_only_sections=images[base].read_only_sections,
            )

    def _unloaded_drivers(self) -> Iterator[UnloadedDriver]:
        """The unloaded drivers, oldest first.

        MmLastUnloadedDriver counts all unloads. The array is a ring that keeps the last MI_UNLOADED_DRIVERS.
        """
        memory = self._memory
        array = memory.number(self._symbol("MmUnloadedDrivers"))
        count = memory.number(self._symbol("MmLastUnloadedDriver"), 4)
        for number in range(max(0, count - layout.MI_UNLOADED_DRIVERS), count):
            entry = array + number % layout.MI_UNLOADED_DRIVERS * layout.UNLOADED_DRIVERS_SIZE
            yield UnloadedDriver(
                memory.unicode_string(entry),
                memory.number(entry + layout.UNLOADED_DRIVERS_START),
                memory.number(entry + layout.UNLOADED_DRIVERS_END),
            )

    # --- physical memory -------------------------------------------------------------------------------------------

    def _physical_runs(self) -> Iterator[PhysicalRun]:
        view = self._boot.memory.view.toreadonly()
        for base, count in self._boot.memory.touched():
            data = view[base * PAGE_SIZE : (base + count) * PAGE_SIZE]
            yield PhysicalRun(base, bytes(data) if self._stopped.live else data)

    def _frames_in(self, *states: PageState) -> Runs:
        """RAM in one of ``states`` by the PFN database. Frames without a descriptor are on the zeroed list."""
        wanted = bytes(location & 7 in states for location in range(256))
        found = []
        for part in self._boot.frames:
            for base in range(part.base, part.base + part.count, _ENTRIES_AT_ONCE):
                count = min(_ENTRIES_AT_ONCE, part.base + part.count - base)
                entries = self._memory.read(PFN_DATABASE + base * MMPFN_SIZE, count * MMPFN_SIZE)
                inside = entries[layout.MMPFN_PAGE_LOCATION :: MMPFN_SIZE].translate(wanted)
                found += [(base + first, length) for first, length in _runs_of_ones(inside)]
        return _merged(found)

    # --- data of callbacks -----------------------------------------------------------------------------------------

    def _ranges(self, symbol: str) -> Runs:
        ranges = BUGCHECK_RANGES.from_buffer_copy(self._memory.read(self._symbol(symbol), sizeof(BUGCHECK_RANGES)))
        return tuple((part.Start, part.Count) for part in ranges.Ranges[: ranges.Count])

    def _blobs(self) -> Iterator[DataBlob]:
        data = self._memory.read(self._symbol("KiBugCheckBlobs"), sizeof(BUGCHECK_BLOBS))
        blobs = BUGCHECK_BLOBS.from_buffer_copy(data)
        for blob in blobs.Blobs[: blobs.Count]:
            yield DataBlob(bytes(blob.Guid), self._memory.read(blob.Address, blob.Length))


def _runs_of_ones(flags: bytes) -> Iterator[tuple[int, int]]:
    """(index, count) of every run of bytes 1 among bytes 0."""
    end = 0
    while (start := flags.find(1, end)) >= 0:
        end = flags.find(0, start)
        if end < 0:
            end = len(flags)
        yield start, end - start


def _merged(parts: Runs | list[tuple[int, int]]) -> Runs:
    """The union of ``parts`` as sorted runs that neither overlap nor touch."""
    found: list[tuple[int, int]] = []
    for base, count in sorted(parts):
        if found and base <= sum(found[-1]):
            found[-1] = (found[-1][0], max(sum(found[-1]), base + count) - found[-1][0])
        else:
            found.append((base, count))
    return tuple(found)


def _without(runs: Runs, taken: Runs) -> Runs:
    """``runs`` without ``taken``. Both are sorted."""
    left = []
    for base, count in runs:
        inside = [(low, size) for low, size in taken if base <= low < base + count]
        edges = [base, *itertools.chain.from_iterable((low, low + size) for low, size in inside), base + count]
        left += [(low, high - low) for low, high in zip(edges[::2], edges[1::2], strict=True) if high > low]
    return tuple(left)
