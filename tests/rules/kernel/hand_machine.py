"""A small hand-made machine, page by page, and its truth. Nothing of it comes from the emulator."""

from __future__ import annotations

from collections.abc import Iterable
from struct import pack, pack_into, unpack_from
from typing import Any

P = 0x1000
KERNEL = 0xFFFF_F800_0000_0000
POOL = KERNEL + 0x10_0000
SHARED = 0xFFFF_F780_0000_0000
USER_SHARED = 0x7FFE_0000
USER_CODE = 0x40_0000
RUNS = ((0x1, 0x1F), (0x40, 0x33))
"""RAM: PFN 1 to 0x1F and 0x40 to 0x72, an odd number of pages. An unrounded bitmap has 115 bits."""
ROOT, PROCESS_ROOT = 0x40, 0x41
FREE, STANDBY, USER_PAGES = 0x6F, 0x70, (0x60, 0x61)

KDBG, VERSION, LIST_HEAD, PROCESS_HEAD = KERNEL + 0x1000, KERNEL + 0x1800, KERNEL + 0x2000, KERNEL + 0x2010
PFN_VARIABLE, BUGCHECK, PROCESSOR_BLOCK = KERNEL + 0x2020, KERNEL + 0x2040, KERNEL + 0x2080
UNLOADED, MEMORY_BLOCK = KERNEL + 0x20C0, KERNEL + 0x20D0
PFN_DATABASE = 0xFFFF_FA80_0000_0000
PRCBS = (POOL, POOL + P)
CONTEXTS = (POOL + 0x800, POOL + P + 0x800)
SYSTEM, USER_PROCESS = POOL + 0x2000, POOL + 0x2100
THREADS = (POOL + 0x2200, POOL + 0x2300)
ENTRIES = (POOL + 0x3000, POOL + 0x3100)
NAMES = POOL + 0x3400
STACK, STACK_BASE = POOL + 0x4000, POOL + 0x6000
RSP, RIP = STACK_BASE - 0x200, KERNEL + 0x4100
SIZES = {"prcb": 0x400, "process": 0x100, "thread": 0x100, "kdbg": 0x380}
_REGISTERS = (
    "SegCs SegDs SegEs SegFs SegGs SegSs EFlags Dr0 Dr1 Dr2 Dr3 Dr6 Dr7 Rax Rcx Rdx Rbx Rsp Rbp Rsi Rdi "
    "R8 R9 R10 R11 R12 R13 R14 R15 Rip MxCsr"
)
REGISTERS = _REGISTERS.split()
FXSAVE = bytes([0x7F, 2]) + bytes(22) + pack("<II", 0x1F80, 0xFFFF) + bytes(128) + b"\x11" * 256 + bytes(96)
FLAGS = 0x10000F
NOW, UP = 0x1DA_0000_0000_0000, 0x12_3456_7890
DRIVERS = (
    ("\\SystemRoot\\system32\\ntoskrnl.exe", "ntoskrnl.exe", KERNEL, 0x10000),
    ("\\SystemRoot\\system32\\drivers\\test.sys", "test.sys", KERNEL + 0x20000, 0x2345),
)
GONE = (("gone.sys", KERNEL + 0x40000, KERNEL + 0x42000), ("longer-name.sys", KERNEL + 0x50000, KERNEL + 0x51000))
BLOBS = ((bytes(range(16)), b"some data"), (bytes(16), b""), (bytes(range(16)), b"12345678"))


