"""Builds the synthetic images from their sources, and C files of the user into programs or DLLs.

`python -m dumptruth.emu.images.build` rebuilds the committed files in place. With `--check` it builds in a temporary
folder and compares.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from .kernel.build import FOLDER as KERNEL_FOLDER
from .kernel.build import RUNTIME_FOLDER, build_kernel, build_runtime
from .services import FOLDER, amd64_stubs, services
from .toolchain import ImageBuildError, Toolchain
from .version_resource import version_resource

__all__ = ["IMAGES", "Image", "ImageBuildError", "build", "check", "compile_dll", "compile_program", "main"]

OWN_OPTIONS = (
    *("-std=c17", "-O1", "-fno-builtin", "-mno-stack-arg-probe", "-DWIN32_LEAN_AND_MEAN"),
    *("-Wall", "-Wextra", "-Werror"),
)
# A user's file is compiled without optimization, which could turn a null write into a trap or merge calls.
USER_OPTIONS = ("-O0", "-fno-omit-frame-pointer", "-fno-builtin", "-Wno-pragma-pack", "-Wno-ignored-attributes")
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


IMAGES = (
    Image(
        "ntdll.dll",
        (
            "ntdll_start.c",
            "ntdll_loader.c",
            "ntdll_heap.c",
            "ntdll_sync.c",
            "ntdll_memory.c",
            "ntdll_rtl.c",
            "ntdll_function_table.c",
            "ntdll.s",
            "chkstk.s",
            "services.s",  # made from services.toml
        ),
        version=SYSTEM_VERSION,
        description="Synthetic native interface",
    ),
    Image(
        "kernel32.dll",
        (
            "kernel32_memory.c",
            "kernel32_thread.c",
            "kernel32_object.c",
            "kernel32_file.c",
            "kernel32_module.c",
            "kernel32_sync.c",
            "kernel32_system.c",
            "kernel32.s",
        ),
        imports=("ntdll.dll",),
        version=SYSTEM_VERSION,
        description="Synthetic Windows interface",
    ),
    Image("alpha.dll", ("alpha.c",), ("kernel32.dll",), "DllMain", (1, 2, 3, 4), "A DLL that stays loaded"),
    Image("beta.dll", ("beta.c",), ("kernel32.dll",), "DllMain"),
    Image("crash.exe", ("crash.c", "crash_sites.s"), ("kernel32.dll", "ntdll.dll", "alpha.dll"), "mainCRTStartup"),
)


def export_definition(dll: str) -> str:
    """The text of the .def file of `dll`. For ntdll it includes every system service."""
    text = (FOLDER / Path(dll).with_suffix(".def").name).read_text(encoding="utf-8")
    if dll == "ntdll.dll":
        text += "".join(f"    {service.name}\n" for service in services())
    return text


def build(arch: str, out_dir: Path, images: Sequence[Image] = IMAGES) -> list[Path]:
    """Build images of `arch` ("amd64") with their PDBs into `out_dir`. Returns the files.

    The bytes depend on the sources and the pinned wheel only. Raises `ImageBuildError`.
    """
    tools = Toolchain(arch)
    made: list[str] = []
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        for pattern in ("*.c", "*.h", "*.s"):
            for source in FOLDER.glob(pattern):
                # The debug information holds checksums of the sources, which must not depend on git's line ends.
                _write(work / source.name, source.read_text(encoding="utf-8"))
        _write(work / "services.s", amd64_stubs())
        with ThreadPoolExecutor() as pool:
            objects = [pool.submit(_object, tools, work, source) for image in images for source in image.sources]
        for done in objects:
            done.result()
        for dll in {image.name for image in images} | {dll for image in images for dll in image.imports}:
            _import_library(tools, work, dll)
        for image in images:
            _build_image(tools, work, image)
            made += image.files
        out_dir.mkdir(parents=True, exist_ok=True)
        for file in made:
            shutil.copyfile(work / file, out_dir / file)
    return [out_dir / file for file in made]


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8", newline="\n")


def _object(tools: Toolchain, work: Path, source: str) -> None:
    if source.endswith(".c"):
        tools.compile(source, Path(f"{source}.obj"), work, OWN_OPTIONS)
    else:
        tools.assemble(source, Path(f"{source}.obj"), work)


def _import_library(tools: Toolchain, work: Path, dll: str) -> None:
    stem = Path(dll).stem
    if (FOLDER / f"{stem}.def").exists():
        _write(work / f"{stem}.def", export_definition(dll))
        tools.import_library(f"{stem}.def", f"import_{stem}.lib", work)


def _build_image(tools: Toolchain, work: Path, image: Image) -> None:
    inputs = [f"{source}.obj" for source in image.sources]
    options = [f"/entry:{image.entry}"] if image.entry else ["/noentry"]
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
        made += [(KERNEL_FOLDER, path) for path in build_kernel(out / "kernel")]
        made += [(RUNTIME_FOLDER, path) for path in build_runtime(out / "runtime")]
        return [
            path.name
            for folder, path in made
            if not (folder / path.name).exists() or (folder / path.name).read_bytes() != path.read_bytes()
        ]


def compile_program(source: str | Path, out_dir: str | Path, arch: str = "amd64") -> Path:
    """Compile a C file that defines `mainCRTStartup` into an .exe with a PDB in `out_dir`. Returns the .exe.

    The file may include the Windows headers and headers in its folder, and call the exports of kernel32.dll and
    ntdll.dll. Raises `ImageBuildError` with the messages of the compiler or linker.
    """
    return _compile_user(Path(source), Path(out_dir), arch, ".exe", ["/entry:mainCRTStartup"])


def compile_dll(source: Path, out_dir: Path, arch: str = "amd64") -> Path:
    """Compile a C file into a .dll. `DllMain`, if defined, is its entry point; `__declspec(dllexport)` exports.

    Raises `ImageBuildError` with the messages of the compiler or linker.
    """
    return _compile_user(source, out_dir, arch, ".dll", ["/dll"])


def _compile_user(source: Path, out_dir: Path, arch: str, suffix: str, options: list[str]) -> Path:
    source = source.resolve()
    if not source.is_file():
        raise ImageBuildError(f"no such C file: {source.name}")
    tools = Toolchain(arch)
    image = source.stem + suffix
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        obj = f"{source.stem}.obj"
        tools.compile(source.name, work / obj, source.parent, USER_OPTIONS)
        symbols = (work / obj).read_bytes()
        if suffix == ".dll":
            options = [*options, "/entry:DllMain" if b"DllMain" in symbols else "/noentry"]
        shutil.copy(FOLDER / "chkstk.s", work)
        tools.assemble("chkstk.s", Path("chkstk.obj"), work)
        libraries = []
        for dll in ("kernel32", "ntdll"):
            _import_library(tools, work, f"{dll}.dll")
            libraries.append(f"import_{dll}.lib")
        try:
            tools.link(image, [obj, "chkstk.obj", *libraries], work, options)
        except ImageBuildError as error:
            if "undefined symbol: mainCRTStartup" in str(error):
                message = f"{source.name} does not define mainCRTStartup, the entry point of a program"
                raise ImageBuildError(message) from error
            raise
        out_dir.mkdir(parents=True, exist_ok=True)
        for file in (image, f"{source.stem}.pdb"):
            shutil.copyfile(work / file, out_dir / file)
    return out_dir / image


def main(arguments: list[str] | None = None) -> int:
    """Run the command. Exit status: 0 built or equal, 1 `--check` found a difference, 2 a tool fails or is missing."""
    parser = argparse.ArgumentParser(prog="python -m dumptruth.emu.images.build")
    parser.add_argument(
        "--check", action="store_true", help="build in a temporary folder and compare with the committed files"
    )
    options = parser.parse_args(arguments)
    try:
        if not options.check:
            for path in [*build("amd64", FOLDER), *build_kernel(KERNEL_FOLDER), *build_runtime(RUNTIME_FOLDER)]:
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
