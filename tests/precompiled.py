"""Precompiles the Windows headers once a worker: they are nearly all that the compiler reads of a small C file.

For tests that run what they compile. The tests of the compiler itself compile as a user does.
"""

from __future__ import annotations

import atexit
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from dumptruth.emu.images.toolchain import Toolchain

HEADERS = "#define WIN32_LEAN_AND_MEAN\n#include <windows.h>\n#include <winternl.h>\n#include <string.h>\n"
"""What programs include. A driver's headers are an option of its compiler."""


_made: dict[tuple[str, ...], Path] = {}
"""The precompiled header for each list of options."""


def _precompile(program: Path, options: tuple[str, ...]) -> Path:
    folder = Path(tempfile.mkdtemp(prefix="dumptruth-headers-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    (folder / "all.h").write_text("" if "-include" in options else HEADERS, encoding="utf-8")
    command = [str(program), *options, "-x", "c-header", "-o", "all.pch", "all.h"]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
    return folder / "all.pch"


@pytest.fixture(scope="module")
def precompiled_headers() -> Iterator[None]:
    """A C file starts with the headers of its kind, which were compiled with the same options."""
    plain = Toolchain._run

    def run(self: Toolchain, arguments: list[str], folder: Path) -> None:
        if arguments[0] == "clang" and arguments[-1].endswith(".c"):
            name = next(index for index, word in enumerate(arguments) if word.startswith("-object-file-name="))
            options = tuple(arguments[: name - 1] + arguments[name + 1 : -4])
            if options not in _made:
                _made[options] = _precompile(self.program, options)
            arguments = [*arguments[:-4], "-include-pch", str(_made[options]), *arguments[-4:]]
        plain(self, arguments, folder)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Toolchain, "_run", run)
        yield
