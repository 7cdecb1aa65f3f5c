"""Builds the synthetic images from their sources.

There are two systems. The small system is in this folder: ntdll and kernel32 as the stock scenarios need them. Its
bytes never change, because recorded dumps hold them. The runtime system is in `runtime`: it is built from the same
sources and further ones, and runs programs as people write them. Its C runtime is built by `c_runtime`; programs of
the user are compiled by `programs`.

`python -m dumptruth.emu.images.build` rebuilds the committed files in place. With `--check` it builds in a temporary
folder and compares.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import tomllib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from .c_runtime import build_c_runtime
from .definitions import RUNTIME, export_definition
from .kernel.build import FOLDER as KERNEL_FOLDER
from .kernel.build import RUNTIME_FOLDER, build_kernel, build_runtime
from .programs import compile_dll, compile_program
from .services import FOLDER, amd64_stubs
from .toolchain import ImageBuildError, Toolchain
from .version_resource import version_resource

__all__ = [
    "IMAGES",
    "RUNTIME",
    "RUNTIME_IMAGES",
    "Image",
    "ImageBuildError",
    "build",
    "check",
    "compile_dll",
    "compile_program",
    "main",
]

OWN_OPTIONS = (
    *("-std=c17", "-O1", "-fno-builtin", "-mno-stack-arg-probe", "-DWIN32_LEAN_AND_MEAN"),
    *("-Wall", "-Wextra", "-Werror"),
)
RUNTIME_OPTIONS = ("-DDUMPTRUTH_RUNTIME",)
REPLACED = RUNTIME / "replaced.toml"
"""The functions of shared sources that the runtime system replaces."""
SYSTEM_VERSION = (10, 0, 26100, 1)


@dataclass(frozen=True)
class Image:
    """One committed image: sources, imported DLLs, entry point, version and description of its version resource."""

    name: str
    sources: tuple[str, ...]
    imports: tuple[str, ...] = ()
    entry: str | None = None
    version: tuple[int, int, int, int] | None = None
    description: str = ""

    @property
    def files(self) -> tuple[str, str]:
        """The names of the image and of its PDB."""
        return self.name, Path(self.name).with_suffix(".pdb").name


_NTDLL = (
    *("ntdll_start.c", "ntdll_loader.c", "ntdll_heap.c", "ntdll_sync.c", "ntdll_memory.c", "ntdll_rtl.c"),
    *("ntdll_function_table.c", "ntdll.s", "chkstk.s"),
    "services.s",  # made from services.toml
)
_KERNEL32 = (
    *("kernel32_memory.c", "kernel32_thread.c", "kernel32_object.c", "kernel32_file.c", "kernel32_module.c"),
    *("kernel32_sync.c", "kernel32_system.c", "kernel32.s"),
)
IMAGES = (
    Image("ntdll.dll", _NTDLL, version=SYSTEM_VERSION, description="Synthetic native interface"),
    Image("kernel32.dll", _KERNEL32, ("ntdll.dll",), version=SYSTEM_VERSION, description="Synthetic Windows interface"),
    Image("alpha.dll", ("alpha.c",), ("kernel32.dll",), "DllMain", (1, 2, 3, 4), "A DLL that stays loaded"),
    Image("beta.dll", ("beta.c",), ("kernel32.dll",), "DllMain"),
    Image("crash.exe", ("crash.c", "crash_sites.s"), ("kernel32.dll", "ntdll.dll", "alpha.dll"), "mainCRTStartup"),
    Image("stacks.exe", ("stacks.c", "stack_sites.s"), ("kernel32.dll",), "mainCRTStartup"),
)
_RUNTIME_NTDLL = (
    *_NTDLL,
    *("rtl_unwind.c", "rtl_dispatch.c", "rtl_c_specific_handler.c", "rtl_execute_handler.s"),
    *("ntdll_exception.c", "ntdll_exception.s"),
    *("ntdll_tls.c", "ntdll_fls.c", "ntdll_load.c", "ntdll_address_wait.c", "ntdll_strings.c", "ntdll_status.c"),
    "ntdll_path.c",
)
_RUNTIME_KERNEL32 = (
    *_KERNEL32,
    "kernel32_exception.c",
    *("kernel32_tls.c", "kernel32_environment.c", "kernel32_path.c", "kernel32_file_info.c", "kernel32_file_ansi.c"),
    *("kernel32_find.c", "kernel32_wait.c", "kernel32_time.c", "kernel32_text.c", "kernel32_locale.c"),
    *("kernel32_console.c", "kernel32_misc.c", "kernel32_message.c", "kernel32_threadpool.c"),
)


def _system_dll(name: str, sources: tuple[str, ...], description: str) -> Image:
    """A DLL of the runtime system above kernel32 and ntdll."""
    return Image(name, sources, ("kernel32.dll", "ntdll.dll"), version=SYSTEM_VERSION, description=description)


RUNTIME_IMAGES = (
    Image("ntdll.dll", _RUNTIME_NTDLL, version=SYSTEM_VERSION, description="Synthetic native interface"),
    Image(
        "kernel32.dll",
        _RUNTIME_KERNEL32,
        ("ntdll.dll",),
        version=SYSTEM_VERSION,
        description="Synthetic Windows interface",
    ),
    _system_dll("user32.dll", ("user32.c", "chkstk.s"), "Synthetic message boxes"),
    _system_dll("advapi32.dll", ("advapi32.c",), "Synthetic registry, user and random bytes"),
    _system_dll("bcrypt.dll", ("bcrypt.c",), "Synthetic random bytes"),
    _system_dll("bcryptprimitives.dll", ("bcrypt.c",), "Synthetic random bytes"),
    _system_dll("winmm.dll", ("winmm.c",), "Synthetic multimedia clock"),
    _system_dll("ws2_32.dll", ("ws2_32.c",), "Synthetic sockets of a host without a network"),
)


def build(arch: str, out_dir: Path, images: Sequence[Image] = IMAGES, *, runtime: bool = False) -> list[Path]:
    """Build images of `arch` ("amd64") with their PDBs into `out_dir`. Returns the files.

    With `runtime`, sources are searched in the folder `runtime` first. The bytes depend on the sources and the pinned
    wheel only. Raises `ImageBuildError`.
    """
    tools = Toolchain(arch)
    made: list[str] = []
    options = (*OWN_OPTIONS, *RUNTIME_OPTIONS) if runtime else OWN_OPTIONS
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        for folder in (FOLDER, RUNTIME) if runtime else (FOLDER,):
            for pattern in ("*.c", "*.h", "*.s"):
                for source in folder.glob(pattern):
                    # The debug information holds checksums of the sources, which must not depend on git's line ends.
                    _write(work / source.name, source.read_text(encoding="utf-8"))
        _write(work / "services.s", amd64_stubs(runtime=runtime))
        replaced = _replaced(work) if runtime else {}
        sources = dict.fromkeys(source for image in images for source in image.sources)
        with ThreadPoolExecutor() as pool:
            objects = [
                pool.submit(_object, tools, work, source, (*options, *replaced.get(source, ()))) for source in sources
            ]
        for done in objects:
            done.result()
        for dll in {image.name for image in images} | {dll for image in images for dll in image.imports}:
            _import_library(tools, work, dll, runtime=runtime)
        for image in images:
            _build_image(tools, work, image)
            made += image.files
        out_dir.mkdir(parents=True, exist_ok=True)
        for file in made:
            shutil.copyfile(work / file, out_dir / file)
    return [out_dir / file for file in made]


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8", newline="\n")


def _replaced(work: Path) -> dict[str, tuple[str, ...]]:
    """The options, by source, that make functions weak which the runtime system replaces, with headers in `work`."""
    options: dict[str, tuple[str, ...]] = {}
    for source, names in tomllib.loads(REPLACED.read_text(encoding="utf-8")).items():
        header = f"{source}.weak.h"
        _write(work / header, "".join(f"#pragma weak {name}\n" for name in names))
        options[source] = ("-include", header)
    return options


def _object(tools: Toolchain, work: Path, source: str, options: Sequence[str]) -> None:
    if source.endswith(".c"):
        tools.compile(source, Path(f"{source}.obj"), work, options)
    else:
        tools.assemble(source, Path(f"{source}.obj"), work)


def _import_library(tools: Toolchain, work: Path, dll: str, *, runtime: bool) -> None:
    stem = Path(dll).stem
    definition = export_definition(dll, runtime=runtime)
    if definition:
        _write(work / f"{stem}.def", definition)
        tools.import_library(f"{stem}.def", f"import_{stem}.lib", work)


def _build_image(tools: Toolchain, work: Path, image: Image) -> None:
    inputs = [f"{source}.obj" for source in image.sources]
    options = [f"/entry:{image.entry}" if image.entry else "/noentry"]
    if image.name.endswith(".dll"):
        options.append("/dll")
    stem = Path(image.name).stem
    if (work / f"{stem}.def").exists():
        options.append(f"/def:{stem}.def")
    if image.version:
        (work / f"{stem}.res").write_bytes(version_resource(image.name, image.description, image.version))
        inputs.append(f"{stem}.res")
    inputs += [f"import_{Path(dll).stem}.lib" for dll in image.imports]
    tools.link(image.name, inputs, work, options)


def check(arch: str = "amd64") -> list[str]:
    """Build in a temporary folder and compare. Returns the names of committed files that differ or are missing."""
    with tempfile.TemporaryDirectory() as name:
        out = Path(name)
        made = [(FOLDER, path) for path in build(arch, out)]
        made += [(RUNTIME, path) for path in build(arch, out / "runtime", RUNTIME_IMAGES, runtime=True)]
        made += [(RUNTIME, path) for path in build_c_runtime(arch, out / "runtime")]
        made += [(KERNEL_FOLDER, path) for path in build_kernel(out / "kernel")]
        made += [(RUNTIME_FOLDER, path) for path in build_runtime(out / "kernel-runtime")]
        return [
            path.name
            for folder, path in made
            if not (folder / path.name).exists() or (folder / path.name).read_bytes() != path.read_bytes()
        ]


def main(arguments: list[str] | None = None) -> int:
    """Run the command. Exit status: 0 built or equal, 1 `--check` found a difference, 2 a tool fails or is missing."""
    parser = argparse.ArgumentParser(prog="python -m dumptruth.emu.images.build")
    parser.add_argument(
        "--check", action="store_true", help="build in a temporary folder and compare with the committed files"
    )
    options = parser.parse_args(arguments)
    try:
        if not options.check:
            built = [*build("amd64", FOLDER), *build("amd64", RUNTIME, RUNTIME_IMAGES, runtime=True)]
            built += build_c_runtime("amd64", RUNTIME)
            for path in [*built, *build_kernel(KERNEL_FOLDER), *build_runtime(RUNTIME_FOLDER)]:
                print(f"{path.name}: {path.stat().st_size} bytes")
            return 0
        different = check()
    except ImageBuildError as error:
        print(error, file=sys.stderr)
        return 2
    for name in different:
        print(f"{name}: the committed file differs from the one built from its sources", file=sys.stderr)
    return 1 if different else 0


if __name__ == "__main__":
    sys.exit(main())
