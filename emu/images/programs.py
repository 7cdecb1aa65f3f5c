"""Compiles C and C++ files of the user into programs or DLLs for the runtime system.

A C program is linked with start-up code and import libraries that are made here. A C++ program is made by `zig c++`,
which brings libc++ and mingw-w64's start-up code. It compiles them at the first use, into Zig's cache of the user.
"""

from __future__ import annotations

import shutil
import struct
import tempfile
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from .definitions import RUNTIME, program_definitions
from .program_cache import kept
from .services import FOLDER
from .toolchain import ImageBuildError, Toolchain

__all__ = ["CXX_SUFFIXES", "SOURCE_SUFFIXES", "compile_dll", "compile_program"]

CXX_SUFFIXES = frozenset({".cpp", ".cc", ".cxx", ".c++"})
SOURCE_SUFFIXES = CXX_SUFFIXES | {".c"}
"""What a program of the user can be written in."""
START = RUNTIME / "start"
# A user's file is compiled without optimization, which could turn a null write into a trap or merge calls. A long
# double is a double, as for Microsoft's compiler.
USER_OPTIONS = (
    *("-O0", "-fno-omit-frame-pointer", "-fno-builtin", "-fms-extensions", "-mlong-double-64", "-fhosted"),
    *("-Wno-pragma-pack", "-Wno-ignored-attributes", "-Wno-microsoft"),
    # __try covers loads and stores, too, not only calls. The driver passes -fasync-exceptions for MSVC targets only.
    *("-Xclang", "-fasync-exceptions"),
)
_START_OPTIONS = (
    "-std=c17",
    "-O1",
    "-fno-builtin",
    "-mlong-double-64",
    "-mno-stack-arg-probe",
    "-fms-extensions",
    "-w",
)
# Options that change the libraries, too, would make Zig compile them again. Checks of undefined behaviour hide crashes.
_CXX_OPTIONS = ("-g", "-O0", "-fms-extensions", "-fno-sanitize=undefined")
_SUPPORT = ("crt_stdio.c", "crt_math.c")
_STARTS = {"main": "START_MAIN", "wmain": "START_WMAIN", "WinMain": "START_WINMAIN", "wWinMain": "START_WWINMAIN"}
_ENTRY = "mainCRTStartup"


def compile_program(source: str | Path, out_dir: str | Path, arch: str = "amd64") -> Path:
    """Compile a C or C++ file into an .exe with a PDB in `out_dir`. Returns the .exe.

    The file defines `main`, `wmain`, `WinMain` or `wWinMain`; a C file may define `mainCRTStartup` instead, which runs
    without start-up code. It may include the headers of C, C++ and Windows and headers in its folder, and call what the
    DLLs of the runtime system export. Raises `ImageBuildError` with the messages of the compiler or linker.
    """
    source, out_dir = _existing(source), Path(out_dir)
    tools = Toolchain(arch)
    made = _compile_cxx if source.suffix.lower() in CXX_SUFFIXES else _compile_exe
    files = (f"{source.stem}.exe", f"{source.stem}.pdb")
    kept(source, _ingredients(tools, arch), files, out_dir, lambda: made(source, out_dir, arch))
    return out_dir / files[0]


def _ingredients(tools: Toolchain, arch: str) -> Iterator[bytes]:
    """All but the source and its headers that a program is made from."""
    yield arch.encode()
    for folder in (Path(__file__).parent, START):
        for path in sorted([*folder.glob("*.py"), *folder.glob("crt_*.c"), *folder.glob("chkstk.s")]):
            yield path.read_bytes()
    for _name, definition in program_definitions(tools):
        yield definition.encode()


def _compile_exe(source: Path, out_dir: Path, arch: str) -> Path:
    return _compile_c(source, out_dir, arch, ".exe")


def compile_dll(source: Path, out_dir: Path, arch: str = "amd64") -> Path:
    """Compile a C file into a .dll. `DllMain`, if defined, is its entry point; `__declspec(dllexport)` exports.

    Raises `ImageBuildError` with the messages of the compiler or linker.
    """
    return _compile_c(_existing(source), Path(out_dir), arch, ".dll")


def _existing(source: str | Path) -> Path:
    path = Path(source).resolve()
    if not path.is_file():
        raise ImageBuildError(f"no such C file: {path.name}")
    return path


