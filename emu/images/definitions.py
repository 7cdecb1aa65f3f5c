"""The .def files of the systems' DLLs, and the import libraries of programs made from them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from .services import FOLDER, exported_services
from .toolchain import Toolchain

__all__ = ["C_RUNTIME", "RUNTIME", "export_definition", "program_definitions"]

RUNTIME = FOLDER / "runtime"
"""The folder of the runtime system: its further sources and its built images."""
C_RUNTIME = RUNTIME / "ucrt"
"""The folder of the sources and of the .def files of the C runtime."""
_ALIASES = "lib/libc/mingw/def-include/crt-aliases.def.in"
_UNDERSCORED = re.compile(r"ADD_UNDERSCORE\((\w+)\)")
_EQUAL = re.compile(r"(?:F\w*\()?(\w+)\s*==\s*(\w+)\)?")
_LONG_DOUBLE = "acos acosh asin asinh atan atan2 atanh cbrt ceil copysign cos cosh erf erfc exp exp2 expm1 fabs fdim"
_LONG_DOUBLE += " floor fma fmax fmin fmod frexp hypot ilogb ldexp lgamma llrint llround log log10 log1p log2 logb"
_LONG_DOUBLE += " lrint lround modf nearbyint nextafter pow remainder remquo rint round scalbln scalbn sin sinh sqrt"
_LONG_DOUBLE += " tan tanh tgamma trunc"


def export_definition(dll: str, *, runtime: bool = False) -> str:
    """The text of the .def file of `dll`. For ntdll it includes every system service.

    The .def file in `runtime` holds what the runtime system exports in addition.
    """
    name = Path(dll).with_suffix(".def").name
    files = [FOLDER / name, RUNTIME / name, C_RUNTIME / name] if runtime else [FOLDER / name]
    text = "".join(file.read_text(encoding="utf-8") for file in files if file.exists())
    if dll == "ntdll.dll":
        text += "".join(f"    {service.name}\n" for service in exported_services(runtime=runtime))
    return text


def program_definitions(tools: Toolchain) -> Iterator[tuple[str, str]]:
    """(name without extension, .def text) of every DLL that a program of the user is linked with.

    The C runtime comes first. Its other names (`strdup` for `_strdup`) are those of mingw-w64's list in the wheel.
    """
    exports = export_definition("ucrtbase.dll", runtime=True)
    yield "ucrtbase", exports + "".join(f"    {alias} == {name}\n" for alias, name in _aliases(tools, exports).items())
    names = {path.stem for folder in (FOLDER, RUNTIME) for path in folder.glob("*.def")}
    for name in ("kernel32", "ntdll", *sorted(names - {"kernel32", "ntdll", "alpha", "crash", "bcryptprimitives"})):
        yield name, export_definition(f"{name}.dll", runtime=True)


def _aliases(tools: Toolchain, exports: str) -> dict[str, str]:
    exported = {line.split()[0] for line in exports.splitlines() if line.startswith("    ") and ";" not in line}
    text = (tools.root / _ALIASES).read_text(encoding="utf-8")
    pairs = [(name, "_" + name) for name in _UNDERSCORED.findall(text)] + _EQUAL.findall(text)
    pairs += [(f"{name}l", name) for name in _LONG_DOUBLE.split()]
    pairs += [("strtold", "strtod"), ("_setjmp", "__intrinsic_setjmp"), ("_setjmpex", "__intrinsic_setjmpex")]
    return {alias: name for alias, name in pairs if name in exported and alias not in exported}
