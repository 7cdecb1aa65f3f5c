"""Creates the target process and runs it to its end.

Guest code runs until it faults, calls a service, or uses up its quantum. The memory manager handles copy on write and
stack growth. Every other fault is an exception. An ntdll that exports KiUserExceptionDispatcher gets it, and the run
ends at its second chance. Without that export the first exception ends the run.
"""

from __future__ import annotations

from itertools import islice
from pathlib import Path
from typing import Protocol

from ..constants import MEM_COMMIT, MEM_RESERVE, PAGE_READWRITE
from ..image import read_image
from ..images.services import number_of, services
from ..limits import DEFAULTS, Limits
from ..machine.cpu import Cpu, RunawayError
from ..machine.paging import PageNotPresent, PageTables
from ..machine.ram import Ram
from ..machine.run_end import UnsupportedInstructionError
from ..machine.shadow_stack import Span
from ..machine.traps import DEBUG, PAGE_FAULT, RFLAGS_TF, SYSCALL_LENGTH, Access, Event, Fault, Preempted, Syscall
from ..snapshot.process import SystemInformation, XstateConfiguration
from .ceilings import Ceilings
from .context import context_of
from .exception_frame import NoRoom, push_exception_frame
from .exceptions import ExceptionRecord, exception_from_fault
from .files import File, FileSystem
from .function_lookup import FunctionLookup
from .handle_trace import MAXIMUM_STACKS, HandleTrace, OperationType
from .handles import HandleTable, Namespace
from .layouts import TEB_SIZE
from .ldr_list import LoaderLists
from .library import SYSTEM_IMAGES, ImageLibrary, load_program
from .loader import Loader
from .memory import GuestMemory
from .objects import Directory, FileObject, Key, ProcessObject, Section, Thread, Timer
from .objects import Event as EventObject
from .outcome import CHANCES, Chance, Control, Crashed, Deadlock, Exited, Outcome, RunError
from .page_faults import MINIMUM_GUARANTEE, guard_page, page_fault
from .peb import SharedUserData, StandardHandles, write_parameters, write_peb
from .scheduler import SERVICES_PER_TURN, Scheduler
from .stack_trace import NONVOLATILE, return_addresses
from .system import CREATE_TIME, DIRECTORIES, PROCESS_CREATE_TIME, PROGRAM_DIRECTORY, SECOND, system_information
from .threads import create_stack, free_stack, free_teb, write_teb
from .tokens import TokenObject
from .winnt import PAGE_SIZE, Status, StatusError

QUANTUM = 1000
"""Number of basic blocks that a thread may run before the next thread gets the processor."""

# Addresses that Windows chooses, but fixed: PEB and TEBs, stacks, private memory.
PEB_AREA = 0x6B_5F20_0000
PEB_AREA_SIZE = 0x20_0000
STACK_AREA = 0x6B_5F40_0000
BOTTOM_UP = 0x1C8_3D5A_0000

PROCESS_ID = 0x1F58
PARENT_PROCESS_ID = 0x0DA4
FIRST_THREAD_ID = 0x1F5C
CONSOLE_NAME = r"\Device\ConDrv"
"""Object name of console handles in HandleData."""


class SystemServices(Protocol):
    """Handles the system calls of a process."""

    def serve(self, process: Process, thread: Thread, number: int) -> int | Control | None:
        """An NTSTATUS or a Control; None if no service has the number."""


