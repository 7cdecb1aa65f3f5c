"""Builds the synthetic kernel, HAL, drivers and program from their sources, and drivers of the user.

`python -m dumptruth.emu.images.build` rebuilds these images too.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from ..toolchain import ImageBuildError, Toolchain
from ..version_resource import VFT_APP, VFT_DLL, VFT_DRV, version_resource
from .codeview import drop_unnamed_nested_types

__all__ = ["FOLDER", "KERNEL_IMAGES", "KernelImage", "build_kernel", "compile_driver"]

FOLDER = Path(__file__).parent

_OWN_OPTIONS = ("-std=c17", "-O1", "-fno-builtin", "-mno-stack-arg-probe", "-Wall", "-Wextra", "-Werror")
# A user's file is compiled without optimization. ntos_ddk.h is included before it and includes <ntddk.h>.
_USER_OPTIONS = ("-O0", "-fno-omit-frame-pointer", "-fno-builtin", "-Wno-pragma-pack", "-Wno-ignored-attributes")
_SUPPORT = (FOLDER.parent / "chkstk.s", FOLDER / "relocated.s")  # linked into a user's driver


@dataclass(frozen=True)
class KernelImage:
    """One committed image.

    Sources, imports, entry point ("" for none), preferred base, description and kind (VFT_*) of its version resource,
    preprocessor definitions.
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
_VERSION = (10, 0, 26100, 1)


def build_kernel(out_dir: Path, images: Sequence[KernelImage] = KERNEL_IMAGES) -> list[Path]:
    """Build kernel-mode images (amd64) with their PDBs into `out_dir`. Returns the files.

    The bytes depend on the sources and the pinned wheel only. Raises `ImageBuildError`.
    """
    tools = Toolchain("amd64")
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        for pattern in ("*.c", "*.h", "*.s", "*.def"):
            for source in FOLDER.glob(pattern):
                # The debug information holds checksums of the sources, which must not depend on git's line ends.
                (work / source.name).write_text(source.read_text(encoding="utf-8"), encoding="utf-8", newline="\n")
        with ThreadPoolExecutor() as pool:
            objects = [
                pool.submit(_object, tools, work, source, image.definitions)
                for image in images
                for source in image.sources
            ]
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


def _object(tools: Toolchain, work: Path, source: str, definitions: tuple[str, ...]) -> None:
    if source.endswith(".c"):
        options = ("-isystem", tools.driver_headers, *_OWN_OPTIONS, *definitions)
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
    if (FOLDER / f"{stem}.def").exists():
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
    here = FOLDER.as_posix()
    options = ["-isystem", tools.driver_headers, f"-ffile-prefix-map={here}=kernel", "-include", f"{here}/ntos_ddk.h"]
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        tools.compile(source.name, work / obj, source.parent, [*options, *_USER_OPTIONS])
        for support in _SUPPORT:
            shutil.copy(support, work)
            tools.assemble(support.name, Path(f"{support.stem}.obj"), work)
        libraries = []
        for dll in ("ntoskrnl.exe", "hal.dll"):
            definition = f"{Path(dll).stem}.def"
            (work / definition).write_text((FOLDER / definition).read_text(encoding="utf-8"), encoding="utf-8")
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
