"""Runs the processors of a machine in turns, delivers interrupts and exceptions, and handles hypercalls.

A run is deterministic. Processors take turns in the order of their numbers. A turn ends when the processor yields or
has used up its quantum of basic blocks. The clock ticks when all processors have yielded, or after a fixed number of
rounds.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from ..errors import RunError
from ..limits import DEFAULTS, Limits, Meter
from ..machine.cpu import Cpu, RunawayError
from ..machine.delivery import DeliveryError, deliver_fault, deliver_interrupt, enter_syscall
from ..machine.paging import PageNotPresent, PageTables
from ..machine.run_end import UnsupportedInstructionError
from ..machine.shadow_stack import Call, Span
from ..machine.traps import DOUBLE_FAULT, RFLAGS_IF, BadMemory, Fault, Halted, Preempted, Syscall
from ..process.system import SECOND, TICK
from .boot import Boot
from .boot_block import CLOCK_VECTOR, NMI_VECTOR, Hypercall
from .stacks import stack_finder

QUANTUM = 20_000
"""Number of basic blocks that a processor may run before the next one gets its turn."""
EVENTS_PER_TURN = 1000
"""Number of events (faults, system calls, hypercalls) after which a turn ends too."""
FAULT_LIMIT = 1000
"""Maximum number of faults in a row on one processor. More mean that a handler itself faults."""
ROUNDS_PER_TICK = 8
"""Number of rounds after which the clock ticks although processors are busy."""
TIME_STAMPS_PER_TICK = 45_375_000
"""Increment of the time stamp counter in 15.625 ms at 2904 MHz."""
_TEXT_LIMIT = 0x1000


class MachineError(RunError):
    """The machine cannot continue, for a reason other than a bug check. The message is one line."""


@dataclass(frozen=True, slots=True)
class Stopped:
    """A bug check has stopped the machine, or the kernel requests a live dump (``live``: the machine can continue)."""

    processor: int
    code: int
    live: bool


@dataclass(frozen=True, slots=True)
class Finished:
    """The machine has completed its task without a bug check."""


Outcome = Stopped | Finished


@dataclass(slots=True)
class _Processor:
    number: int
    cpu: Cpu
    started: bool = False
    faults: int = 0
    """Number of faults in a row."""
    pending: list[int] = field(default_factory=list)
    """Vectors of the interrupts that are not delivered yet, each once, as in the request register of an APIC."""

    def doing(self) -> str:
        """What the processor does, for messages."""
        masked = "" if self.interruptible else " with interrupts off"
        return f"processor {self.number} runs at {self.cpu.get('Rip'):#x}{masked}"

    @property
    def interruptible(self) -> bool:
        return bool(self.cpu.get("EFlags") & RFLAGS_IF)


class Machine:
    """The running machine. Processor 0 enters the kernel first. ``guest`` is its name in messages.

    ``stacks``: record the call stacks.
    """

    def __init__(
        self, boot: Boot, limits: Limits = DEFAULTS, guest: str = "the machine", *, stacks: bool = False
    ) -> None:
        self.boot = boot
        self.meter = Meter(guest, limits)
        self.output = bytearray()
        """Output of DbgPrint, at most the limit ``debug``."""
        self.ticks = 0
        self._rounds_since_tick = 0
        root = boot.space.tables.root
        self._processors = [
            _Processor(number, Cpu(boot.memory, root, time_limit=limits.host_seconds))
            for number in range(len(boot.processors))
        ]
        if stacks:
            kept: dict[Span, Call | None] = {}
            for cpu in self.cpus:
                cpu.record_calls(stack_finder(boot, cpu), kept)
        self._start(0)

    @property
    def cpus(self) -> list[Cpu]:
        """The processors by number."""
        return [processor.cpu for processor in self._processors]

    def run(self) -> Outcome:
        """Run until the next bug check, live dump or end. Raises LimitReached, MachineError."""
        self.meter.start()
        last_tick = self.meter.limits.guest_seconds * SECOND // TICK
        while True:
            busy = False
            for processor in self._processors:
                if processor.started:
                    outcome, yielded = self._turn(processor)
                    if outcome is not None:
                        return outcome
                    busy |= not yielded
            self._rounds_since_tick += 1
            pending = any(processor.pending for processor in self._processors)
            if (not busy and not pending) or self._rounds_since_tick >= ROUNDS_PER_TICK:
                self._tick()
                if self.ticks > last_tick:
                    raise self.meter.reached("guest-seconds", "busy" if busy else "every processor waits")

    # --- one processor's turn --------------------------------------------------------------------------------------

    def _turn(self, processor: _Processor) -> tuple[Outcome | None, bool]:
        """Run one turn. Returns (outcome or None, whether the processor yielded)."""
        cpu = processor.cpu
        cpu.flush_tlb()  # another processor may have changed mappings
        cpu.quantum = QUANTUM
        doing = processor.doing
        for _ in range(EVENTS_PER_TURN):
            self._deliver_pending(processor)
            try:
                event = cpu.run()
            except RunawayError as error:
                raise self.meter.reached("host-seconds", str(error)) from error
            except UnsupportedInstructionError as error:
                raise MachineError(f"processor {processor.number}: {error}") from error
            self.meter.use("blocks", cpu.blocks_run, doing)
            processor.faults = processor.faults + 1 if isinstance(event, Fault) else 0
            match event:
                case Preempted():
                    return None, False
                case Halted() if cpu.get("Rax") & 0xFFFFFFFF == Hypercall.YIELD:
                    return None, True
            self.meter.use("services", 1, doing)
            match event:
                case Syscall():
                    enter_syscall(cpu, event)
                case Fault():
                    self._fault(processor, event)
                case Halted():
                    outcome = self._hypercall(processor, event)
                    if outcome is not None:
                        return outcome, False
                case BadMemory():
                    where = f"processor {processor.number} at {event.rip:#x}"
                    raise MachineError(f"{where}: no memory at physical address {event.physical_address:#x}")
                case _:
                    raise MachineError(f"processor {processor.number} at {event.rip:#x}: the host stopped the run")
        return None, False

    def _deliver_pending(self, processor: _Processor) -> None:
        """Deliver the interrupts that the processor accepts: NMIs always, others while RFLAGS.IF is 1."""
        for vector in list(processor.pending):
            if vector == NMI_VECTOR or processor.interruptible:
                processor.pending.remove(vector)
                self._interrupt(processor, vector)

    def _interrupt(self, processor: _Processor, vector: int, error_code: int | None = None) -> None:
        cpu = processor.cpu
        try:
            deliver_interrupt(cpu, self._tables(cpu), vector, error_code, return_rip=cpu.get("Rip"))
        except DeliveryError as error:
            raise MachineError(f"processor {processor.number} at {cpu.get('Rip'):#x}: {error}") from error

    def _fault(self, processor: _Processor, fault: Fault) -> None:
        """Enter the guest's handler. A fault that cannot be delivered becomes a double fault."""
        cpu = processor.cpu
        if processor.faults > FAULT_LIMIT:
            where = f"processor {processor.number} at {fault.rip:#x}"
            raise MachineError(f"{where}: more than {FAULT_LIMIT} faults in a row, the last is {fault}")
        try:
            deliver_fault(cpu, self._tables(cpu), fault)
        except DeliveryError:
            self._interrupt(processor, DOUBLE_FAULT, 0)

    def _tables(self, cpu: Cpu) -> PageTables:
        """The page tables of the processor's current CR3."""
        return PageTables(self.boot.memory, cpu.get("Cr3"))

    # --- hypercalls ------------------------------------------------------------------------------------------------

    def _hypercall(self, processor: _Processor, event: Halted) -> Outcome | None:
        cpu = processor.cpu
        code, first, second = cpu.get("Rax") & 0xFFFFFFFF, cpu.get("Rcx"), cpu.get("Rdx")
        where = f"processor {processor.number} at {event.rip:#x}"
        match code:
            case Hypercall.STOPPED | Hypercall.LIVE_DUMP:
                return Stopped(processor.number, first & 0xFFFFFFFF, code == Hypercall.LIVE_DUMP)
            case Hypercall.FINISHED:
                return Finished()
            case Hypercall.FATAL:
                raise MachineError(f"{where}: fatal error of the kernel: {self._text(cpu, first, None)}")
            case Hypercall.PRINT:
                text = self._text(cpu, first, second).encode("latin-1")
                self.output += text[: self.meter.keep("debug", self.output, len(text))]
            case Hypercall.INTERRUPT if second in (NMI_VECTOR, CLOCK_VECTOR):
                for target in self._processors:
                    if first >> target.number & 1 and target.started and second not in target.pending:
                        target.pending.append(second)
            case Hypercall.START_PROCESSOR if first & 0xFFFFFFFF < len(self._processors):
                self._start(first & 0xFFFFFFFF)
            case _:
                raise MachineError(f"{where}: invalid hypercall {code:#x} ({first:#x}, {second:#x})")
        return None

    def _text(self, cpu: Cpu, address: int, length: int | None) -> str:
        """ANSI text of the guest, at most a page. Without a ``length`` it ends at the first NUL."""
        try:
            data = self._tables(cpu).read(address, min(_TEXT_LIMIT, length if length is not None else 256))
        except PageNotPresent as missing:
            return f"(no text: {missing})"
        return (data if length is not None else data.partition(b"\0")[0]).decode("latin-1")

    def _start(self, number: int) -> None:
        """Let a processor enter the kernel (ntos_boot.h)."""
        processor, area = self._processors[number], self.boot.processors[number]
        if processor.started:
            raise MachineError(f"processor {number}: started twice")
        processor.started = True
        processor.cpu.set_privilege(0)
        processor.cpu.load(
            {
                "Rip": self.boot.kernel.entry_point,
                "Rsp": area.idle_stack - 0x28,
                "Rcx": self.boot.parameters_address,
                "Rdx": number,
                "EFlags": 2,
            }
        )

    def _tick(self) -> None:
        """Advance the clock and send an interrupt to every processor that accepts it."""
        self.ticks += 1
        self._rounds_since_tick = 0
        for processor in self._processors:
            if processor.started:
                processor.cpu.time_stamp += TIME_STAMPS_PER_TICK
                if processor.interruptible and CLOCK_VECTOR not in processor.pending:
                    processor.pending.append(CLOCK_VECTOR)
