"""Runs the compiler, linker and dlltool of the `ziglang` wheel, so that no path of the host reaches an output.

`zig cc` is not used, because it writes paths and its command line into the PDB. With these options the images were
measured to be byte-identical from different folders (docs/format/images.md#options-of-the-build).
"""

from __future__ import annotations

import importlib.util
import os
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..errors import DumptruthError


class ImageBuildError(DumptruthError):
    """An image could not be built. The text holds the messages of the tool, or the name of a missing tool."""

    keeps_lines = True


@dataclass(frozen=True)
class ArchitectureNames:
    """Names of an architecture: clang's triple, the header folders, the machine of dlltool and of lld-link."""

    triple: str
    headers: str
    dlltool: str
    linker: str


TARGETS = {"amd64": ArchitectureNames("x86_64-w64-windows-gnu", "x86_64", "i386:x86-64", "x64")}


class Toolchain:
    """The tools for one architecture. Raises `ImageBuildError` without the wheel, or for an unknown architecture."""

    def __init__(self, arch: str) -> None:
        if arch not in TARGETS:
            raise ImageBuildError(f"architecture {arch!r}: images can be built for {', '.join(TARGETS)}")
        spec = importlib.util.find_spec("ziglang")
        if spec is None or not spec.submodule_search_locations:
            raise ImageBuildError("building images needs the ziglang package: pip install 'dumptruth[images]'")
        self.target = TARGETS[arch]
        self.root = Path(spec.submodule_search_locations[0])
        self.program = self.root / ("zig.exe" if os.name == "nt" else "zig")
        if not self.program.exists():
            raise ImageBuildError(f"the ziglang package has no {self.program.name}: install 'dumptruth[images]' again")

    @property
    def driver_headers(self) -> str:
        """The folder of <ntddk.h> and <ntifs.h>, for a `-isystem` option."""
        return f"{self.root.as_posix()}/lib/libc/include/any-windows-any/ddk"

    def compile(self, source: str, output: Path, folder: Path, options: Sequence[str]) -> None:
        """Compile the C file `source` of `folder` into the object `output`."""
        zig, name = self.root.as_posix(), self.target.headers
        libc = f"{zig}/lib/libc/include"
        folders = (
            f"{zig}/lib/include",
            f"{libc}/{name}-windows-gnu",
            f"{libc}/generic-mingw",
            f"{libc}/{name}-windows-any",
            f"{libc}/any-windows-any",
        )
        command = ["clang", f"--target={self.target.triple}", "-nostdlibinc"]
        for include in folders:
            command += ["-isystem", include]
        command += ["-D_WIN32_WINNT=0x0a00", "-ffreestanding", "-fno-stack-protector"]
        command += ["-fasynchronous-unwind-tables", "-g", "-gcodeview"]
        command += ["-gno-codeview-command-line", "-fdebug-compilation-dir=.", f"-ffile-prefix-map={zig}=zig"]
        command += ["-Xclang", f"-object-file-name={output.name}", *options, "-c", "-o", str(output), source]
        self._run(command, folder)

    def compile_musl(self, source: str, output: Path, folder: Path) -> None:
        """Compile the file `source` of musl's `src` folder. Its own headers say what the types of this target are.

        The headers of 32-bit x86 are used, because a long has 32 bits on Windows, too.
        """
        musl, include = f"{self.root.as_posix()}/lib/libc/musl", f"{self.root.as_posix()}/lib/libc/include"
        command = ["clang", f"--target={self.target.triple}", "-nostdlibinc", "-nobuiltininc"]
        for path in (f"{musl}/src/include", f"{musl}/src/internal", f"{musl}/arch/generic"):
            command += ["-I", path]
        for path in (f"{include}/x86-linux-musl", f"{include}/generic-musl"):
            command += ["-isystem", path]
        command += ["-D_XOPEN_SOURCE=700", "-std=c99", "-O1", "-ffreestanding", "-fno-builtin", "-w"]
        command += ["-fno-stack-protector", "-mno-stack-arg-probe", "-fasynchronous-unwind-tables"]
        command += ["-ffunction-sections", "-fdata-sections", "-c", "-o", str(output), f"{musl}/src/{source}"]
        self._run(command, folder)

    def zig_object(self, source: Path, output: str, folder: Path) -> None:
        """Compile a Zig file into an object without debug information. Zig's caches are in `folder`."""
        command = ["build-obj", str(source), "-target", f"{self.target.headers}-windows-gnu", "-mcpu=baseline"]
        command += ["-O", "ReleaseSmall", "-fstrip", "-funwind-tables", "-fno-stack-check", "-ffunction-sections"]
        command += ["--cache-dir", "zig-cache", "--global-cache-dir", "zig-cache", f"-femit-bin={output}"]
        self._run(command, folder)

    def compile_cxx(self, source: str, folder: Path, cache: Path, options: Sequence[str]) -> None:
        """Make a program of the C++ file `source` of `folder` by `zig c++`, with libc++ and mingw-w64's start-up code.

        Zig compiles those at the first use, into the user's cache of Zig. `cache` is for what depends on the program.
        """
        target = ("-target", f"{self.target.headers}-windows-gnu")
        self._run(["c++", *target, *options, source], folder, {"ZIG_LOCAL_CACHE_DIR": str(cache)})

    def assemble(self, source: str, output: Path, folder: Path) -> None:
        """Assemble the file `source` of `folder` into the object `output`."""
        self._run(["clang", f"--target={self.target.triple}", "-c", "-o", str(output), source], folder)

    def import_library(self, definition: str, output: str, folder: Path) -> None:
        """Make the import library `output` of a DLL's .def file."""
        self._run(["dlltool", "-k", "-m", self.target.dlltool, "-d", definition, "-l", output], folder)

    def link(self, output: str, inputs: Sequence[str], folder: Path, options: Sequence[str]) -> None:
        """Link `inputs` into the image `output` with a PDB. Every name is relative to `folder`."""
        pdb = Path(output).with_suffix(".pdb").name
        command = ["lld-link", "/nologo", f"/machine:{self.target.linker}", "/nodefaultlib", "/subsystem:console"]
        command += ["/Brepro", "/release", "/dynamicbase", "/nxcompat", "/highentropyva"]
        command += ["/debug", f"/pdb:{pdb}", f"/pdbaltpath:{pdb}", "/pdbsourcepath:."]
        self._run([*command, *options, f"/out:{output}", *inputs], folder)

    def _run(self, arguments: list[str], folder: Path, variables: Mapping[str, str] | None = None) -> None:
        done = subprocess.run(
            [str(self.program), *arguments],
            cwd=folder,
            env={**os.environ, **(variables or {})},
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            check=False,
        )
        if done.returncode != 0:
            words = (done.stderr + done.stdout).strip() or f"exit status {done.returncode}"
            raise ImageBuildError(f"{arguments[0]}: {words}")
