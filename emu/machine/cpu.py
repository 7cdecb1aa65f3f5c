"""Runs one amd64 processor on real page tables and reports exact faults. The only file that imports Unicorn.

It hides five defects of Unicorn 2.1.4 from the rest of the code:

- Unicorn never clears the exception in flight (docs/format/emulation.md#exception-in-flight). Every event clears it.
- `count=`, `until=` and `hook_del` probe the MMU, which overwrites CR2. Nothing here uses them.
  See docs/format/emulation.md#count-limits, docs/format/emulation.md#until-addresses and
  docs/format/emulation.md#removal-of-code-hooks.
- The TLB does not notice host edits of page tables (docs/format/emulation.md#tlb-flush). `run` flushes it first.

Not emulated (docs/format/emulation.md#not-emulated): AVX, hardware breakpoints, alignment faults of SSE, unmasked SSE
exceptions. A jump to a non-canonical address reports the target instead of the jump.
"""

import ctypes
import weakref
from collections.abc import Callable, Mapping
from functools import cache, partial

from unicorn import x86_const as x86
from unicorn.unicorn_const import (
    UC_ARCH_X86,
    UC_CTL_TLB_FLUSH,
    UC_ERR_NOMEM,
    UC_HOOK_BLOCK,
    UC_HOOK_INSN,
    UC_HOOK_INSN_INVALID,
    UC_HOOK_INTR,
    UC_HOOK_MEM_INVALID,
    UC_MODE_64,
    UC_PROT_ALL,
    UC_PROT_READ,
    UC_TLB_CPU,
)
from unicorn.unicorn_py3 import Uc, UcContext, UcError
from unicorn.unicorn_py3.arch.intel import UcIntel
from unicorn.unicorn_py3.unicorn import uclib

from .block_end import BlockEnd
from .context_blob import (
    GENERAL,
    MARK_DR,
    MARK_FP0,
    MARK_FPCW,
    MARK_FPSW_TOP,
    MARK_MXCSR,
    MARK_RAX,
    MARK_XMM0,
    ContextBlob,
)
from .direct_registers import DirectRegisters
from .interrupts import Interrupts
from .paging import PageTables
from .ram import PAGE_SIZE, Ram
from .register_file import CONTROL, DESCRIPTOR_TABLES, RegisterFile
from .run_end import Signals, event_of
from .shadow_stack import Call, FindStack, ShadowStack, Span
from .traps import BREAKPOINT, RFLAGS_RF, SYSCALL_LENGTH, Event, Fault, Halted, Stopped, Syscall
from .watchdog import Watchdog

# The newest model without RDRAND, which would return host randomness (docs/format/emulation.md#determinism).
# Family 6, model 42, stepping 1.
CPU_MODEL = x86.UC_CPU_X86_SANDYBRIDGE

# Control registers of a running 64-bit system: AMD64 manual vol. 2, 3.1.
_EFER, _EFER_VALUE = 0xC000_0080, 0x0D01  # SCE LME LMA NXE
_CR0_VALUE = 0x8005_0031  # PG AM WP NE ET PE; without NE, unmasked x87 exceptions stay silent
_CR4_VALUE = 0x0004_06F8  # OSXSAVE OSXMMEXCPT OSFXSR PGE MCE PAE PSE DE

# Every RDTSC adds this to the time stamp: a fixed cost instead of the host's clock.
TIME_STAMP_STEP = 1000

_MASK64 = (1 << 64) - 1

# INT 3 and INT 29h: Windows sets Rip of the trap frame back to the instruction (WRK trap.asm KiBreakpointTrap;
# learn.microsoft.com, __fastfail).
_REPORT_THEMSELVES = (BREAKPOINT, 0x29)