class Process:
    """One user-mode process, ready to run its first instruction.

    ``program`` is a PE file on the host; DLLs are searched in its folder and in ``dll_directories``.
    ``system_directory`` holds the images of System32. ``command_line`` is the whole text, with the program's name.
    ``services`` handles the system calls. ``chance`` is where an exception ends the run. ``limits`` are its limits.
    ``xstate`` is the extended state of the simulated processors. ``stacks``: record the call stacks. Raises ImageError,
    OSError for an image that cannot be loaded.
    """

    process_id = PROCESS_ID
    parent_process_id = PARENT_PROCESS_ID
    create_time = PROCESS_CREATE_TIME
    console_name = CONSOLE_NAME

    def __init__(
        self,
        program: Path,
        command_line: str | None = None,
        *,
        services: SystemServices,
        dll_directories: tuple[Path, ...] = (),
        system_directory: Path = SYSTEM_IMAGES,
        chance: Chance = "second",
        limits: Limits = DEFAULTS,
        xstate: XstateConfiguration | None = None,
        stacks: bool = False,
    ) -> None:
        if chance not in CHANCES:
            raise ValueError(f"chance {chance!r}: expected {' or '.join(CHANCES)}")
        found = load_program(program)
        self.system: SystemInformation = system_information(xstate)
        self.command_line = found.image.name if command_line is None else command_line
        self.console = bytearray()
        self.debug_output = bytearray()
        self.meter = meter = Ceilings(found.image.name, limits)
        self._last_service = 0
        self._outcome: Outcome | None = None
        self._current: Thread | None = None
        self._give_way = False
        self._next_thread_id = FIRST_THREAD_ID

        ram = Ram(limits.memory // PAGE_SIZE * PAGE_SIZE)
        tables = PageTables(ram)
        self.cpu = Cpu(ram, tables.root, tables=tables, time_limit=limits.host_seconds)
        self.cpu.quantum = QUANTUM
        if stacks:
            self.cpu.record_calls(self._stack_at)
        self.memory = GuestMemory(ram, tables, bottom_up=BOTTOM_UP, meter=meter)
        self.memory.on_guard = self._service_touched_guard_page
        self.scheduler = Scheduler(CREATE_TIME)
        self.handles = HandleTable(meter)
        self.names = Namespace(meter)
        self.views: dict[int, Section] = {}
        self.object = ProcessObject()
        self.token = TokenObject()
        self.handle_trace: HandleTrace | None = None
        self.files = FileSystem(DIRECTORIES, meter, lambda: self.scheduler.now)
        self.files.add(File(found.path, read_only=True, data=bytearray(read_image(program))))
        self._services = services

        self._shared_data = SharedUserData(self.memory, self.system)
        space = self.memory.space
        self._teb_areas: list[int] = []
        self._reserve_tebs(PEB_AREA)
        space.allocate(PEB_AREA, PAGE_SIZE, MEM_COMMIT, PAGE_READWRITE)
        lists = LoaderLists(self.memory)
        library = ImageLibrary((program.parent, *dll_directories), system_directory)
        self.image_folders = (program.parent, *dll_directories, system_directory)
        self.loader = Loader(self.memory, library, lists, number_of("NtxMissingImport"))
        self.functions = FunctionLookup(self.memory, self.loader)
        image = found.image
        self.main_module = self.loader.load_process(found, CREATE_TIME)
        dispatcher = self._export("KiUserExceptionDispatcher")
        self.dispatches = dispatcher is not None
        self._dispatcher = None if chance == "first" else dispatcher
        # A debugger that sees every exception first is attached from the start; else one comes at the second chance.
        debugged = self._dispatcher is None
        self.peb = write_peb(self.memory, PEB_AREA, image, self.main_module.base, self.system, debugged=debugged)
        self.peb["Ldr"] = lists.address
        handles = self._first_handles()
        self.peb["ProcessParameters"] = write_parameters(self.memory, found.path, self.command_line, handles)
        self._ended_state = self.cpu.save()
        self._start_thread = self._ntdll("RtlUserThreadStart")
        entry = self.main_module.entry_point
        self.create_thread(entry, self.peb.address, first_instruction=self._ntdll("LdrInitializeThunk"))

    def _ntdll(self, name: str) -> int:
        ntdll = self.loader.find("ntdll.dll")
        if ntdll is None:
            raise RunError("ntdll.dll: not found in the system directory")
        return ntdll.base + ntdll.image.export_rva(name)

    def _export(self, name: str) -> int | None:
        """The address of an export of ntdll, None if there is none."""
        ntdll = self.loader.find("ntdll.dll")
        export = None if ntdll is None else ntdll.image.export(name)
        return None if ntdll is None or export is None else ntdll.base + export.rva

    def _first_handles(self) -> StandardHandles:
        """Open the handles that a console program of Windows 10 starts with, as HandleData of a new process shows."""
        insert = self.handles.insert
        options = r"\REGISTRY\MACHINE\SOFTWARE\Microsoft\Windows NT\CurrentVersion\Image File Execution Options"
        insert(EventObject(), 0x1F0003)
        insert(Key(options), 0x9)
        known_dlls, named_objects = Directory(r"\KnownDlls"), Directory(r"\Sessions\1\BaseNamedObjects")
        insert(known_dlls, 0x3)
        folder = self.files.find(PROGRAM_DIRECTORY)
        assert folder is not None
        folder.opened += 1
        directory = insert(FileObject(folder.object_name, node=folder), 0x100020)
        console = [insert(FileObject(CONSOLE_NAME, device="console"), 0x12019F) for _ in range(4)]
        insert(named_objects, 0xF)
        for shared in (known_dlls, named_objects):
            assert shared.name is not None
            self.names.add(shared.name, shared)
        insert(Key(r"\REGISTRY\MACHINE\SYSTEM\ControlSet001\Control\Session Manager"), 0x1)
        return StandardHandles(console[0], console[1], console[2], console[3], directory)

    # --- used by services

    @property
    def affinity(self) -> int:
        """The affinity mask of all processors."""
        return (1 << self.system.number_of_processors) - 1

    def times(self) -> tuple[int, int]:
        """(kernel time, user time) of all threads in units of 100 ns, with the threads that ended."""
        kernel = self._ended_kernel_time + sum(thread.kernel_time for thread in self.scheduler.threads)
        user = self._ended_user_time + sum(thread.user_time for thread in self.scheduler.threads)
        return kernel, user

    _ended_kernel_time = 0
    _ended_user_time = 0

    def create_thread(
        self,
        start: int,
        parameter: int,
        *,
        commit: int = 0,
        reserve: int = 0,
        suspended: bool = False,
        first_instruction: int | None = None,
    ) -> Thread:
        """Create a thread with stack and TEB, ready to run unless ``suspended``.

        ``commit`` and ``reserve`` are sizes of the stack in bytes; 0 takes those of the program. The thread starts at
        ``first_instruction``, by default ntdll!RtlUserThreadStart, with ``start`` in RCX and ``parameter`` in RDX.
        Raises StatusError if there is no memory.
        """
        self.meter.admit("threads", len(self.scheduler.threads))
        image = self.main_module.image
        stack, limit = create_stack(
            *(self.memory, STACK_AREA, reserve or image.stack_reserve, commit or image.stack_commit),
            guarantee=MINIMUM_GUARANTEE if self.dispatches else 0,
        )
        try:
            teb = self._new_teb()
        except StatusError:
            free_stack(self.memory, stack)
            raise
        thread_id, self._next_thread_id = self._next_thread_id, self._next_thread_id + 4
        client = self.process_id, thread_id
        write_teb(self.memory, teb, stack, limit=limit, peb=PEB_AREA, client=client)
        registers = {
            "Rip": self._start_thread if first_instruction is None else first_instruction,
            "Rcx": start,
            "Rdx": parameter,
            # As after a call: a return address of zero, then 0x20 bytes of home space.
            "Rsp": stack.base - 0x28,
            "GsBase": teb,
        }
        state = self.cpu.new_thread_state(registers)
        thread = Thread(thread_id, teb, stack, start, limit, state, self.scheduler.now, self.affinity)
        thread.suspend_count = int(suspended)
        self.scheduler.add(thread)
        return thread

    def _new_teb(self) -> int:
        """Commit the lowest free pair of pages in the area that begins with the PEB, or in a further area."""
        space = self.memory.space
        for area in self._teb_areas:
            for address in range(area + PAGE_SIZE, area + PEB_AREA_SIZE - TEB_SIZE + 1, TEB_SIZE):
                if not space.protection(address):
                    space.allocate(address, TEB_SIZE, MEM_COMMIT, PAGE_READWRITE)
                    return address
        self._reserve_tebs(space.find_free(PEB_AREA_SIZE, PEB_AREA))
        return self._new_teb()

    def _reserve_tebs(self, area: int) -> None:
        self.memory.space.allocate(area, PEB_AREA_SIZE, MEM_RESERVE, PAGE_READWRITE)
        self.memory.space.secure(area)
        self._teb_areas.append(area)

    def terminate_thread(self, thread: Thread, status: int) -> None:
        """End a thread. The process ends with its last thread."""
        self.scheduler.terminate(thread, status)
        self._ended_kernel_time += thread.kernel_time
        self._ended_user_time += thread.user_time
        free_stack(self.memory, thread.stack)
        free_teb(self.memory, thread.teb)
        thread.state = self._ended_state  # a handle may keep the thread
        if not self.scheduler.threads:
            self.end(Exited(status))

    def close_handle(self, handle: int) -> None:
        """Close a handle. Free its object if this was the last handle to it. Raises StatusError (INVALID_HANDLE)."""
        target = self.handles.close(handle)
        self.names.dropped(target)
        if isinstance(target, Section):
            self.drop_section(target)
        if isinstance(target, Timer) and not target.handle_count:
            self.scheduler.stop_timer(target)
        if isinstance(target, FileObject) and target.node and not target.handle_count:
            if target.delete_on_close:
                self.files.delete(target.node)
            self.files.close(target.node)

    def trace_handles(self, trace: HandleTrace | None) -> None:
        """Record handle operations in ``trace`` from now on. None deletes the trace and stops recording."""
        self.handle_trace = trace
        self.handles.on_operation = None if trace is None else self._handle_operation

    def _handle_operation(self, kind: OperationType, handle: int) -> None:
        if self.handle_trace is None or self._current is None:
            return
        registers = {name: self.cpu.get(name) for name in ("Rip", "Rsp", *NONVOLATILE)}
        registers["Rip"] += SYSCALL_LENGTH  # the service's return address
        functions = self.functions
        addresses = return_addresses(self.memory.readable_bytes, functions.covers, functions.function_at, registers)
        self.handle_trace.record(kind, handle, self._current.thread_id, tuple(islice(addresses, MAXIMUM_STACKS)))

    def drop_section(self, section: Section) -> None:
        """Free the section's pages if it has no handle and no view left."""
        if not section.handle_count and not section.views:
            self.memory.unshare(section.physical, section.pages)

    def give_way(self) -> None:
        """Move the running thread to the end of the queue when its service returns."""
        self._give_way = True

    def end(self, outcome: Outcome) -> None:
        """End the run with ``outcome``."""
        self._outcome = outcome

    def _stack_at(self, sp: int) -> Span | None:
        """The memory that serves as a stack at ``sp``: a whole allocation."""
        found = self.memory.space.allocation_at(sp - 1)
        return None if found is None else (*self.memory.space.extent(found), 0)

    # --- running

    def run(self) -> Outcome:
        """Run until the first exception, the exit, or a deadlock.

        Raises LimitReached, and RunError for a missing import or a machine state that is not a user-mode exception.
        """
        self.meter.start()
        end = CREATE_TIME + self.meter.limits.guest_seconds * SECOND
        while self._outcome is None:
            thread = self.scheduler.pick()
            if thread is None:
                self._outcome = Deadlock()
                break
            if self.scheduler.now > end:
                raise self.meter.reached("guest-seconds", self._calling())
            self._turn(thread)
        self._shared_data.keep_time(self.scheduler.now)
        return self._outcome

    def _running(self) -> str:
        """Where the program runs, for messages."""
        rip = self.cpu.get("Rip")
        module = self.loader.covering(rip)
        return f"it runs at {rip:#x}" if module is None else f"it runs at {module.name}+{rip - module.base:#x}"

    def _calling(self) -> str:
        """What the program asks for, for messages."""
        names = {service.number: service.name for service in services()}
        return f"the last system call is {names.get(self._last_service, hex(self._last_service))}"

    def _turn(self, thread: Thread) -> None:
        """Run one thread until it waits, yields, ends or uses up its quantum."""
        self._current = thread
        self._give_way = False
        self._shared_data.keep_time(self.scheduler.now)
        self.cpu.restore(thread.state)
        if self.cpu.shadow_stack is not None:
            self.cpu.shadow_stack.switch_to(thread.thread_id)
        if thread.wake_status is not None:
            self.cpu.set("Rax", thread.wake_status)
            thread.wake_status = None
        for _ in range(SERVICES_PER_TURN):
            try:
                event = self.cpu.run()
            except RunawayError as error:
                raise self.meter.reached("host-seconds", str(error)) from error
            except UnsupportedInstructionError as error:
                raise RunError(f"{self.main_module.name}: {error}") from error
            self.meter.use("blocks", self.cpu.blocks_run, self._running)
            if isinstance(event, Preempted):
                self.scheduler.charge_quantum(thread)
                break
            self.meter.use("services", 1, self._calling)
            if not self._handle(thread, event):
                break
        if not thread.exited:
            thread.state = self.cpu.save()
            if thread.wait is None and self._outcome is None:
                self.scheduler.make_ready(thread)
        self._current = None

    def _handle(self, thread: Thread, event: Event) -> bool:
        """Handle an event. Returns whether the thread continues at once."""
        match event:
            case Syscall():
                return self._serve(thread)
            case Fault():
                return self._fault(thread, event)
            case _:
                raise RunError(f"{self.main_module.name}: the machine stopped with {event}")

    def _serve(self, thread: Thread) -> bool:
        cpu = self.cpu
        number = self._last_service = cpu.get("Rax") & 0xFFFFFFFF
        self.scheduler.charge_service(thread)
        try:
            result = self._services.serve(self, thread, number)
        except StatusError as error:
            result = int(error.status)
        except PageNotPresent:
            # The program freed memory that holds a structure of the system.
            result = int(Status.ACCESS_VIOLATION)
        if result is None:
            cpu.complete_syscall(Status.INVALID_SYSTEM_SERVICE)
            return True
        if isinstance(result, Control):
            if result is Control.BLOCKED:
                # RAX holds the service number while the thread waits, as in dumps of Windows.
                cpu.complete_syscall(number)
            if result is not Control.CONTINUES:
                return False
        else:
            cpu.complete_syscall(result)
        return not (self._give_way or thread.suspend_count or self._outcome is not None)

    # --- faults

    def _fault(self, thread: Thread, fault: Fault) -> bool:
        status = Status.ACCESS_VIOLATION
        if fault.vector == PAGE_FAULT and fault.address is not None:
            answer = page_fault(self.memory, thread, fault.address, write=fault.access is Access.WRITE)
            if answer is None:
                return True
            status = answer
        if fault.vector == DEBUG:  # the trap clears it: WRK KiDebugTrapOrFault
            self.cpu.set("EFlags", self.cpu.get("EFlags") & ~RFLAGS_TF)
        context = context_of(self.cpu)
        fxsave = context.fxsave
        record = exception_from_fault(
            fault,
            context.as_mapping(),
            self.memory.readable_bytes,
            page_fault=status,
            floating_control=int.from_bytes(fxsave[0:2], "little"),
            floating_status=int.from_bytes(fxsave[2:4], "little"),
            segment_bases={0x65: self.cpu.get("GsBase"), 0x64: self.cpu.get("FsBase")},
        )
        # Fail-fast exceptions have no first chance (__fastfail reference page).
        return self.raise_exception(thread, record, record.code != Status.STACK_BUFFER_OVERRUN or not self.dispatches)

    def raise_exception(self, thread: Thread, record: ExceptionRecord, first_chance: bool = True) -> bool:
        """Raise an exception of the running thread, in the context of the processor.

        Returns whether the thread goes on, in the dispatcher of its ntdll. Else the run has ended. Source: WRK,
        KiDispatchException. An exception that finds no room on the stack is at its second chance at once.
        """
        context = context_of(self.cpu)
        if first_chance and self._dispatcher is not None:
            for _ in range(2):
                try:
                    frame = push_exception_frame(self.memory, thread, record, context)
                except NoRoom as refused:
                    if refused.overflow is None:
                        break
                    record = refused.overflow
                else:
                    eflags = context.as_mapping()["EFlags"] & ~RFLAGS_TF
                    self.cpu.load({"Rip": self._dispatcher, "Rsp": frame, "EFlags": eflags})
                    return True
            first_chance = False
        self.end(Crashed(thread, record, context, first_chance=first_chance))
        return False

    def _service_touched_guard_page(self, address: int) -> bool:
        """Handle a service's access to a guard page. Returns whether the stack grew, so that the access can go on."""
        return self._current is not None and guard_page(self.memory, self._current, address) is None
