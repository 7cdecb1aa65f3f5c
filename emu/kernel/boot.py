"""Builds the memory of a machine and the boot block, as firmware and boot loader do, up to the kernel's entry."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from ..image import Image, ImageError
from ..machine.paging import LARGE_PAGE_SIZE
from ..machine.ram import PAGE_SIZE, RamExhausted
from ..process.library import load_file
from . import boot_block as block
from .configuration import BUILDS, PRODUCT_TYPE, SUITE_MASK, Configuration, ConfigurationError, KernelSet
from .frame_database import FrameDatabase
from .images import LoadedImage, bind_image, map_image
from .page_states import Frames, database_pages, frames_in_use
from .physical_memory import PhysicalMemory, memory_map
from .process_plans import process_plans
from .system_space import (
    BOOT_BLOCK,
    KERNEL_IMAGES,
    KERNEL_STACKS,
    NON_PAGED_POOL_SEAM,
    PAGED_POOL,
    PFN_DATABASE,
    PROCESSOR_AREAS,
    ROOT_AREA,
    ProcessorArea,
    SystemSpace,
    pages_of,
)
from .user_space import PEB_ADDRESS, ProgramImage, UserProcess, create_process

_MIB = 1 << 20
_SECOND = 10_000_000
_VOLUME = r"\Device\HarddiskVolume3"
_SPARE_STACKS, _DRIVER_STACKS = 6, 24
"""Number of kernel stacks for threads that the system and drivers start, and of more if there is RAM for them."""
_STACK_PIECE = PAGE_SIZE + block.KERNEL_STACK_SIZE
_IMAGE_ALIGNMENT = 0x10000
_FREE_PAGES = 4
"""Number of pages on the free list: freed, but not zeroed yet."""


@dataclass
class Boot:
    """A machine that is ready to enter its kernel.

    Raises ConfigurationError if RAM is too small, ImageError and OSError for a driver that cannot be loaded.
    """

    configuration: Configuration
    images: list[LoadedImage] = field(default_factory=list)
    """Kernel, HAL, drivers in load order."""
    unloaded: list[LoadedImage] = field(default_factory=list)
    processors: list[ProcessorArea] = field(default_factory=list)
    processes: list[UserProcess] = field(default_factory=list)
    frames: list[Frames] = field(default_factory=list)
    """The BOOT_PAGES descriptors. They cover every frame with an entry in the PFN database."""
    stack_count: int = 0

    def __post_init__(self) -> None:
        runs = memory_map(self.configuration.ram)
        # Pages below 1 MiB and those reserved for root page tables are used last.
        self.memory = PhysicalMemory(
            runs,
            first=ROOT_AREA[1] if self.configuration.ram >= 4 * _MIB else 0x100,
            devices=self.configuration.kernel is KernelSet.RUNTIME,
        )
        try:
            self._build()
        except RamExhausted as error:
            raise ConfigurationError(
                f"{self.configuration.ram // 1024} KiB of RAM are too small for this machine: {error}"
            ) from error

    @property
    def kernel(self) -> LoadedImage:
        """ntoskrnl.exe."""
        return self.images[0]

    @property
    def program(self) -> LoadedImage:
        """app.exe, the program of the user processes."""
        return self._program

    @cached_property
    def stacks(self) -> tuple[tuple[int, int], ...]:
        """(limit, base) of every kernel stack, used or not."""
        ends = (KERNEL_STACKS + (number + 1) * _STACK_PIECE for number in range(self.stack_count))
        threads = tuple((end - block.KERNEL_STACK_SIZE, end) for end in ends)
        return tuple(stack for area in self.processors for stack in area.stacks()) + threads

    # --- building --------------------------------------------------------------------------------------------------

    def _build(self) -> None:
        configuration = self.configuration
        self.space = SystemSpace(self.memory)
        self._load_images()
        for number in range(configuration.processors):
            self.processors.append(ProcessorArea(self.space, number))
        self._map_pools()
        self._create_processes()
        self.stack_count = sum(len(process.threads) for process in self.processes) + _SPARE_STACKS
        if configuration.kernel is KernelSet.RUNTIME:
            self.stack_count += _DRIVER_STACKS if configuration.ram >= 16 * _MIB else 4
        for number in range(self.stack_count):
            self.space.map_stack(KERNEL_STACKS + number * _STACK_PIECE, block.KERNEL_STACK_SIZE)
        free = [self._leave_free_pages()]
        self._write_boot_block(free)
        self.space.close()
        for process in self.processes:
            self.space.share_with(process.root)

    def _load_images(self) -> None:
        kernel = self.configuration.kernel
        for name in ("ntoskrnl.exe", "hal.dll"):
            self._place(load_file(kernel.file(name)), rf"\SystemRoot\system32\{name}")
        for path in (*self.configuration.drivers, kernel.file("gone.sys")):
            self._place(_driver(path), rf"\SystemRoot\System32\drivers\{path.name}")
        for loaded in self.images:
            map_image(self.memory, self.space.tables, loaded)
        for loaded in self.images:
            bind_image(self.space.tables, loaded, self.images)
        self.unloaded = self.images[-1:]

    def _place(self, image: Image, full_name: str) -> None:
        """Place an image at its preferred base, or after all others if that range is not free or outside the area."""
        base, end = image.image_base, image.image_base + image.size_of_image
        taken = any(base < other.end and other.base < end for other in self.images)
        if taken or not KERNEL_IMAGES <= base < end <= PROCESSOR_AREAS:
            last = max((other.end for other in self.images), default=KERNEL_IMAGES)
            base = -(-last // _IMAGE_ALIGNMENT) * _IMAGE_ALIGNMENT
        if base + image.size_of_image > PROCESSOR_AREAS:
            raise ImageError(f"{image.name}: no space for {image.size_of_image:#x} bytes below {PROCESSOR_AREAS:#x}")
        self.images.append(LoadedImage(image, base, full_name))

    def _map_pools(self) -> None:
        """Map nonpaged pool and paged pool. If RAM is large enough, nonpaged pool ends with a 2 MiB page."""
        ram = self.configuration.ram
        small, paged, large = (64, 32, 1) if ram >= 16 * _MIB else (48, 16, 0) if ram >= 4 * _MIB else (32, 4, 0)
        if self.configuration.kernel is KernelSet.RUNTIME and ram >= 4 * _MIB:
            small, paged = (64, 256) if ram >= 16 * _MIB else (128, 32)
        self.non_paged_pool = NON_PAGED_POOL_SEAM - small * PAGE_SIZE, small * PAGE_SIZE + large * LARGE_PAGE_SIZE
        self.space.map_new(self.non_paged_pool[0], small)
        self.space.map_new_large(NON_PAGED_POOL_SEAM, large)
        self.space.map_new(PAGED_POOL, paged)
        self.paged_pool = PAGED_POOL, paged * PAGE_SIZE

    def _create_processes(self) -> None:
        image = load_file(self.configuration.kernel.file("app.exe"))
        self._program = LoadedImage(image, image.image_base, rf"{_VOLUME}\dumptruth\app.exe")
        program = ProgramImage(self.space, self._program)
        plans = process_plans(self.configuration)
        start, now = self.configuration.boot_time, self.configuration.boot_time + self.configuration.interrupt_time
        self.processes = [
            create_process(self.space, plan, program, min(start + plan.age * _SECOND, now)) for plan in plans
        ]

    def _leave_free_pages(self) -> Frames:
        pa = self.memory.allocate_pages(_FREE_PAGES)
        text = b"left over in a free page. "
        for page in range(_FREE_PAGES):
            self.memory.write(pa + page * PAGE_SIZE, (text * PAGE_SIZE)[:PAGE_SIZE])
        return Frames(pa // PAGE_SIZE, _FREE_PAGES, 0, block.PageState.FREE)

    # --- the boot block --------------------------------------------------------------------------------------------

    def _write_boot_block(self, free: list[Frames]) -> None:
        """Map the PFN database and the boot block, and fill the block.

        The pages of both need descriptors too, so their sizes are computed in a loop.
        """
        extra = [*free, *(frames for process in self.processes for frames in process.transition)]
        database = FrameDatabase(self.space, self.memory.runs)
        room = 0
        while True:
            frames = self._frames(extra)
            grown = database.own(database_pages(frames))
            needed = pages_of(self._block_size(len(frames)))
            if not grown and needed <= room:
                break
            if needed > room:
                self.space.map_new(BOOT_BLOCK + room * PAGE_SIZE, needed - room)
                room = needed
        self.frames = frames
        self._fill(_Arena(self.space, BOOT_BLOCK, room * PAGE_SIZE))

    def _frames(self, extra: list[Frames]) -> list[Frames]:
        roots = [self.space.tables.root, *(process.root for process in self.processes)]
        return frames_in_use(self.memory, roots) + extra

    def _block_size(self, descriptors: int) -> int:
        threads = sum(len(process.threads) for process in self.processes)
        parts = (
            (block.BOOT_PARAMETERS, 1),
            (block.BOOT_MEMORY_RUN, len(self.memory.runs)),
            (block.BOOT_PAGES, descriptors),
            (block.BOOT_IMAGE, len(self.images)),
            (block.BOOT_PROCESSOR, len(self.processors)),
            (block.BOOT_PROCESS, len(self.processes)),
            (block.BOOT_THREAD, threads),
            (block.BOOT_REGION, sum(len(process.regions) for process in self.processes)),
        )
        return sum(ctypes.sizeof(kind) * count + 16 for kind, count in parts) + 32 * len(self.processes)

    def _fill(self, arena: _Arena) -> None:
        configuration, task = self.configuration, self.configuration.task
        build = BUILDS[configuration.build]
        parameters = block.BOOT_PARAMETERS()
        self.parameters_address = arena.reserve(parameters)
        parameters.Version, parameters.Size = block.BOOT_VERSION, ctypes.sizeof(parameters)
        parameters.SystemDirectoryTableBase = self.space.tables.root
        runs = [block.BOOT_MEMORY_RUN(base, count) for base, count in self.memory.runs]
        pages = [block.BOOT_PAGES(part.base, part.count, part.pte, part.state) for part in self.frames]
        parameters.MemoryRuns, parameters.MemoryRunCount = arena.place(runs), len(runs)
        parameters.Pages, parameters.PagesCount = arena.place(pages), len(pages)
        parameters.PfnDatabase = PFN_DATABASE
        parameters.NonPagedPool, parameters.NonPagedPoolSize = self.non_paged_pool
        parameters.PagedPool, parameters.PagedPoolSize = self.paged_pool
        parameters.KernelStacks, parameters.KernelStackCount = KERNEL_STACKS, self.stack_count
        images = [self._image(loaded) for loaded in self.images]
        parameters.Images, parameters.ImageCount = arena.place(images), len(images)
        processors = [
            block.BOOT_PROCESSOR(area.area, area.idle_stack, area.dpc_stack, area.double_fault_stack, area.nmi_stack)
            for area in self.processors
        ]
        parameters.Processors, parameters.ProcessorCount = arena.place(processors), len(processors)
        processes = [self._process(process, arena) for process in self.processes]
        parameters.Processes, parameters.ProcessCount = arena.place(processes), len(processes)
        parameters.BuildNumber, parameters.NtBuildLab = build.number, build.lab.encode("ascii")
        parameters.NtMajorVersion, parameters.NtMinorVersion = build.major, build.minor
        parameters.ProductType, parameters.SuiteMask, parameters.PagingLevels = PRODUCT_TYPE, SUITE_MASK, 4
        parameters.BootTime, parameters.InterruptTime = configuration.boot_time, configuration.interrupt_time
        parameters.Scenario, parameters.Callbacks = task.scenario, task.callbacks
        parameters.ScenarioCode, parameters.ScenarioTicks = task.code, task.ticks
        parameters.ScenarioArguments[:] = task.arguments
        arena.write(self.parameters_address, parameters)

    def _image(self, loaded: LoadedImage) -> block.BOOT_IMAGE:
        image = block.BOOT_IMAGE(loaded.base, loaded.entry_point, loaded.image.size_of_image)
        image.CheckSum, image.TimeDateStamp = loaded.image.checksum, loaded.image.time_date_stamp
        if loaded in self.images[2:]:
            image.Flags = block.BOOT_IMAGE_START | (loaded in self.unloaded) * block.BOOT_IMAGE_UNLOAD
        _set_text(image.FullName, loaded.full_name)
        _set_text(image.BaseName, loaded.name)
        return image

    def _process(self, process: UserProcess, arena: _Arena) -> block.BOOT_PROCESS:
        entry = self._program.entry_point
        threads = [block.BOOT_THREAD(t.teb, entry, t.rsp, t.program) for t in process.threads]
        regions = [block.BOOT_REGION(r.start, r.end, r.kind, r.protection) for r in process.regions]
        plan = process.plan
        made = block.BOOT_PROCESS(plan.process_id, plan.parent_id, process.root, PEB_ADDRESS, self._program.base)
        made.CreateTime = process.created
        made.Threads, made.ThreadCount = arena.place(threads), len(threads)
        made.Regions, made.RegionCount = arena.place(regions), len(regions)
        made.Flags = block.BOOT_PROCESS_CRITICAL * plan.critical
        made.ImageFileName = plan.name.encode("ascii")
        _set_text(made.ImagePath, _VOLUME + plan.path)
        return made


class _Arena:
    """Allocates the parts of the boot block in mapped kernel memory, aligned to 16 bytes."""

    def __init__(self, space: SystemSpace, start: int, size: int) -> None:
        self._space, self._at, self._end = space, start, start + size

    def reserve(self, *items: ctypes.LittleEndianStructure) -> int:
        address = self._at
        self._at = (address + sum(map(ctypes.sizeof, items)) + 15) & ~15
        if self._at > self._end:
            raise AssertionError("the boot block is larger than _block_size computed")
        return address

    def place(self, items: Sequence[ctypes.LittleEndianStructure]) -> int:
        """Write ``items`` as an array and return its address."""
        address = self.reserve(*items)
        self.write(address, *items)
        return address

    def write(self, address: int, *items: ctypes.LittleEndianStructure) -> None:
        self._space.tables.write(address, b"".join(map(bytes, items)))


def _set_text(array: ctypes.Array[ctypes.c_uint16], text: str) -> None:
    """Fill an array of UTF-16 units."""
    units = memoryview(text.encode("utf-16-le", "surrogatepass")).cast("H").tolist()
    for index, unit in enumerate(units):
        array[index] = unit


def _driver(path: Path) -> Image:
    """The image of a driver. Raises ImageError for a file that cannot be a driver, OSError if it cannot be read."""
    longest = block.BOOT_IMAGE.BaseName.size // 2 - 1
    if len(path.name.encode("utf-16-le", "surrogatepass")) > 2 * longest:
        raise ImageError(f"{path.name}: a driver's name has at most {longest} characters")
    image = load_file(path)
    if not image.entry_point:
        raise ImageError(f"{path.name}: has no entry point, expected a driver's DriverEntry")
    return image