class Memory:
    """Physical pages, and virtual writes that make page tables as needed."""

    def __init__(self) -> None:
        self.pages: dict[int, bytearray] = {}

    def page(self, pfn: int) -> bytearray:
        return self.pages.setdefault(pfn, bytearray(P))

    def entry(self, table: int, index: int, pfn: int, flags: int = 0x63) -> None:
        pack_into("<Q", self.page(table), 8 * index, pfn << 12 | flags)

    def map(self, root: int, address: int, pfn: int, tables: Iterable[int], user: int = 0) -> None:
        """``tables``: PFNs for missing tables of the three levels below the root."""
        at, fresh = root, iter(tables)
        for shift in (39, 30, 21):
            index = address >> shift & 0x1FF
            below = unpack_from("<Q", self.page(at), 8 * index)[0] >> 12 & 0xFFFFF
            if not below:
                below = next(fresh)
                self.entry(at, index, below, 0x63 | user)
            at = below
        self.entry(at, address >> 12 & 0x1FF, pfn, 0x63 | user)

    def write(self, pfn: int, at: int, data: bytes) -> None:
        while data:
            page = self.page(pfn + at // P)
            many = min(len(data), P - at % P)
            page[at % P : at % P + many] = data[:many]
            data, at = data[many:], at + many


def _context(seed: int, rip: int, rsp: int) -> dict[str, Any]:
    values = {name: seed + index for index, name in enumerate(REGISTERS)}
    values |= {"Rip": rip, "Rsp": rsp, "MxCsr": 0x1F80, "SegCs": 0x10, "SegSs": 0x18}
    held = {name: hex(value) for name, value in values.items()}
    return {"context_flags": FLAGS, "registers": held, "fxsave": FXSAVE.hex()}


def context_record(source: dict[str, Any]) -> bytes:
    """winnt.h CONTEXT, amd64, 1232 bytes."""
    value = {name: int(text, 16) for name, text in source["registers"].items()}
    head = bytes(0x30) + pack("<II", source["context_flags"], value["MxCsr"])
    head += pack("<6HI", *(value[name] for name in REGISTERS[:7]))
    head += pack("<23Q", *(value[name] for name in REGISTERS[7:30]))
    return head + bytes.fromhex(source["fxsave"]) + bytes(0x4D0 - 0x300)


CRASH, OTHER = _context(0x100, RIP, RSP), _context(0x200, KERNEL + 0x4200, POOL + 0x7F00)


def _debugger_data() -> bytes:
    block = bytearray(SIZES["kdbg"])
    for at, value in {
        0x00: KDBG, 0x08: KDBG, 0x18: KERNEL, 0x48: LIST_HEAD, 0x50: PROCESS_HEAD, 0x88: BUGCHECK, 0xC0: PFN_VARIABLE,
        0x218: PROCESSOR_BLOCK, 0x220: UNLOADED, 0x270: MEMORY_BLOCK,
    }.items():  # fmt: skip
        pack_into("<Q", block, at, value)
    pack_into("<4sI", block, 0x10, b"KDBG", SIZES["kdbg"])
    for at, value in {
        0x2A0: 0xB8, 0x2A8: SIZES["process"], 0x2AE: 0x28, 0x2B0: SIZES["prcb"], 0x2B4: 8, 0x2BE: 0x24,
        0x2C0: SIZES["thread"], 0x2F2: 0x100, 0x338: 0x200,
    }.items():  # fmt: skip
        pack_into("<H", block, at, value)
    return bytes(block)


def machine() -> Memory:
    """Kernel, pool, shared data and a process, mapped by tables under two roots."""
    memory = Memory()
    for root in (ROOT, PROCESS_ROOT):
        memory.entry(root, 0x1ED, root)
    for index in range(16):
        memory.map(ROOT, KERNEL + index * P, 0x50 + index, (0x42, 0x43, 0x44))
    for index in range(8):
        memory.map(ROOT, POOL + index * P, 0x62 + index, ())
    memory.map(ROOT, SHARED, 0x6A, (0x45, 0x46, 0x47))
    for index in (0x1F0, 0x1EF):
        memory.page(PROCESS_ROOT)[8 * index : 8 * index + 8] = memory.page(ROOT)[8 * index : 8 * index + 8]
    memory.map(PROCESS_ROOT, USER_SHARED, 0x6A, (0x48, 0x49, 0x4A), user=4)
    for index, pfn in enumerate(USER_PAGES):
        memory.map(PROCESS_ROOT, USER_CODE + index * P, pfn, (0x4B, 0x4C), user=4)
    kernel, pool = 0x50, 0x62
    memory.write(kernel, 0, b"MZ" + bytes(range(256)) * 4)
    memory.write(kernel, 0x1000, _debugger_data())
    version = pack("<HHBBHH4BHQQQ", 15, 19041, 6, 2, 7, 0x8664, 12, 3, 47, 0, 0, KERNEL, LIST_HEAD, 0)
    memory.write(kernel, 0x1800, version)
    memory.write(kernel, 0x2000, pack("<4Q", ENTRIES[0], ENTRIES[-1], SYSTEM + 0x40, USER_PROCESS + 0x40))
    memory.write(kernel, 0x2020, pack("<Q", PFN_DATABASE))
    memory.write(kernel, 0x2040, pack("<5Q", 0xD1, 0x10, 2, 0, RIP))
    memory.write(kernel, 0x2080, pack("<2Q", *PRCBS))
    memory.write(kernel, 0x4000, bytes((value * 7 + (value >> 8) * 3) & 0xFF for value in range(P)))
    for number in (0, 1):
        prcb = bytearray(SIZES["prcb"])
        pack_into("<Q", prcb, 8, THREADS[number])
        pack_into("<I", prcb, 0x24, number)
        pack_into("<Q", prcb, 0x110, ROOT * P)
        pack_into("<Q", prcb, 0x200, CONTEXTS[number])
        memory.write(pool + number, 0, bytes(prcb))
        memory.write(pool + number, 0x800, context_record(CRASH if number == 0 else OTHER))
        thread = bytearray(bytes([0x5A + number]) * SIZES["thread"])
        pack_into("<Q", thread, 0xB8, SYSTEM)
        memory.write(pool + 2, 0x200 + 0x100 * number, bytes(thread))
        process = bytearray(b"\x3c" * SIZES["process"])
        pack_into("<Q", process, 0x28, (ROOT, PROCESS_ROOT)[number] * P)
        memory.write(pool + 2, 0x100 * number, bytes(process))
    for index, (full, base, at, size) in enumerate(DRIVERS):
        text, short = full.encode("utf-16-le"), base.encode("utf-16-le")
        name = NAMES + 0x200 * index
        memory.write(pool, name - POOL, text)
        memory.write(pool, name + 0x100 - POOL, short)
        links = ((ENTRIES[1], LIST_HEAD), (LIST_HEAD, ENTRIES[0]))[index]
        entry = pack("<QQQIIQQ", *links, 0x1111, 0x22, 0, 0, 0x3333)
        entry += pack("<QQII", at, at + 0x1000, size, 0)
        entry += pack("<HHIQHHIQ", len(text), len(text), 0, name, len(short), len(short), 0, name + 0x100)
        entry += pack("<IHHQIIQQQII", 0x4000, 1, 6, 0, 0x1000 + index, 0, 0, 0, 0, size, 0x60000000 + index)
        memory.write(pool, ENTRIES[index] - POOL, entry)
    memory.write(pool, STACK - POOL, bytes((value * 13 + (value >> 8) * 7 + 1) & 0xFF for value in range(0x2000)))
    memory.write(pool, 0x7F00, bytes(range(256)))
    shared = bytearray(P)
    pack_into("<I", shared, 0x264, 1)
    pack_into("<I", shared, 0x26C, 10)
    pack_into("<I", shared, 0x2D0, 0x110)
    memory.write(0x6A, 0, bytes(shared))
    for pfn in (*USER_PAGES, FREE, STANDBY):
        memory.write(pfn, 0, bytes([pfn & 0xFF]) * P)
    return memory


def _extents(runs: Iterable[tuple[int, int]]) -> list[dict[str, str]]:
    return [{"base_page": hex(base), "page_count": hex(count)} for base, count in runs]


def runs_of(pfns: Iterable[int]) -> list[tuple[int, int]]:
    """(first, count) of ascending PFNs."""
    found: list[tuple[int, int]] = []
    for pfn in sorted(pfns):
        if found and sum(found[-1]) == pfn:
            found[-1] = (found[-1][0], found[-1][1] + 1)
        else:
            found.append((pfn, 1))
    return found


def truth_document(memory: Memory, build: int) -> tuple[dict[str, Any], bytes]:
    """truth.json as an object, and memory.bin."""
    touched, offset, index = runs_of(memory.pages), 0, []
    for base, count in touched:
        index.append({"base_page": hex(base), "page_count": hex(count), "offset": hex(offset)})
        offset += count * P
    contents = b"".join(bytes(memory.pages[pfn]) for base, count in touched for pfn in range(base, base + count))
    processor = {
        "kpcr": hex(KERNEL + 0x6000), "stack_limit": hex(STACK), "stack_base": hex(STACK_BASE),
        "special_registers": {"Cr3": hex(ROOT * P), "Cr2": "0x10"},
    }  # fmt: skip
    return {
        "format": "dumptruth-truth", "version": 1, "mode": "kernel", "source": "by hand",
        "system": {"architecture": "amd64", "build_number": build, "major_version": 15, "product_type": 1,
                   "suite_mask": 0x110, "nt_build_lab": "by hand"},
        "time": hex(NOW), "up_time": hex(UP),
        "processors": [
            {"number": 0, "kprcb": hex(PRCBS[0]), "current_thread": hex(THREADS[0]), "context": CRASH, **processor},
            {"number": 1, "kprcb": hex(PRCBS[1]), "current_thread": hex(THREADS[1]), "context": OTHER, **processor},
        ],
        "crashing_processor": 0,
        "directory_table_base": hex(ROOT * P), "system_directory_table_base": hex(ROOT * P),
        "bug_check": {"code": 0xD1, "parameters": ["0x10", "0x2", "0x0", hex(RIP)]}, "exception": None,
        "symbols": {
            "kernel_base": hex(KERNEL), "kd_debugger_data_block": hex(KDBG), "kd_version_block": hex(VERSION),
            "ps_loaded_module_list": hex(LIST_HEAD), "ps_active_process_head": hex(PROCESS_HEAD),
            "mm_pfn_database": hex(PFN_VARIABLE), "ki_bugcheck_data": hex(BUGCHECK),
            "ki_processor_block": hex(PROCESSOR_BLOCK), "mm_unloaded_drivers": hex(UNLOADED),
            "mm_physical_memory_block": hex(MEMORY_BLOCK),
        },
        "processes": [
            {"process": hex(SYSTEM), "process_id": 4, "image_file_name": "System",
             "directory_table_base": hex(ROOT * P), "peb": "0x0",
             "threads": [{"thread": hex(THREADS[0]), "thread_id": 8, "teb": "0x0", "stack_limit": hex(STACK),
                          "stack_base": hex(STACK_BASE)}]},
            {"process": hex(USER_PROCESS), "process_id": 100, "image_file_name": "user.exe",
             "directory_table_base": hex(PROCESS_ROOT * P), "peb": "0x30000", "threads": []},
        ],
        "drivers": [
            {"entry": hex(ENTRIES[index]), "base": hex(at), "size": size, "entry_point": hex(at + 0x1000),
             "checksum": 0x1000 + index, "time_date_stamp": 0x60000000 + index, "full_name": full, "base_name": base,
             "flags": 0x4000, "load_count": 1,
             "read_only_sections": [{"address": hex(at + 0x3000), "size": "0x2000"}] if index == 0 else []}
            for index, (full, base, at, size) in enumerate(DRIVERS)
        ],
        "unloaded_drivers": [{"name": name, "start": hex(start), "end": hex(end)} for name, start, end in GONE],
        "physical_runs": _extents(RUNS), "memory": index,
        "free_pages": _extents([(FREE, 1), (0x71, 2)]), "standby_pages": _extents([(STANDBY, 1)]),
        "unreadable_pages": [], "added_pages": _extents([(0x6E, 1)]),
        "triage_data": [{"address": hex(POOL + 0x7F80), "size": "0x40"}],
        "blobs": [{"tag": tag.hex(), "data": data.hex()} for tag, data in BLOBS],
    }, contents  # fmt: skip
