"""Builds the synthetic kernel, HAL, drivers and program from their sources, and drivers of the user.

`python -m dumptruth.emu.images.build` rebuilds these images too.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from ..toolchain import ImageBuildError, Toolchain
from ..version_resource import VFT_APP, VFT_DLL, VFT_DRV, version_resource
from .codeview import drop_unnamed_nested_types

__all__ = [
    "FOLDER",
    "KERNEL_IMAGES",
    "RUNTIME_FOLDER",
    "RUNTIME_IMAGES",
    "KernelImage",
    "build_kernel",
    "build_runtime",
    "compile_driver",
]

FOLDER = Path(__file__).parent
RUNTIME_FOLDER = FOLDER / "runtime"
"""The kernel for drivers of the user, with the routines that drivers call.

That of the scenarios never changes: recorded dumps hold its bytes.
"""

_OWN_OPTIONS = ("-std=c17", "-O1", "-fno-builtin", "-mno-stack-arg-probe", "-Wall", "-Wextra", "-Werror")
# A user's file is compiled without optimization. driver.h is included before it and includes <ntddk.h>. __try takes
# exceptions of single instructions only with -fasync-exceptions, which the driver of clang keeps from C.
_USER_OPTIONS = (
    *("-O0", "-fno-omit-frame-pointer", "-fno-builtin", "-fms-extensions", "-Xclang", "-fasync-exceptions"),
    *("-Wno-pragma-pack", "-Wno-ignored-attributes", "-Wno-microsoft", "-Wno-multichar", "-Wno-four-char-constants"),
)
_UNWINDER = ("rtl_unwind.c", "rtl_dispatch.c", "rtl_c_specific_handler.c", "rtl_execute_handler.s")
"""Sources in the runtime system of user mode that are the kernel's, too, with `rtl_host.h` of its own."""
_SUPPORT = (FOLDER.parent / "chkstk.s", FOLDER / "relocated.s")  # linked into a user's driver


@dataclass(frozen=True)
class KernelImage:
    """One committed image.

    Sources, imports, entry point ("" for none), preferred base, description and kind (VFT_*) of its version resource,
    preprocessor definitions. ``superseded`` names, by source, the routines that another source defines anew.
    """

    name: str
    sources: tuple[str, ...]
    imports: tuple[str, ...]
    entry: str
    base: int
    description: str
    definitions: tuple[str, ...] = ()
    pdb: str = ""
    kind: int = VFT_DRV
    superseded: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def files(self) -> tuple[str, str]:
        """The names of the image and of its PDB."""
        return self.name, self.pdb or Path(self.name).with_suffix(".pdb").name


