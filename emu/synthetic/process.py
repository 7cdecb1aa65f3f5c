"""Makes small, consistent user-mode snapshots by hand. Parameters set the properties that a test examines.

``synthetic_process`` keeps every promise of ``snapshot/process.py``: regions without gaps, memory for exactly the
readable pages, stacks committed up to their base, TEBs that agree with their stacks, a PEB that agrees with the first
image, modules mapped with headers and sections.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import replace

from ..constants import MEM_RESERVE, NORMAL_PRIORITY_CLASS, PAGE_GUARD, PAGE_READONLY, PAGE_READWRITE
from ..process.winnt import Status
from ..snapshot.process import (
    PAGE_SIZE,
    Context,
    ExceptionEvent,
    FunctionTable,
    Handle,
    HandleOperation,
    Module,
    ProcessInformation,
    ProcessSnapshot,
    SystemInformation,
    Thread,
    Token,
    UnloadedModule,
    VmCounters,
    X86CpuInformation,
)
from .contexts import synthetic_context
from .forms import FORMS, Form
from .image import IMAGE_STRIDE, TEXT, image_pages, synthetic_module
from .pages import Pages, address_space, pattern

__all__ = ["Pages", "address_space", "amd64_context", "synthetic_process", "synthetic_system"]

KUSER_SHARED_DATA = 0x7FFE0000
STACK_RESERVE = 0x10_0000
COMMAND_LINE = "C:\\work\\crash.exe"
PROCESS_ID = 0x1234

TIME = 133_500_000_000_000_000  # 2024-01-17 in FILETIME
SECOND = 10_000_000


def amd64_context(**registers: int) -> Context:
    """Return a full amd64 context: the given registers, and the values of a new user-mode thread in the others.

    Raises ValueError for a register that CONTEXT does not have.
    """
    stack, instruction = registers.pop("Rsp", 0), registers.pop("Rip", 0)
    return synthetic_context("amd64", stack_pointer=stack, instruction_pointer=instruction, xstate=None, **registers)


def synthetic_system(architecture: str = "amd64", **changes: object) -> SystemInformation:
    """Return a workstation with four processors, build 19045. ``changes`` are by field name."""
    form = FORMS[architecture]
    system = SystemInformation(
        architecture=architecture,
        processor_level=6,
        processor_revision=0x5E03,
        number_of_processors=4,
        product_type=1,
        major_version=10,
        minor_version=0,
        build_number=19045,
        csd_version="",
        suite_mask=0x100,
        processor_features=None if architecture == "x86" else (0x11B7_FFF7_37FE, 0),
        build_string=f"19041.1.{architecture}fre.vb_release.191206-1406",
        time_zone_id=0,
        time_zone_bias=0,
        standard_name="UTC",
        daylight_name="UTC",
        processor_max_mhz=3000,
        processor_current_mhz=2900,
        number_of_physical_pages=0x20_0000,
        lowest_physical_page_number=1,
        highest_physical_page_number=0x23_FFFF,
        allocation_granularity=0x10000,
        minimum_user_mode_address=0x10000,
        maximum_user_mode_address=form.maximum_user_address,
        timer_resolution=156_250,
        available_pages=0x10_0000,
        committed_pages=0xC_0000,
        commit_limit=0x28_0000,
        peak_commitment=0xD_0000,
        x86_cpu=X86CpuInformation("GenuineIntel", 0x506E3, 0xBFEB_FBFF, 0) if architecture == "x86" else None,
    )
    return replace(system, **changes)  # type: ignore[arg-type]


def synthetic_process(
    architecture: str = "amd64",
    *,
    threads: int = 2,
    thread_names: Sequence[str | None] = ("main", None),
    modules: int = 2,
    module_names: Sequence[str] = (),
    version_info: bool = True,
    code_view: bool = True,
    pdb_name: str | None = None,
    module_list: Sequence[Module] | None = None,
    form: Form | None = None,
    unloaded: int = 1,
    unloaded_modules: Sequence[UnloadedModule] | None = None,
    handles: int = 3,
    handle_list: Sequence[Handle] | None = None,
    stack_committed: int = 0x3000,
    stack_used: int = 0x180,
    extra: Sequence[Pages] = (),
    exception: bool = True,
    exception_thread: int = 0,
    exception_code: int = Status.ACCESS_VIOLATION,
    exception_information: Sequence[int] = (0, 0x10),
    exception_flags: int = 0,
    exception_record: int = 0,
    function_tables: Sequence[FunctionTable] = (),
    handle_operations: Sequence[HandleOperation] = (),
    tokens: Sequence[Token] = (),
    system: SystemInformation | None = None,
    time: int = TIME,
) -> ProcessSnapshot:
    """Return a stopped process. With the default arguments it crashed by reading a null pointer.

    - ``architecture``: amd64, x86 or arm64. ``system``, if given, has the same. A 32-bit address space has room for
      1,024 threads and 256 modules.
    - ``threads``, ``modules``, ``unloaded`` and ``handles`` are counts. The lists ``module_list``,
      ``unloaded_modules`` and ``handle_list`` replace the last three.
    - ``form``: other sizes and addresses than those of the architecture. In an amd64 process a module below 4 GiB is an
      image of x86 (WOW64).
    - ``thread_names`` and ``module_names`` name the first threads and modules. Other threads have no name, other
      modules a default name. ``pdb_name``: the name in every CodeView record.
    - ``stack_committed`` bytes (whole pages) lie below each stack base, with a guard page under them. Each stack
      pointer is ``stack_used`` bytes below the base.
    - ``extra``: more pages at free addresses.
    - ``exception`` False: the process stopped without an exception.

    Raises ValueError when the arguments contradict each other.
    """
    if exception and not 0 <= exception_thread < threads:
        raise ValueError(f"exception_thread {exception_thread}: the process has {threads} threads")
    form = form or FORMS[architecture]
    names = [module_names[i] if i < len(module_names) else _module_name(i) for i in range(modules)]
    module_list = (
        [synthetic_module(i, name, version_info, code_view, form, pdb_name=pdb_name) for i, name in enumerate(names)]
        if module_list is None
        else module_list
    )
    thread_list = [
        _thread(form, i, thread_names[i] if i < len(thread_names) else None, module_list,
                committed=stack_committed, used=stack_used)
        for i in range(threads)
    ]  # fmt: skip
    pages = [
        Pages(KUSER_SHARED_DATA, PAGE_SIZE, protect=PAGE_READONLY),
        *_process_blocks(form, thread_list, module_list),
        Pages(form.heap, 0x3000, allocation_base=form.heap, data=_heap(form, module_list)),
        Pages(form.heap + 0x3000, 0xD000, MEM_RESERVE, PAGE_READWRITE, allocation_base=form.heap),
        *(item for thread in thread_list for item in _stack(form, thread, module_list)),
        *(item for module in module_list for item in image_pages(module, _image_form(form, module))),
        *extra,
    ]
    regions, memory, unreadable = address_space(pages, end=form.maximum_user_address + 1)
    event = None
    if exception:
        thread = thread_list[exception_thread]
        event = ExceptionEvent(
            thread_id=thread.thread_id,
            code=int(exception_code),
            flags=exception_flags,
            record=exception_record,
            address=thread.context.instruction_pointer,
            information=tuple(exception_information),
            context=thread.context,
            first_chance=False,
        )
    return ProcessSnapshot(
        system=system or synthetic_system(architecture),
        process=_process(form, time),
        time=time,
        start_directory="C:\\work",
        threads=tuple(thread_list),
        modules=tuple(module_list),
        unloaded_modules=tuple(
            (_unloaded(form, i) for i in range(unloaded)) if unloaded_modules is None else unloaded_modules
        ),
        regions=regions,
        memory=memory,
        unreadable=unreadable,
        handles=tuple((_handle(i) for i in range(handles)) if handle_list is None else handle_list),
        exception=event,
        function_tables=tuple(function_tables),
        handle_operations=tuple(handle_operations),
        tokens=tuple(tokens),
    )


def _image_form(form: Form, module: Module) -> Form:
    """Return the form of an image: x86 below 4 GiB, else that of the process."""
    return FORMS["x86"] if form.pointer_size == 8 and module.base < 1 << 32 else form


def _process(form: Form, time: int) -> ProcessInformation:
    virtual_size = 0x200_0000_0000 if form.pointer_size == 8 else 0x2000_0000
    return ProcessInformation(
        process_id=PROCESS_ID,
        create_time=time - 75 * SECOND,
        user_time=3 * SECOND,
        kernel_time=SECOND,
        peb=form.peb,
        integrity_level=0x2000,
        execute_flags=0xD,
        protected=0,
        cookie=0xC00C1E,
        command_line=COMMAND_LINE,
        vm=VmCounters(
            page_fault_count=1234,
            peak_working_set_size=0x50_0000,
            working_set_size=0x48_0000,
            quota_peak_paged_pool_usage=0x1_0000,
            quota_paged_pool_usage=0xF000,
            quota_peak_non_paged_pool_usage=0x3000,
            quota_non_paged_pool_usage=0x2800,
            pagefile_usage=0x10_0000,
            peak_pagefile_usage=0x11_0000,
            peak_virtual_size=virtual_size + virtual_size // 0x200,
            virtual_size=virtual_size,
            private_usage=0x10_0000,
            private_working_set_size=0x8_0000,
            shared_commit_usage=0x4_0000,
        ),
    )


def _thread(
    form: Form, index: int, name: str | None, modules: Sequence[Module], *, committed: int, used: int
) -> Thread:
    base = form.first_stack + (index + 1) * STACK_RESERVE
    if committed % PAGE_SIZE or not 0 <= committed <= STACK_RESERVE - PAGE_SIZE:
        raise ValueError(
            f"stack_committed {committed:#x}: expected whole pages, at most {STACK_RESERVE - PAGE_SIZE:#x} bytes"
        )
    entry = modules[0].base + TEXT if modules else 0
    instruction = 0
    if modules:  # spread over the images: some instruction windows touch, others do not
        round_, image = divmod(index, len(modules))
        instruction = modules[image].base + TEXT + 0x300 + 0xC0 * round_ % 0x1800
    return Thread(
        thread_id=0x1238 + 4 * index,
        suspend_count=1,
        priority_class=NORMAL_PRIORITY_CLASS,
        priority=0 if index % 3 else -1 if index else 0,
        teb=form.peb + PAGE_SIZE + index * form.teb_size,
        stack_base=base,
        stack_limit=base - committed,
        context=_context(form, index, base - used, instruction),
        name=name,
        create_time=TIME - (70 - index % 60) * SECOND,
        exit_time=0,
        exit_status=Status.PENDING,
        kernel_time=10_000 * index,
        user_time=20_000 * (index + 1),
        start_address=entry,
        affinity=0xF,
        state="waiting" if index else "running",
    )


def _context(form: Form, index: int, stack: int, instruction: int) -> Context:
    if form.architecture == "amd64":
        return amd64_context(Rsp=stack, Rbp=stack + 0x20, Rip=instruction, Rcx=0x10, R10=index)
    return synthetic_context(form.architecture, stack_pointer=stack, instruction_pointer=instruction)


def _put(form: Form, data: bytearray, at: int, *values: int) -> None:
    struct.pack_into(f"<{len(values)}{form.pointer}", data, at, *values)


def _process_blocks(form: Form, threads: Sequence[Thread], modules: Sequence[Module]) -> list[Pages]:
    """Return PEB and TEBs, in one allocation."""
    data = bytearray(PAGE_SIZE)
    _put(form, data, form.peb_fields["ImageBaseAddress"], modules[0].base if modules else 0)
    _put(form, data, form.peb_fields["ProcessParameters"], form.parameters)
    _put(form, data, form.peb_fields["ProcessHeap"], form.heap)
    fields = form.teb_fields
    for thread in threads:
        teb = bytearray(form.teb_size)
        _put(form, teb, fields["ExceptionList"], 0xFFFF_FFFF if form.architecture == "x86" else 0)  # no handler
        _put(form, teb, fields["StackBase"], thread.stack_base)
        _put(form, teb, fields["StackLimit"], thread.stack_limit)
        _put(form, teb, fields["Self"], thread.teb)
        _put(form, teb, fields["ClientId"], PROCESS_ID, thread.thread_id)
        _put(form, teb, fields["ProcessEnvironmentBlock"], form.peb)
        data += teb
    return [Pages(form.peb, len(data), allocation_base=form.peb, data=bytes(data))]


def _stack(form: Form, thread: Thread, modules: Sequence[Module]) -> list[Pages]:
    """Return reserved part, guard page and committed part of a stack; the used part holds pointers."""
    allocation = thread.stack_base - STACK_RESERVE
    committed = thread.stack_base - thread.stack_limit
    guard = thread.stack_limit - PAGE_SIZE
    pages = [Pages(guard, PAGE_SIZE, protect=PAGE_READWRITE | PAGE_GUARD, allocation_base=allocation,
                   allocation_protect=PAGE_READWRITE)]  # fmt: skip
    if guard > allocation:
        pages.append(Pages(allocation, guard - allocation, MEM_RESERVE, PAGE_READWRITE))
    if committed:
        words = [form.heap + 0x100, thread.teb, *(module.base + TEXT + 0x40 for module in modules[:4]), 0x1234_5678]
        data = bytearray(committed)
        size = form.pointer_size
        used = min(thread.stack_base - thread.context.stack_pointer, committed) // size
        _put(form, data, committed - used * size, *(words[i % len(words)] for i in range(used)))
        pages.append(Pages(thread.stack_limit, committed, allocation_base=allocation, data=bytes(data)))
    return pages


def _heap(form: Form, modules: Sequence[Module]) -> bytes:
    """Return module names, and RTL_USER_PROCESS_PARAMETERS with its strings."""
    data = bytearray(pattern(form.heap, 0x3000))
    text = "\0".join(module.name for module in modules).encode("utf-16-le", "surrogatepass")[:0x1000]
    data[0x800 : 0x800 + len(text)] = text
    at, fields = form.parameters - form.heap, form.parameter_fields
    data[at:] = bytes(len(data) - at)
    struct.pack_into("<II", data, at, 0x440, 0x440)  # MaximumLength, Length
    buffer = at + 0x440
    values = {"CurrentDirectory": "C:\\work\\", "ImagePathName": COMMAND_LINE, "CommandLine": COMMAND_LINE}
    for name, value in values.items():
        encoded = value.encode("utf-16-le")
        struct.pack_into("<HH", data, at + fields[name], len(encoded), len(encoded) + 2)
        _put(form, data, at + fields[name] + form.pointer_size, form.heap + buffer)
        data[buffer : buffer + len(encoded)] = encoded
        buffer += len(encoded) + 2
    _put(form, data, at + fields["Environment"], form.heap + buffer)  # empty
    _put(form, data, at + fields["EnvironmentSize"], 4)
    return bytes(data)


def _module_name(index: int) -> str:
    return "C:\\work\\crash.exe" if index == 0 else f"C:\\Windows\\System32\\synthetic{index:02d}.dll"


def _unloaded(form: Form, index: int) -> UnloadedModule:
    base = form.first_dll + 0x1000_0000 + index * IMAGE_STRIDE
    return UnloadedModule(base, 0x8000, 0xBAD00 + index, 0x65B00000 + index, f"gone{index:02d}.dll")


def _handle(index: int) -> Handle:
    kinds = (("Event", None), ("File", "\\Device\\HarddiskVolume1\\work"), ("Mutant", "\\BaseNamedObjects\\only-one"))
    type_name, object_name = kinds[index % len(kinds)]
    return Handle(4 * (index + 1), type_name, object_name, 0, 0x1F0003, 1 + index % 2, 32768 + index)