# Unicorn's number for each register name of RegisterFile.
_REGISTER_IDS = {
    "EFlags": x86.UC_X86_REG_EFLAGS,
    "MxCsr": x86.UC_X86_REG_MXCSR,
    "FpuControl": x86.UC_X86_REG_FPCW,
    "FsBase": x86.UC_X86_REG_FS_BASE,
    "GsBase": x86.UC_X86_REG_GS_BASE,
} | {name: getattr(x86, f"UC_X86_REG_{name.upper()}") for name in ("Rip", *GENERAL, *CONTROL, *DESCRIPTOR_TABLES)}

_BLOCK_HOOK = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_uint64, ctypes.c_uint32, ctypes.c_void_p)
_INSTRUCTION_HOOK = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)


class RunawayError(RuntimeError):
    """A run exceeded the limit on host time, so the guest probably never stops."""


class CpuState:
    """A complete, opaque processor state. `Cpu.save` and `Cpu.new_thread_state` create it."""

    __slots__ = ("context",)

    def __init__(self, context: UcContext) -> None:
        self.context = context


class Cpu(RegisterFile):
    """A processor on `ram`. CR3 is `root`; it starts in 64-bit user mode (CPL 3) with the Windows selectors.

    `tables` is the address space at `root`. With it, `run` notices host edits of mappings and code. Without it, call
    `flush_tlb` and `flush_code` after such edits. `time_limit` is the host time of one run in seconds, None for no
    limit.
    """

    def __init__(
        self, ram: Ram, root: int, *, tables: PageTables | None = None, time_limit: float | None = 60.0
    ) -> None:
        self._ram = ram  # Unicorn uses its buffer, so it must outlive the processor
        self._tables = tables
        self._seen = (-1, -1)
        uc = self._uc = _started(ram)
        uc.msr_write(_EFER, _EFER_VALUE)
        uc.reg_write(x86.UC_X86_REG_CR4, _CR4_VALUE)
        uc.reg_write(x86.UC_X86_REG_CR3, root)
        uc.reg_write(x86.UC_X86_REG_CR0, _CR0_VALUE)
        context = uc.context_save()
        plain = [number for name, number in _REGISTER_IDS.items() if name not in DESCRIPTOR_TABLES]
        read, write = partial(uclib.uc_reg_read, uc._uch), partial(uclib.uc_reg_write, uc._uch)
        registers = DirectRegisters(uc, plain, read, write)
        super().__init__(registers, _REGISTER_IDS, context, _locate_blob(uc, context))
        self._signals = Signals(partial(uclib.uc_emu_stop, uc._uch))
        self._interrupts = Interrupts(self._signals.stop)
        self._keep_alive: list[object] = []
        self._block_hook_installed = False
        self._install_hooks()
        self._enter_user_mode()
        self._pristine = self.save()
        self._watchdog: Watchdog | None = None
        if time_limit is not None:
            # The watchdog's thread holds no strong reference, so RAM is freed with its last user.
            alive = weakref.ref(self)

            def stop() -> None:
                cpu = alive()
                if cpu is not None:
                    cpu._signals.stop()

            self._watchdog = Watchdog(time_limit, stop)
        self.quantum: int | None = None
        """Number of basic blocks after which `run` returns Preempted; None for never.

        Each iteration of a `rep` string instruction counts as a block.
        """
        self.blocks_run = 0
        """Number of basic blocks of the last run; counted with a quantum only."""
        self.shadow_stack: ShadowStack | None = None
        """The calls that have not returned; None unless `record_calls` was called."""
        self._called = False

    # --- running ---------------------------------------------------------------------------------------------------

    def run(self) -> Event:
        """Executes from the current Rip to the next event and returns it.

        The result is deterministic, except for RunawayError after `time_limit` seconds of host time. With a quantum,
        guest code that never stops returns Preempted again and again, so the caller must count the quanta.
        Raises UnsupportedInstructionError for IN and OUT, ValueError for a quantum below 1, RuntimeError if Unicorn
        fails, MemoryError if the host has no memory for it.
        """
        signals = self._signals
        if signals.stop_requested:
            signals.stop_requested = False
            return Stopped(self.get("Rip"))
        if self.quantum is not None and self.quantum < 1:
            raise ValueError(f"quantum of {self.quantum} basic blocks: expected at least 1, or None")
        self._notice_host_edits()
        signals.clear()
        signals.blocks_left = self.quantum
        if self.quantum is not None and not self._block_hook_installed:
            self._install_block_hook()
        calls = self.shadow_stack
        if calls is not None:
            calls.begin(self.get("Rip"), self.get("Rsp"), supervisor=self.cpl == 0, called=self._called)
            signals.block_end = None
        failure: UcError | None = None
        if self._watchdog:
            self._watchdog.arm()
        try:
            with self._interrupts:
                self._uc.emu_start(self.get("Rip"), 0)
        except UcError as error:
            failure = error
        finally:
            if self._watchdog:
                self._watchdog.disarm()
        self.blocks_run = 0 if self.quantum is None else self.quantum - (signals.blocks_left or 0)
        event = event_of(signals, self, self._ram)
        if calls is not None:
            self._end_of_run(calls, event)
        if event is not None:
            return event
        rip = self.get("Rip")
        if self._watchdog and self._watchdog.struck:
            raise RunawayError(f"guest code at {rip:#x} still ran after the host time limit")
        if failure is not None and failure.errno == UC_ERR_NOMEM:
            raise MemoryError("the emulator cannot go on") from failure
        if failure is not None:
            raise RuntimeError(f"unicorn failed at {rip:#x}: {failure}") from failure
        return Halted(rip - 1)  # HLT is one byte, F4

    def _end_of_run(self, calls: ShadowStack, event: Event | None) -> None:
        signals, rip = self._signals, self.get("Rip")
        self._called = isinstance(event, Syscall)
        skipped = SYSCALL_LENGTH if isinstance(event, Syscall) else 0
        if isinstance(event, Fault) and event.vector not in _REPORT_THEMSELVES:
            skipped = event.length
        pending = signals.block_end
        within = pending is not None and signals.block <= rip < pending.address
        calls.end(rip, self.get("Rsp"), rip + skipped, pending, within)

    def record_calls(self, find_stack: FindStack, kept: dict[Span, Call | None] | None = None) -> None:
        """Record calls from the next run on. It needs a quantum. Parameters: see ShadowStack."""
        # Not by way of `self`: the block hook holds it, and a cycle would keep RAM.
        read_sp = _reader_of(self._uc._uch, x86.UC_X86_REG_RSP)
        read = _memory_reader(self._uc._uch)

        def read_word(address: int) -> int | None:
            data = read(address, 8)
            return None if data is None else int.from_bytes(data, "little")

        self.shadow_stack = ShadowStack(find_stack, read_sp, read_word, BlockEnd(read), kept)

    def request_stop(self) -> None:
        """Makes the current or the next run return Stopped. Safe in signal handlers and other threads."""
        self._signals.stop_requested = True
        self._signals.stop()

    def complete_syscall(self, result: int) -> None:
        """Returns from the SYSCALL at the current Rip with `result` in RAX, as SYSRET does.

        Sets RCX to the return address and R11 to RFLAGS, as SYSCALL and SYSRET do. Clears RF.
        """
        following = self.get("Rip") + SYSCALL_LENGTH
        rflags = self.get("EFlags") & ~RFLAGS_RF
        self.set("EFlags", rflags)
        self.set("Rax", result & _MASK64)
        self.set("Rcx", following)
        self.set("R11", rflags)
        self.set("Rip", following)

    def flush_tlb(self) -> None:
        """Drops cached translations. Needed after a host edit of page tables (docs/format/emulation.md#tlb-flush)."""
        self._uc.ctl(UC_CTL_TLB_FLUSH, 1)

    def flush_code(self) -> None:
        """Drops translated code. Needed after a host write to bytes that may have been executed.

        See docs/format/emulation.md#host-writes-into-code.
        """
        self._uc.ctl_flush_tb()
        if self.shadow_stack is not None:
            self.shadow_stack.forget_code()

    # --- time and identity -----------------------------------------------------------------------------------------

    @property
    def time_stamp(self) -> int:
        """The value that the next RDTSC returns. Every RDTSC and RDTSCP adds TIME_STAMP_STEP.

        It is not the host's clock (docs/format/emulation.md#determinism).
        """
        return self._signals.time_stamp

    @time_stamp.setter
    def time_stamp(self, value: int) -> None:
        self._signals.time_stamp = value

    @staticmethod
    def cpuid(leaf: int, subleaf: int = 0) -> tuple[int, int, int, int]:
        """(EAX, EBX, ECX, EDX) that CPUID returns to guest code."""
        return _cpuid(leaf, subleaf)

    # --- whole states ----------------------------------------------------------------------------------------------

    def save(self) -> CpuState:
        """The whole processor state, about 6 KB. It does not include memory."""
        return CpuState(self._uc.context_save())

    def restore(self, state: CpuState) -> None:
        """Restores a saved state."""
        self._uc.context_restore(state.context)

    def new_thread_state(self, registers: Mapping[str, int]) -> CpuState:
        """The initial state of a thread: user mode, clean x87 and SSE, `registers` set, other registers 0."""
        current = self.save()
        self.restore(self._pristine)
        self.load(registers)
        state = self.save()
        self.restore(current)
        return state

    # --- inside ----------------------------------------------------------------------------------------------------

    def _notice_host_edits(self) -> None:
        if self._tables is None:
            return
        generation, code_generation = self._tables.generation, self._tables.code_generation
        if code_generation != self._seen[1]:
            self.flush_code()
        if generation != self._seen[0]:
            self.flush_tlb()
        self._seen = generation, code_generation

    # --- hooks -----------------------------------------------------------------------------------------------------

    def _install_hooks(self) -> None:
        uc, signals, ram = self._uc, self._signals, self._ram

        def on_interrupt(_uc: Uc, vector: int, _data: object) -> None:
            signals.vector = vector
            signals.stop()

        def on_invalid(_uc: Uc, _data: object) -> bool:
            signals.invalid_opcode = True
            signals.stop()
            return True

        def on_syscall(_uc: Uc, _data: object) -> None:
            signals.syscall = True
            signals.stop()

        def on_bad_memory(uc_: Uc, _access: int, address: int, _size: int, _value: int, _data: object) -> bool:
            window = ram.open_window(address)
            if window is not None:  # Unicorn retries the instruction (measured for reads, writes and fetches)
                uc_.mem_map_ptr(window[0], window[1], UC_PROT_ALL, ram.address + window[0])
                return True
            if ram.is_device(address):  # a read that nobody answers is all ones, as on a PCI bus
                uc_.mmio_map(address & -PAGE_SIZE, PAGE_SIZE, _read_nothing, None, _write_nothing, None)
                return True
            signals.bad_physical_address = address
            return False

        def on_in(uc_: Uc, _port: int, _size: int, _data: object) -> int:
            signals.port_instruction = uc_.reg_read(x86.UC_X86_REG_RIP)
            signals.stop()
            return 0

        def on_out(uc_: Uc, _port: int, _size: int, _value: int, _data: object) -> None:
            on_in(uc_, 0, 0, None)

        uc.hook_add(UC_HOOK_INTR, on_interrupt)
        uc.hook_add(UC_HOOK_INSN_INVALID, on_invalid)
        uc.hook_add(UC_HOOK_MEM_INVALID, on_bad_memory)
        uc.hook_add(UC_HOOK_INSN, on_syscall, aux1=x86.UC_X86_INS_SYSCALL)
        uc.hook_add(UC_HOOK_INSN, on_in, aux1=x86.UC_X86_INS_IN)
        uc.hook_add(UC_HOOK_INSN, on_out, aux1=x86.UC_X86_INS_OUT)
        # The Python binding rejects these two instructions; the library accepts them.
        # See docs/format/emulation.md#determinism.
        for instruction in (x86.UC_X86_INS_RDTSC, x86.UC_X86_INS_RDTSCP):
            reader = _time_stamp_reader(uc._uch, signals, auxiliary=instruction == x86.UC_X86_INS_RDTSCP)
            self._add_raw_hook(UC_HOOK_INSN, _INSTRUCTION_HOOK(reader), instruction)

    def _install_block_hook(self) -> None:
        """Installs the block hook. It is never removed: docs/format/emulation.md#removal-of-code-hooks."""
        signals = self._signals

        def on_block(_handle: int, _address: int, _size: int, _data: object) -> None:
            if signals.blocks_left is None:
                return
            if signals.blocks_left:
                signals.blocks_left -= 1
            else:
                signals.preempted = True
                signals.stop()

        # Called through ctypes: 0.3 us per block instead of 1 us through the binding.
        calls = self.shadow_stack
        hook = on_block if calls is None else _recording_hook(signals, calls)
        self._add_raw_hook(UC_HOOK_BLOCK, _BLOCK_HOOK(hook))
        self._block_hook_installed = True
        # Blocks translated earlier do not call the hook: docs/format/emulation.md#hooks-after-translation.
        self.flush_code()

    def _add_raw_hook(self, kind: int, callback: object, instruction: int | None = None) -> None:
        self._keep_alive.append(callback)
        # uc_hook_add is variadic after `end`. Only UC_HOOK_INSN takes one more argument, an int.
        extra = () if instruction is None else (ctypes.c_int(instruction),)
        hook = ctypes.c_size_t()
        status = uclib.uc_hook_add(
            self._uc._uch, ctypes.byref(hook), kind, callback, None, ctypes.c_uint64(1), ctypes.c_uint64(0), *extra
        )
        if status:
            raise UcError(status)


