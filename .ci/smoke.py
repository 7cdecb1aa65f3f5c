"""Tests the installed wheel away from the checkout: every module imports, every data file is there, the command runs.

Usage: python smoke.py CHECKOUT WHEEL [--oracle-alone]

With ``--oracle-alone`` the environment has the wheel without its dependencies, and only the oracle is tested.
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
ITSELF = "fixtures/app/dumptruth/"
"""The folder of the package ``dumptruth`` itself."""
# Packages of the extras, which are not installed with the wheel.
OPTIONAL = {"hypothesis", "kdmp_parser", "minidump", "pytest", "udmp_parser", "volatility3", "ziglang"}


def compare_with_checkout(checkout: Path, wheel: Path) -> int:
    """Compare the wheel's files, but for the metadata, with those of the four folders; return how many there are."""
    expected = {
        f"dumptruth/{path.relative_to(checkout).as_posix().removeprefix(ITSELF)}": path
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
    """Import each module and return how many there are. Only a package of an extra may be missing."""
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


def run_version(command: list[str | Path]) -> str:
    return subprocess.run([*command, "--version"], check=True, capture_output=True, text=True).stdout.strip()


def judge_alone() -> None:
    """Judge a truncated dump where no dependency is installed."""
    for name in ("unicorn", "lief", "typer", "rich"):
        if importlib.util.find_spec(name) is not None:
            raise SystemExit(f"{name} is installed: expected an environment without the wheel's dependencies")
    print(f"oracle alone: {import_everything(('oracle',))} modules import with no dependency installed")
    oracle = importlib.import_module("dumptruth.oracle")
    report = oracle.check(oracle.ByteSource(b"MDMP\x93\xa7\0\0"))
    if report.outcome != "NON_CONFORMANT":
        raise SystemExit(f"a dump truncated to 8 bytes is {report.outcome}, expected NON_CONFORMANT")
    print(f"oracle alone: {len(oracle.all_rules())} rules; a dump truncated to 8 bytes is {report.outcome}")


def main() -> None:
    checkout, wheel = Path(sys.argv[1]).resolve(), Path(sys.argv[2]).resolve()
    if checkout in Path.cwd().resolve().parents or checkout == Path.cwd().resolve():
        raise SystemExit("run this outside the checkout, where Python would import the checkout's folders")
    if "--oracle-alone" in sys.argv[3:]:
        judge_alone()
        return
    print(f"wheel: {compare_with_checkout(checkout, wheel)} files, the same as the checkout's")
    print(f"wheel: {import_everything(TOP)} modules import")
    command = Path(sysconfig.get_path("scripts")) / ("dumptruth.exe" if sys.platform == "win32" else "dumptruth")
    said = [run_version([command]), run_version([sys.executable, "-m", "dumptruth"])]
    said.append(f"dumptruth {importlib.import_module('dumptruth').__version__}")
    if len(set(said)) != 1:
        raise SystemExit(f"the command, `python -m dumptruth` and __version__ differ: {said}")
    print(f"wheel: {said[0]}")
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([command, "demo", "--out", folder], check=True)
        dumps = sorted(Path(folder).rglob("*.dmp"))
    if not dumps:
        raise SystemExit("the demo wrote no dump into the folder of --out")
    print(f"wheel: the demo wrote {len(dumps)} dumps, all conformant")


if __name__ == "__main__":
    main()
