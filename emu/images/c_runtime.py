"""Builds the C runtime of the runtime system: ucrtbase.dll, msvcrt.dll and vcruntime140.dll.

Their own sources are in `runtime/ucrt`. Floating point as text, its scanning and most of math come from musl's sources
and Zig's standard library in the `ziglang` wheel (MIT, `runtime/ucrt/LICENSE-musl.txt`); no copy is kept here.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from .definitions import C_RUNTIME, export_definition
from .toolchain import Toolchain
from .version_resource import version_resource

VERSION = (10, 0, 26100, 1)
OPTIONS = (
    *("-std=c17", "-O1", "-fno-builtin", "-mno-stack-arg-probe", "-DWIN32_LEAN_AND_MEAN", "-ffunction-sections"),
    *("-gline-tables-only", "-Wall", "-Wextra", "-Werror", "-Wno-attributes"),
)
_OWN = (
    *("startup.c", "environment.c", "fail.c", "thread.c", "heap.c", "string.c", "wide.c", "ctype.c", "multibyte.c"),
    *(
        "algorithm.c",
        "convert.c",
        "time.c",
        "lowio.c",
        "stream.c",
        "path.c",
        "print.c",
        "scan.c",
        "math.c",
        "jump.c",
        "aliases.c",
    ),
)
# Own files that take a file of musl in: musl's FILE is replaced by a text in memory.
_ADAPTERS = {"musl_format.c": "stdio", "musl_scan.c": "internal"}
_MUSL_MATH = (
    *("__cos", "__cosdf", "__expo2", "__expo2f", "__fpclassify", "__fpclassifyl", "__math_divzero", "__math_divzerof"),
    *("__math_invalid", "__math_invalidf", "__math_oflow", "__math_oflowf", "__math_uflow", "__math_uflowf"),
    *(
        "__math_xflow",
        "__math_xflowf",
        "__signbit",
        "__signbitl",
        "__sin",
        "__sindf",
        "acosh",
        "asinf",
        "asinh",
        "asinhf",
        "atan2",
    ),
    *("atan2f", "atanh", "atanhf", "erf", "erff", "exp2f_data", "exp_data", "expm1", "expm1f", "ilogb", "ilogbf"),
    *("j0", "j1", "jn", "ldexp", "ldexpf", "lgamma", "lgamma_r", "lgammaf", "lgammaf_r", "llrint", "llrintf"),
    *("llround", "llroundf", "logb", "logbf", "nearbyint", "nearbyintf", "nextafter", "nextafterf", "nexttoward"),
    *("nexttowardf", "pow", "pow_data", "powf", "powf_data", "remainder", "remainderf", "remquo", "remquof"),
    *("scalbln", "scalblnf", "scalbn", "scalbnf", "scalbnl", "signgam", "sinh", "sinhf", "tgamma", "tgammaf"),
)


@dataclass(frozen=True)
class RuntimeDll:
    """One DLL of the C runtime: its own C sources, the DLLs that it imports, its version resource's description."""

    name: str
    sources: tuple[str, ...]
    imports: tuple[str, ...]
    description: str
    entry: str | None = None
    library: bool = False
    """Does it hold the parts of the wheel?"""


DLLS = (
    RuntimeDll("ucrtbase.dll", _OWN, ("kernel32", "ntdll"), "Synthetic C runtime", "DllMain", library=True),
    RuntimeDll("msvcrt.dll", ("msvcrt.c",), ("ucrtbase", "kernel32", "ntdll"), "Synthetic old C runtime", "DllMain"),
    RuntimeDll("vcruntime140.dll", ("vcruntime.c",), ("ucrtbase", "kernel32", "ntdll"), "Synthetic compiler runtime"),
)


def build_c_runtime(arch: str, out_dir: Path) -> list[Path]:
    """Build the DLLs with their PDBs into `out_dir`. Returns the files. Raises `ImageBuildError`."""
    tools = Toolchain(arch)
    made: list[str] = []
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        for pattern in ("*.c", "*.h", "*.s", "*.zig", "*.def"):
            for source in C_RUNTIME.glob(pattern):
                (work / source.name).write_text(source.read_text(encoding="utf-8"), encoding="utf-8", newline="\n")
        for stem in ("kernel32", "ntdll"):
            text = export_definition(f"{stem}.dll", runtime=True)
            (work / f"{stem}.def").write_text(text, encoding="utf-8", newline="\n")
        for stem in ("kernel32", "ntdll", "ucrtbase"):
            tools.import_library(f"{stem}.def", f"import_{stem}.lib", work)
        with ThreadPoolExecutor() as pool:
            library = _library(tools, work, pool)
            own = {dll.name: [_own(tools, work, pool, source) for source in dll.sources] for dll in DLLS}
            for done in (*library.values(), *(job for jobs in own.values() for job in jobs)):
                done.result()
        for dll in DLLS:
            inputs = [f"{source}.obj" for source in dll.sources] + (list(library) if dll.library else [])
            made += _link(tools, work, dll, inputs)
        out_dir.mkdir(parents=True, exist_ok=True)
        for file in made:
            shutil.copyfile(work / file, out_dir / file)
    return [out_dir / file for file in made]


def _own(tools: Toolchain, work: Path, pool: ThreadPoolExecutor, source: str) -> Future[None]:
    return pool.submit(tools.compile, source, Path(f"{source}.obj"), work, OPTIONS)


def _library(tools: Toolchain, work: Path, pool: ThreadPoolExecutor) -> dict[str, Future[None]]:
    """The objects that hold parts of the wheel, by name, and the jobs that make them."""
    jobs = {
        "compiler_rt.obj": pool.submit(tools.zig_object, tools.root / "lib/compiler_rt.zig", "compiler_rt.obj", work),
        "math.obj": pool.submit(tools.zig_object, Path("math.zig"), "math.obj", work),
        "setjmp.obj": pool.submit(tools.assemble, "setjmp.s", Path("setjmp.obj"), work),
    }
    for source, folder in _ADAPTERS.items():
        jobs[f"{source}.obj"] = pool.submit(_adapter, tools, work, source, folder)
    for name in _MUSL_MATH:
        jobs[f"musl_{name}.obj"] = pool.submit(tools.compile_musl, f"math/{name}.c", Path(f"musl_{name}.obj"), work)
    return jobs


def _adapter(tools: Toolchain, work: Path, source: str, folder: str) -> None:
    musl = tools.root.as_posix() + "/lib/libc/musl/src"
    includes = [f"-I{musl}/{name}" for name in dict.fromkeys((folder, "internal", "stdlib"))]
    options = ("-std=c17", "-O1", "-fno-builtin", "-mno-stack-arg-probe", "-ffunction-sections", "-gline-tables-only")
    tools.compile(source, Path(f"{source}.obj"), work, (*options, "-D_CRTIMP=", "-w", *includes))


def _link(tools: Toolchain, work: Path, dll: RuntimeDll, inputs: Sequence[str]) -> tuple[str, str]:
    stem = Path(dll.name).stem
    (work / f"{stem}.res").write_bytes(version_resource(dll.name, dll.description, VERSION))
    options = ["/dll", f"/entry:{dll.entry}" if dll.entry else "/noentry", f"/def:{stem}.def", "/opt:ref", "/lldmingw"]
    imports = [f"import_{name}.lib" for name in dll.imports]
    tools.link(dll.name, [*inputs, f"{stem}.res", *imports], work, options)
    return dll.name, f"{stem}.pdb"