def _recording_hook(signals: Signals, calls: ShadowStack) -> Callable[[int, int, int, object], None]:
    """A block hook that also tells `calls` how each block ended."""
    plain, end_of, transfer = calls.blocks.plain, calls.blocks.of, calls.transfer

    def on_block(_handle: int, address: int, size: int, _data: object) -> None:
        if signals.block_end is not None:
            transfer(signals.block_end, address)
            signals.block_end = None
        left = signals.blocks_left
        if left is not None:
            if not left:
                signals.preempted = True
                signals.stop()
                return  # the block does not run
            signals.blocks_left = left - 1
        if plain.get(address) != size:
            signals.block, signals.block_end = address, end_of(address, size)

    return on_block


def _read_nothing(_uc: Uc, _offset: int, size: int, _data: object) -> int:
    return (1 << 8 * size) - 1


def _write_nothing(_uc: Uc, _offset: int, _size: int, _value: int, _data: object) -> None:
    pass


def _started(ram: Ram) -> UcIntel:
    """A processor with the windows of ``ram``. Raises MemoryError if the host has too little for it."""
    try:
        uc = UcIntel(UC_ARCH_X86, UC_MODE_64)
        uc.ctl_set_cpu_model(CPU_MODEL)  # before anything else touches the processor
        uc.ctl_set_tlb_mode(UC_TLB_CPU)
        # Exits mode with no exit set. Otherwise address 0 or `until` ends a run silently:
        # docs/format/emulation.md#address-0-ends-a-run, docs/format/emulation.md#until-addresses.
        uc.ctl_exits_enabled(True)
        for pa, size in ram.windows():
            uc.mem_map_ptr(pa, size, UC_PROT_ALL, ram.address + pa)
    except UcError as error:
        raise MemoryError(f"the emulator cannot start ({error})") from error
    return uc