def _compile_c(source: Path, out_dir: Path, arch: str, suffix: str) -> Path:
    tools = Toolchain(arch)
    image, obj = source.stem + suffix, f"{source.stem}.obj"
    with tempfile.TemporaryDirectory() as name, ThreadPoolExecutor() as pool:
        work = Path(name)
        compiled = pool.submit(tools.compile, source.name, work / obj, source.parent, USER_OPTIONS)
        libraries = _libraries(tools, work, pool)
        support = [_start_object(tools, work, pool, file) for file in _SUPPORT]
        tls = _start_object(tools, work, pool, "crt_tls.c")
        shutil.copy(FOLDER / "chkstk.s", work)
        probe = pool.submit(tools.assemble, "chkstk.s", Path("chkstk.obj"), work)
        compiled.result()
        defined = _defined_functions(work / obj)
        start: list[str] = []
        if suffix == ".dll":
            options = ["/dll", "/entry:DllMain" if "DllMain" in defined else "/noentry"]
        else:
            options = [f"/entry:{_ENTRY}"]
            if _ENTRY not in defined:
                kind = next((kind for function, kind in _STARTS.items() if function in defined), None)
                if kind is None:
                    functions = f"{', '.join(_STARTS)} or {_ENTRY}"
                    raise ImageBuildError(f"{source.name}: expected one of {functions}, found no such function")
                start.append(_wait(_start_object(tools, work, pool, "crt_start.c", f"-D{kind}")))
        content = (work / obj).read_bytes()
        if "_tls_used" not in defined and (b".tls$" in content or b".CRT$XL" in content):
            start.append(_wait(tls))
        probe.result()
        inputs = [*start, obj, "/start-lib", *map(_wait, support), "chkstk.obj", "/end-lib"]
        names = [_wait(library) for library in libraries]
        if _ENTRY in defined:  # without start-up code: memory and strings are ntdll's, not the C runtime's
            names.append(names.pop(0))
        tools.link(image, [*inputs, *names], work, options)
        out_dir.mkdir(parents=True, exist_ok=True)
        for file in (image, f"{source.stem}.pdb"):
            shutil.copyfile(work / file, out_dir / file)
    return out_dir / image


_Made = tuple[str, "Future[None]"]
"""The name of a file, and the job that makes it."""


def _wait(made: _Made) -> str:
    made[1].result()
    return made[0]


def _start_object(tools: Toolchain, work: Path, pool: ThreadPoolExecutor, file: str, *options: str) -> _Made:
    (work / file).write_text((START / file).read_text(encoding="utf-8"), encoding="utf-8", newline="\n")
    obj = f"{file}.obj"
    return obj, pool.submit(tools.compile, file, Path(obj), work, (*_START_OPTIONS, *options))


def _libraries(tools: Toolchain, work: Path, pool: ThreadPoolExecutor) -> list[_Made]:
    made = []
    for name, definition in program_definitions(tools):
        (work / f"{name}.def").write_text(definition, encoding="utf-8", newline="\n")
        library = f"import_{name}.lib"
        made.append((library, pool.submit(tools.import_library, f"{name}.def", library, work)))
    return made


def _defined_functions(obj: Path) -> set[str]:
    """The external names that a COFF object defines (PE format, "COFF Symbol Table")."""
    data = obj.read_bytes()
    table, count = struct.unpack_from("<II", data, 8)
    strings = table + count * 18
    names: set[str] = set()
    index = 0
    while index < count:
        raw, _value, section, _kind, storage, auxiliary = struct.unpack_from("<8sIhHBB", data, table + index * 18)
        if storage == 2 and section > 0:  # IMAGE_SYM_CLASS_EXTERNAL, in a section
            if raw[:4] == bytes(4):
                start = strings + int.from_bytes(raw[4:], "little")
                raw = data[start : data.index(0, start)]
            names.add(raw.rstrip(b"\0").decode("ascii", "replace"))
        index += 1 + auxiliary
    return names


def _compile_cxx(source: Path, out_dir: Path, arch: str) -> Path:
    tools = Toolchain(arch)
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        image = f"{source.stem}.exe"
        output = ("-o", str(work / image))
        tools.compile_cxx(source.name, source.parent, work / "cache", (*_CXX_OPTIONS, *output))
        out_dir.mkdir(parents=True, exist_ok=True)
        for file in (image, f"{source.stem}.pdb"):
            shutil.copyfile(work / file, out_dir / file)
    return out_dir / image