KERNEL_IMAGES = (
    KernelImage(
        "ntoskrnl.exe",
        (
            *("ke_init.c", "ke_thread.c", "ke_dispatch.c", "ke_bugcheck.c", "ke_trap.s", "ke_context.s"),
            *("kd_data.c", "kd_types.c", "rtl.c", "mm_init.c", "mm_pool.c", "mm_vad.c"),
            *("ps_process.c", "ps_load.c", "io_device.c"),
        ),
        ("hal.dll",),
        "KiSystemStartup",
        0xFFFFF801_40000000,
        "NT kernel of dumptruth",
        ("-D_NTOSKRNL_", "-D_NTSYSTEM_"),
        "ntkrnlmp.pdb",  # the name by which tools know the kernel
    ),
    KernelImage(
        "hal.dll",
        ("hal.c", "hal.s", "relocated.s"),
        ("ntoskrnl.exe",),
        "",
        0xFFFFF801_41000000,
        "Hardware abstraction layer of dumptruth",
        kind=VFT_DLL,
    ),
    KernelImage(
        "crashdrv.sys",
        ("crashdrv.c", "crashdrv_sites.s", "relocated.s"),
        ("ntoskrnl.exe",),
        "DriverEntry",
        0xFFFFF801_42000000,
        "Driver that crashes",
    ),
    KernelImage(
        "gone.sys",
        ("gone.c", "relocated.s"),
        ("ntoskrnl.exe",),
        "DriverEntry",
        0xFFFFF801_43000000,
        "Driver that is unloaded",
    ),
    KernelImage(
        "app.exe",
        ("app.c", "app_calls.s", "relocated.s"),
        (),
        "AppMain",
        0x1_40000000,
        "Program of the user processes",
        kind=VFT_APP,
    ),
)
RUNTIME_IMAGES = (
    KernelImage(
        "ntoskrnl.exe",
        (
            *(
                "ke_init.c",
                "ke_bugcheck.c",
                "ke_trap.s",
                "ke_context.s",
                "kd_data.c",
                "kd_types.c",
                "rtl.c",
                "mm_init.c",
            ),
            *("mm_vad.c", "ps_process.c", "ps_load.c"),
            *(
                "ke_scheduler.c",
                "ke_wait.c",
                "ke_timer.c",
                "ke_lock.c",
                "ke_exception.c",
                "rtl_raise.c",
                "rtl_restore_context.s",
            ),
            *_UNWINDER,
            *("rtl_print.c", "rtl_string.c", "rtl_crt.c", "rtl_misc.c", "ex_pool.c", "ex_work.c", "ex_resource.c"),
            *("mm_mdl.c", "ob_object.c", "ps_thread.c", "io_device.c", "io_irp.c", "io_file.c", "io_service.c"),
            *("io_driver.c", "fs_volume.c", "cm_registry.c"),
        ),
        ("hal.dll",),
        "KiSystemStartup",
        0xFFFFF801_40000000,
        "NT kernel of dumptruth for drivers",
        ("-D_NTOSKRNL_", "-D_NTSYSTEM_", "-D_CRTIMP=", "-D_SECIMP="),
        "ntkrnlmp.pdb",
        superseded={
            "mm_init.c": ("MmCreateKernelStack",),
            "ps_load.c": ("IoStartDrivers", "PspPhase1"),
            "ps_process.c": ("PsCreateSystemThread", "ObReferenceObjectByHandle", "ObfDereferenceObject", "ZwClose"),
            "rtl.c": ("DbgPrint", "DbgPrintEx"),
        },
    ),
    KernelImage(
        "app.exe",
        ("caller.c", "caller.s", "relocated.s"),
        (),
        "AppMain",
        0x1_40000000,
        "Program that calls drivers",
        kind=VFT_APP,
    ),
)
_VERSION = (10, 0, 26100, 1)


def build_kernel(out_dir: Path, images: Sequence[KernelImage] = KERNEL_IMAGES) -> list[Path]:
    """Build kernel-mode images (amd64) with their PDBs into `out_dir`. Returns the files.

    The bytes depend on the sources and the pinned wheel only. Raises `ImageBuildError`.
    """
    return _build(out_dir, images, (FOLDER,))


def build_runtime(out_dir: Path) -> list[Path]:
    """Build the kernel for drivers of the user, and what belongs to it, into `out_dir`. As `build_kernel`."""
    return _build(out_dir, RUNTIME_IMAGES, (FOLDER, RUNTIME_FOLDER))


def _build(out_dir: Path, images: Sequence[KernelImage], folders: Sequence[Path]) -> list[Path]:
    """Build ``images`` from the sources in ``folders``. A file of a later folder replaces one of the same name."""
    tools = Toolchain("amd64")
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        shared = [FOLDER.parent / "runtime" / file for file in (*_UNWINDER, "rtl_unwind.h")]
        patterns = ("*.c", "*.h", "*.s", "*.def")
        found = [source for folder in folders for pattern in patterns for source in folder.glob(pattern)]
        for source in (*shared, *found):
            # The debug information holds checksums of the sources, which must not depend on git's line ends.
            (work / source.name).write_text(source.read_text(encoding="utf-8"), encoding="utf-8", newline="\n")
        with ThreadPoolExecutor() as pool:
            objects = [pool.submit(_object, tools, work, source, image) for image in images for source in image.sources]
        for done in objects:
            done.result()
        for dll in sorted({dll for image in images for dll in image.imports}):
            _import_library(tools, work, dll)
        for image in images:
            _link(tools, work, image)
        out_dir.mkdir(parents=True, exist_ok=True)
        made = [file for image in images for file in image.files]
        for file in made:
            shutil.copyfile(work / file, out_dir / file)
    return [out_dir / file for file in made]