def _reader_of(handle: ctypes.c_void_p, register: int) -> Callable[[], int]:
    """A function that reads one register of 64 bits: it runs at every call and return of the guest."""
    value = ctypes.c_uint64()
    pointer, read = ctypes.byref(value), uclib.uc_reg_read

    def read_register() -> int:
        read(handle, register, pointer)
        return value.value

    return read_register


def _memory_reader(handle: ctypes.c_void_p) -> Callable[[int, int], bytes | None]:
    """A function that reads up to 16 bytes of what the guest has just executed or written.

    A read that fails overwrites CR2 (docs/format/emulation.md#memory-access-by-the-host). Such bytes are there.
    """
    buffer = ctypes.create_string_buffer(16)
    read = uclib.uc_vmem_read
    read.argtypes = [ctypes.c_void_p, ctypes.c_uint64, ctypes.c_uint32, ctypes.c_void_p, ctypes.c_size_t]
    read.restype = ctypes.c_int

    def read_memory(address: int, size: int) -> bytes | None:
        return None if read(handle, address, UC_PROT_READ, buffer, size) else buffer.raw[:size]

    return read_memory


def _time_stamp_reader(handle: ctypes.c_void_p, signals: Signals, *, auxiliary: bool) -> Callable[[int, int], int]:
    """A hook for RDTSC, or with `auxiliary` for RDTSCP, which also returns TSC_AUX (0 here) in ECX."""

    def write(register: int, value: int) -> None:
        uclib.uc_reg_write(handle, register, ctypes.byref(ctypes.c_uint64(value)))

    def on_read(_handle: int, _data: int) -> int:
        write(x86.UC_X86_REG_RAX, signals.time_stamp & 0xFFFF_FFFF)
        write(x86.UC_X86_REG_RDX, signals.time_stamp >> 32 & 0xFFFF_FFFF)
        if auxiliary:
            write(x86.UC_X86_REG_RCX, 0)
        signals.time_stamp = signals.time_stamp + TIME_STAMP_STEP & _MASK64
        return 1  # tells Unicorn to skip its own implementation

    return on_read


