"""Writes the structures of a kernel into a synthetic machine's memory, with the offsets of a Windows build."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from ..plan.kernel_debugger_data import KDBG_TAG, KDDEBUGGER_DATA64
from ..snapshot.kernel import CR4_LA57, Driver, KernelProcess, KernelThread, Processor, UnloadedDriver
from ..snapshot.process import PAGE_SIZE, Context
from .kernel_memory import SELF_MAP, MachineMemory

POOL = 0xFFFF_AB00_0000_0000
CONTEXT_SIZE = 0x4D0
KLDR_SIZE = 0xA0
_INITIAL_KCR0 = 0x8005_0031


@dataclass(frozen=True, slots=True)
class KernelBuild:
    """Sizes and offsets of one build; values that the tables lack are chosen freely.

    docs/format/kernel-debugger-data.md#thread-and-process-offsets-by-build,
    docs/format/kernel-debugger-data.md#processor-offsets-by-build, docs/format/kernel-structures.md#kprcb
    """

    debugger_data_size: int
    size_prcb: int
    prcb_state: int
    prcb_state_context: int
    prcb_context: int
    size_eprocess: int
    eprocess_pid: int
    eprocess_links: int
    eprocess_peb: int
    eprocess_name: int
    eprocess_threads: int
    size_ethread: int
    ethread_cid: int
    ethread_links: int


BUILDS = {
    9600: KernelBuild(
        0x360, 0x5D80, 0x40, 0x120, 0x5980, 0x6F0, 0x2E0, 0x2E8, 0x3E8, 0x438, 0x470, 0x778, 0x620, 0x688
    ),
    19041: KernelBuild(
        0x380, 0xAF00, 0x100, 0x1F0, 0x85C0, 0xA40, 0x440, 0x448, 0x550, 0x5A8, 0x5E0, 0x898, 0x478, 0x4E8
    ),
    26100: KernelBuild(
        0x3A0, 0xCF00, 0x100, 0x1F0, 0x8FC0, 0x840, 0x1D0, 0x1D8, 0x2E0, 0x338, 0x370, 0x788, 0x508, 0x578
    ),
}
PCR_TO_PRCB = 0x180
_CURRENT_THREAD, _NUMBER, _IDLE_THREAD = 8, 0x24, 0x18
_STACK_LIMIT, _STACK_BASE, _KERNEL_STACK, _APC_PROCESS, _TEB, _STATE = 0x30, 0x38, 0x58, 0xB8, 0xF0, 0x184
_SPECIAL = {  # KSPECIAL_REGISTERS: offset and format (docs/format/kernel-structures.md#special-registers)
    "Cr0": (0x00, "<Q"), "Cr2": (0x08, "<Q"), "Cr3": (0x10, "<Q"), "Cr4": (0x18, "<Q"), "KernelDr6": (0x40, "<Q"),
    "KernelDr7": (0x48, "<Q"), "Gdtr.Limit": (0x56, "<H"), "Gdtr.Base": (0x58, "<Q"), "Idtr.Limit": (0x66, "<H"),
    "Idtr.Base": (0x68, "<Q"), "Tr": (0x70, "<H"), "MxCsr": (0x74, "<I"), "Cr8": (0xA0, "<Q"),
}  # fmt: skip
_TSS_SIZE = 0x68
_DESCRIPTORS = {  # selector: descriptor (kernel and user code and data, 32-bit user code, 32-bit user TEB)
    0x10: 0x0020_9B00_0000_0000, 0x18: 0x00CF_9300_0000_FFFF, 0x20: 0x00CF_FB00_0000_FFFF, 0x28: 0x00CF_F300_0000_FFFF,
    0x30: 0x0020_FB00_0000_0000, 0x50: 0x0040_F300_0000_FFFF,
}  # fmt: skip
_CONTEXT_U16 = ("SegCs", "SegDs", "SegEs", "SegFs", "SegGs", "SegSs")
_CONTEXT_U64 = (
    "Dr0", "Dr1", "Dr2", "Dr3", "Dr6", "Dr7", "Rax", "Rcx", "Rdx", "Rbx", "Rsp", "Rbp", "Rsi", "Rdi", "R8", "R9",
    "R10", "R11", "R12", "R13", "R14", "R15", "Rip",
)  # fmt: skip


def context_bytes(context: Context) -> bytes:
    """Return CONTEXT of amd64 (docs/format/kernel-structures.md#fields-of-the-amd64-context)."""
    registers = context.as_mapping()
    record = bytearray(CONTEXT_SIZE)
    struct.pack_into("<II", record, 0x30, context.context_flags, registers["MxCsr"])
    struct.pack_into("<6H", record, 0x38, *(registers[name] for name in _CONTEXT_U16))
    struct.pack_into("<I", record, 0x44, registers["EFlags"])
    struct.pack_into("<23Q", record, 0x48, *(registers[name] for name in _CONTEXT_U64))
    record[0x100:0x300] = context.fxsave
    return bytes(record)


class KernelHeap:
    """Allocates nonpaged pool, and writes through the root page table of the System process."""

    def __init__(self, memory: MachineMemory, root: int) -> None:
        self._memory = memory
        self.root = root
        self._next = self._end = POOL

    def allocate(self, size: int) -> int:
        """Return the address of ``size`` zero bytes, 16-byte aligned."""
        address = self._next
        self._next = -(-(address + size) // 16) * 16
        while self._end < self._next:
            self._memory.map_new(self.root, self._end, PAGE_SIZE)
            self._end += PAGE_SIZE
        return address

    def write(self, address: int, data: bytes) -> None:
        """Write bytes at a kernel address."""
        self._memory.write(self.root, address, data)

    def pointers(self, address: int, *values: int) -> None:
        """Write 64-bit values at a kernel address."""
        self._memory.write_pointer(self.root, address, *values)

    def place(self, data: bytes) -> int:
        """Allocate memory for the bytes, write them and return the address."""
        address = self.allocate(len(data))
        self.write(address, data)
        return address

    def unicode_string(self, text: str) -> bytes:
        """Return a UNICODE_STRING; its text is in the pool."""
        data = text.encode("utf-16-le", "surrogatepass")
        return struct.pack("<HH4xQ", len(data), len(data) + 2, self.place(data + b"\0\0"))

    def link(self, head: int, entries: list[int]) -> None:
        """Write a circular LIST_ENTRY list of ``entries`` after ``head``."""
        ring = [head, *entries]
        for index, address in enumerate(ring):
            self.pointers(address, ring[(index + 1) % len(ring)], ring[index - 1])


def write_drivers(heap: KernelHeap, head: int, drivers: tuple[Driver, ...]) -> None:
    """Write PsLoadedModuleList, each KLDR_DATA_TABLE_ENTRY at its ``entry``.

    docs/format/kernel-structures.md#loaded-modules
    """
    heap.link(head, [driver.entry for driver in drivers])
    for driver in drivers:
        heap.pointers(driver.entry + 0x30, driver.base, driver.entry_point)
        heap.write(driver.entry + 0x40, struct.pack("<Q", driver.size))
        heap.write(driver.entry + 0x48, heap.unicode_string(driver.full_name))
        heap.write(driver.entry + 0x58, heap.unicode_string(driver.base_name))
        heap.write(driver.entry + 0x68, struct.pack("<IH", driver.flags, driver.load_count))
        heap.write(driver.entry + 0x78, struct.pack("<I", driver.checksum))
        heap.write(driver.entry + 0x9C, struct.pack("<I", driver.time_date_stamp))


def write_unloaded(heap: KernelHeap, variable: int, count: int, drivers: tuple[UnloadedDriver, ...]) -> None:
    """Write MmUnloadedDrivers, a pointer to 50 UNLOADED_DRIVERS, and MmLastUnloadedDriver at ``count``."""
    array = heap.allocate(50 * 0x28)
    heap.pointers(variable, array)
    heap.write(count, struct.pack("<I", len(drivers[-50:])))
    for index, driver in enumerate(drivers[-50:]):
        heap.write(array + index * 0x28, heap.unicode_string(driver.name))
        heap.pointers(array + index * 0x28 + 0x10, driver.start, driver.end)


def write_processes(heap: KernelHeap, build: KernelBuild, head: int, processes: tuple[KernelProcess, ...]) -> None:
    """Write PsActiveProcessHead, and every EPROCESS and ETHREAD at its address."""
    heap.link(head, [process.process + build.eprocess_links for process in processes])
    for process in processes:
        at = process.process
        heap.pointers(at, 3, at + 8, at + 8, at + 0x18, at + 0x18, process.directory_table_base)
        heap.pointers(at + build.eprocess_pid, process.process_id)
        heap.pointers(at + build.eprocess_peb, process.peb)
        heap.write(at + build.eprocess_name, process.image_file_name.encode("ascii")[:15])
        heap.link(at + build.eprocess_threads, [thread.thread + build.ethread_links for thread in process.threads])
        for thread in process.threads:
            _write_thread(heap, build, process, thread)


def _write_thread(heap: KernelHeap, build: KernelBuild, process: KernelProcess, thread: KernelThread) -> None:
    at = thread.thread
    heap.pointers(at, 6, at + 8, at + 8)
    heap.pointers(at + 0x28, thread.stack_base, thread.stack_limit, thread.stack_base)
    heap.pointers(at + _KERNEL_STACK, thread.stack_base - 0x100)
    heap.pointers(at + 0x98, at + 0x98, at + 0x98)  # ApcState.ApcListHead, empty
    heap.pointers(at + _APC_PROCESS, process.process)
    heap.pointers(at + _TEB, thread.teb)
    heap.write(at + _STATE, b"\x02")  # Running
    heap.pointers(at + 0x220, process.process)
    heap.pointers(at + build.ethread_cid, process.process_id, thread.thread_id)


def descriptor_table(heap: KernelHeap) -> int:
    """Write a GDT with the seven descriptors of 64-bit Windows, and a TSS. Returns its address.

    Without them a debugger sees no 64-bit code (docs/format/engine.md#what-a-target-must-have). AMD64 Architecture
    Programmer's Manual vol. 2, 4.8.
    """
    task = heap.allocate(_TSS_SIZE)
    table = dict(_DESCRIPTORS)
    low = (_TSS_SIZE - 1) | (task & 0xFF_FFFF) << 16 | 0x8B << 40 | (task >> 24 & 0xFF) << 56
    table |= {0x40: low, 0x48: task >> 32}
    return heap.place(struct.pack("<11Q", *(table.get(8 * index, 0) for index in range(11))))


def write_processor(heap: KernelHeap, build: KernelBuild, processor: Processor, kd_version_block: int) -> None:
    """Write KPCR and KPRCB with ProcessorState, and the CONTEXT for KPRCB.Context."""
    kpcr, kprcb = processor.kpcr, processor.kprcb
    heap.pointers(kpcr, dict(processor.special_registers)["Gdtr.Base"])
    heap.pointers(kpcr + 0x18, kpcr, kprcb)
    heap.pointers(kpcr + 0x108, kd_version_block)
    heap.pointers(kprcb + _CURRENT_THREAD, processor.current_thread, 0, processor.current_thread)
    heap.write(kprcb + _NUMBER, struct.pack("<I", processor.number))
    registers = dict(processor.special_registers)
    for name, (offset, form) in _SPECIAL.items():
        heap.write(kprcb + build.prcb_state + offset, struct.pack(form, registers.get(name, 0)))
    heap.pointers(kprcb + build.prcb_context, heap.place(context_bytes(processor.context)))


def special_registers(root: int, fault_address: int, descriptors: int, levels: int = 4) -> tuple[tuple[str, int], ...]:
    """Return KPRCB.ProcessorState.SpecialRegisters of a synthetic processor, by field name.

    ``descriptors`` is the address of its GDT, ``levels`` the number of levels of its page tables.
    """
    values = {"Cr0": _INITIAL_KCR0, "Cr2": fault_address, "Cr3": root,
              "Cr4": 0x6F8 | (CR4_LA57 if levels == 5 else 0), "KernelDr7": 0x400,
              "Gdtr.Limit": 0x57, "Gdtr.Base": descriptors, "Idtr.Limit": 0xFFF, "Idtr.Base": POOL, "Tr": 0x40,
              "MxCsr": 0x1F80, "Cr8": 2}  # fmt: skip
    return tuple(values.items())


def debugger_data(build: KernelBuild, levels: int = 4, **addresses: int) -> bytes:
    """Return KDDEBUGGER_DATA64 of the build, with ``addresses`` by field name.

    docs/format/kernel-debugger-data.md#header-of-the-block
    """
    pte_base = 0xFFFF_0000_0000_0000 | SELF_MAP << 39 if levels == 4 else 0xFE00_0000_0000_0000 | SELF_MAP << 48
    block = KDDEBUGGER_DATA64(
        OwnerTag=KDBG_TAG, Size=build.debugger_data_size, PaeEnabled=1, MmPageSize=PAGE_SIZE,
        OffsetKThreadTeb=_TEB, OffsetKThreadKernelStack=_KERNEL_STACK, OffsetKThreadInitialStack=0x28,
        OffsetKThreadApcProcess=_APC_PROCESS, OffsetKThreadState=_STATE, OffsetKThreadNextProcessor=0x218,
        OffsetKThreadStackLimit=_STACK_LIMIT, OffsetKThreadStackBase=_STACK_BASE,
        SizeEProcess=build.size_eprocess, OffsetEprocessPeb=build.eprocess_peb, OffsetEprocessDirectoryTableBase=0x28,
        OffsetEprocessParentCID=build.eprocess_peb - 0x10, SizePrcb=build.size_prcb,
        OffsetPrcbCurrentThread=_CURRENT_THREAD, OffsetPrcbNumber=_NUMBER, OffsetPrcbIdleThread=_IDLE_THREAD,
        OffsetPrcbProcStateSpecialReg=build.prcb_state, OffsetPrcbProcStateContext=build.prcb_state_context,
        OffsetPrcbContext=build.prcb_context, SizeEThread=build.size_ethread,
        SizePcr=PCR_TO_PRCB + build.size_prcb, OffsetPcrSelfPcr=0x18, OffsetPcrCurrentPrcb=0x20,
        OffsetPcrContainedPrcb=PCR_TO_PRCB, GdtR0Code=0x10, GdtR0Data=0x18, GdtR3Code=0x30, GdtR3Data=0x28,
        GdtTss=0x40, Gdt64R3CmCode=0x20, Gdt64R3CmTeb=0x50, PteBase=pte_base, **addresses,
    )  # fmt: skip
    return bytes(block)[: build.debugger_data_size]