def _object(tools: Toolchain, work: Path, source: str, image: KernelImage) -> None:
    if source.endswith(".c"):
        renamed = (f"-D{routine}=Small{routine}" for routine in image.superseded.get(source, ()))
        options = ("-isystem", tools.driver_headers, *_OWN_OPTIONS, *image.definitions, *renamed)
        tools.compile(source, Path(f"{source}.obj"), work, options)
        made = work / f"{source}.obj"
        made.write_bytes(drop_unnamed_nested_types(made.read_bytes()))
    else:
        tools.assemble(source, Path(f"{source}.obj"), work)


def _import_library(tools: Toolchain, work: Path, dll: str) -> str:
    stem = Path(dll).stem
    tools.import_library(f"{stem}.def", f"import_{stem}.lib", work)
    return f"import_{stem}.lib"


def _link(tools: Toolchain, work: Path, image: KernelImage) -> None:
    options = [f"/entry:{image.entry}"] if image.entry else ["/noentry", "/dll"]
    options += [f"/base:{image.base:#x}", "/subsystem:native"]
    pdb = image.files[1]
    options += [f"/pdb:{pdb}", f"/pdbaltpath:{pdb}"]
    stem = Path(image.name).stem
    if (work / f"{stem}.def").exists():
        options.append(f"/def:{stem}.def")
    resource = version_resource(image.name, image.description, _VERSION, kind=image.kind)
    (work / f"{stem}.res").write_bytes(resource)
    inputs = [*(f"{source}.obj" for source in image.sources), f"{stem}.res"]
    tools.link(image.name, [*inputs, *(f"import_{Path(dll).stem}.lib" for dll in image.imports)], work, options)


def compile_driver(source: Path, out_dir: Path) -> Path:
    """Compile a C file that defines `DriverEntry` into a .sys (amd64) with a PDB. Returns the .sys.

    The file may include <ntddk.h> and headers in its folder, and call the exports of the synthetic ntoskrnl.exe and
    hal.dll. Raises `ImageBuildError` with the messages of the compiler or linker.
    """
    source = source.resolve()
    if not source.is_file():
        raise ImageBuildError(f"no such C file: {source.name}")
    tools = Toolchain("amd64")
    image, obj = f"{source.stem}.sys", f"{source.stem}.obj"
    here, runtime = FOLDER.as_posix(), RUNTIME_FOLDER.as_posix()
    options = ["-isystem", tools.driver_headers, f"-ffile-prefix-map={here}=kernel", "-include", f"{runtime}/driver.h"]
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        tools.compile(source.name, work / obj, source.parent, [*options, *_USER_OPTIONS])
        for support in _SUPPORT:
            shutil.copy(support, work)
            tools.assemble(support.name, Path(f"{support.stem}.obj"), work)
        libraries = []
        for dll in ("ntoskrnl.exe", "hal.dll"):
            definition = f"{Path(dll).stem}.def"
            folder = RUNTIME_FOLDER if (RUNTIME_FOLDER / definition).exists() else FOLDER
            (work / definition).write_text((folder / definition).read_text(encoding="utf-8"), encoding="utf-8")
            libraries.append(_import_library(tools, work, dll))
        try:
            inputs = [obj, *(f"{support.stem}.obj" for support in _SUPPORT), *libraries]
            tools.link(image, inputs, work, ["/entry:DriverEntry", "/subsystem:native"])
        except ImageBuildError as error:
            if "undefined symbol: DriverEntry" in str(error):
                message = f"{source.name} does not define DriverEntry, the entry point of a driver"
                raise ImageBuildError(message) from error
            raise
        out_dir.mkdir(parents=True, exist_ok=True)
        for file in (image, f"{source.stem}.pdb"):
            shutil.copyfile(work / file, out_dir / file)
    return out_dir / image