def _locate_blob(uc: Uc, context: UcContext) -> ContextBlob:
    """Writes the markers, lets ContextBlob find them, and restores the processor."""
    before = uc.context_save()
    uc.reg_write(x86.UC_X86_REG_RAX, MARK_RAX)
    for number, mark in enumerate(MARK_DR):
        uc.reg_write(x86.UC_X86_REG_DR0 + number, mark)
    uc.reg_write(x86.UC_X86_REG_FP0, MARK_FP0)
    uc.reg_write(x86.UC_X86_REG_FPCW, MARK_FPCW)
    uc.reg_write(x86.UC_X86_REG_FPSW, MARK_FPSW_TOP << 11)
    uc.reg_write(x86.UC_X86_REG_XMM0, MARK_XMM0)
    uc.reg_write(x86.UC_X86_REG_MXCSR, MARK_MXCSR)
    uc.context_update(context)
    blob = ContextBlob(ctypes.cast(context.context, ctypes.c_void_p).value or 0, context.size)
    uc.context_restore(before)
    return blob


@cache
def _cpuid(leaf: int, subleaf: int) -> tuple[int, int, int, int]:
    """Executes CPUID on a second processor of the same model, so the guest's memory is not needed."""
    uc = Uc(UC_ARCH_X86, UC_MODE_64)
    uc.ctl_set_cpu_model(CPU_MODEL)
    uc.reg_write(x86.UC_X86_REG_CR4, _CR4_VALUE)  # CPUID reports OSXSAVE from here
    uc.mem_map(0x1000, 0x1000)
    uc.mem_write(0x1000, b"\x0f\xa2\xf4")  # cpuid; hlt
    uc.reg_write(x86.UC_X86_REG_RAX, leaf)
    uc.reg_write(x86.UC_X86_REG_RCX, subleaf)
    uc.emu_start(0x1000, 0)
    names = (x86.UC_X86_REG_EAX, x86.UC_X86_REG_EBX, x86.UC_X86_REG_ECX, x86.UC_X86_REG_EDX)
    eax, ebx, ecx, edx = (uc.reg_read(name) for name in names)
    return eax, ebx, ecx, edx
