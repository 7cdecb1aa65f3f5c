"""The wheel, installed, away from the checkout: every module imports, every data file is there, the command runs.

Usage: python smoke.py CHECKOUT WHEEL [--oracle-alone]

With ``--oracle-alone`` the environment has the wheel and none of its dependencies: the judge must work all the same.
"""

from __future__ import annotations

import importlib
import importlib.util
import pkgutil
import subprocess
import sys
import sysconfig
import tempfile
import zipfile
from pathlib import Path

TOP = ("emu", "oracle", "fixtures")
# Of the extras: not installed with the wheel.
OPTIONAL = {"hypothesis", "kdmp_parser", "minidump", "pytest", "udmp_parser", "volatility3", "ziglang"}


def compare_with_checkout(checkout: Path, wheel: Path) -> int:
    """Every file of the four folders is in the wheel, byte for byte, and nothing else but the metadata is."""
    expected = {
        f"dumptruth/{path.relative_to(checkout).as_posix()}": path
        for top in ("docs", *TOP)
        for path in (checkout / top).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    with zipfile.ZipFile(wheel) as archive:
        held = {name for name in archive.namelist() if ".dist-info/" not in name}
        if held != set(expected):
            raise SystemExit(f"wheel and checkout differ in {sorted(held ^ set(expected))}")
        different = [name for name, path in expected.items() if archive.read(name) != path.read_bytes()]
    if different:
        raise SystemExit(f"the wheel holds other bytes than the checkout in {different}")
    return len(expected)


def import_everything(tops: tuple[str, ...]) -> int:
    """Import each module; one that needs an extra may say so, and by that name only."""
    count = 0
    for top in tops:
        package = importlib.import_module(f"dumptruth.{top}")
        for module in pkgutil.walk_packages(package.__path__, f"dumptruth.{top}."):
            try:
                importlib.import_module(module.name)
            except ModuleNotFoundError as error:
                if (error.name or "").partition(".")[0] not in OPTIONAL:
                    raise
            count += 1
    return count


def judge_alone() -> None:
    for name in ("unicorn", "lief", "typer", "rich"):
        if importlib.util.find_spec(name) is not None:
            raise SystemExit(f"{name} is installed: this environment proves nothing about the oracle alone")
    print(f"oracle alone: {import_everything(('oracle',))} modules import with no dependency installed")
    oracle = importlib.import_module("dumptruth.oracle")
    report = oracle.check(oracle.ByteSource(b"MDMP\x93\xa7\0\0"))
    if report.outcome != "NON_CONFORMANT":
        raise SystemExit(f"a dump cut after eight bytes is judged {report.outcome}")
    print(f"oracle alone: {len(oracle.all_rules())} rules; a dump cut after eight bytes is {report.outcome}")


def main() -> None:
    checkout, wheel = Path(sys.argv[1]).resolve(), Path(sys.argv[2]).resolve()
    if checkout in Path.cwd().resolve().parents or checkout == Path.cwd().resolve():
        raise SystemExit("run this outside the checkout, or the checkout is what gets imported")
    if "--oracle-alone" in sys.argv[3:]:
        judge_alone()
        return
    print(f"wheel: {compare_with_checkout(checkout, wheel)} files, the same as the checkout's")
    print(f"wheel: {import_everything(TOP)} modules import")
    command = Path(sysconfig.get_path("scripts")) / ("dumptruth.exe" if sys.platform == "win32" else "dumptruth")
    subprocess.run([command, "--version"], check=True)
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([command, "demo", "--out", folder], check=True)
        dumps = sorted(Path(folder).rglob("*.dmp"))
    if not dumps:
        raise SystemExit("the demo left no dump in the folder it was given")
    print(f"wheel: the demo wrote {len(dumps)} dumps, all conformant")


if __name__ == "__main__":
    main()
