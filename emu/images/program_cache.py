"""Keeps compiled programs of the user in the user's cache folder, by the content of all that they are made from.

A program is kept if all that it includes between quotes lies in its own folder. Trouble with the folder is no error:
the program is compiled again.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

__all__ = ["kept"]

KEPT = 64
"""The most programs that are kept. The oldest goes first."""
_INCLUDE = re.compile(rb'^[ \t]*#[ \t]*include[ \t]*("[^"\n]*"|<[^>\n]*>|[^\n]*)', re.MULTILINE)
_OTHER_FILES = re.compile(rb"#[ \t]*(embed|include_next)|incbin|__has_include|__TIME|__DATE__")


def _folder() -> Path:
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA")
        return (Path(base) if base else Path.home() / "AppData" / "Local") / "dumptruth" / "programs"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "dumptruth" / "programs"
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "dumptruth" / "programs"


def kept(
    source: Path, ingredients: Iterable[bytes], files: tuple[str, ...], out_dir: Path, make: Callable[[], object]
) -> None:
    """Put ``files`` into ``out_dir``: from the cache, or by ``make``, and then into the cache."""
    key = _key(source, ingredients)
    if key is None:
        make()
        return
    try:
        entry = _folder() / key
        found = {file: (entry / file).read_bytes() for file in files}
    except (OSError, RuntimeError):
        make()
        _keep(key, files, out_dir)
        return
    out_dir.mkdir(parents=True, exist_ok=True)
    for file, data in found.items():
        (out_dir / file).write_bytes(data)


def _key(source: Path, ingredients: Iterable[bytes]) -> str | None:
    """None if the program may depend on files that are not looked at."""
    texts = {source.name: source.read_bytes()}
    waiting = [source.name]
    while waiting:
        text = texts[waiting.pop()]
        if _OTHER_FILES.search(text):
            return None
        for name in _INCLUDE.findall(text):
            if name.startswith(b"<"):
                continue
            header = name[1:-1].decode("utf-8", "replace")
            path = source.parent / header
            if not name.startswith(b'"') or Path(header).name != header or not path.is_file():
                return None
            if header not in texts:
                texts[header] = path.read_bytes()
                waiting.append(header)
    try:
        parts = [version("ziglang").encode()]
    except PackageNotFoundError:
        return None
    for name, text in sorted(texts.items()):
        parts += [name.encode("utf-8", "surrogateescape"), text]
    digest = hashlib.sha256()
    for part in (*parts, *ingredients):
        digest.update(len(part).to_bytes(8, "little") + part)
    return digest.hexdigest()


def _keep(key: str, files: tuple[str, ...], out_dir: Path) -> None:
    try:
        folder = _folder()
        folder.mkdir(parents=True, exist_ok=True)
        made = Path(tempfile.mkdtemp(dir=folder, prefix="new-"))
        try:
            for file in files:
                shutil.copyfile(out_dir / file, made / file)
            made.rename(folder / key)
        except OSError:
            shutil.rmtree(made, ignore_errors=True)
        entries = sorted(folder.iterdir(), key=lambda one: one.stat().st_mtime)
        for old in entries[:-KEPT]:
            shutil.rmtree(old, ignore_errors=True)
    except (OSError, RuntimeError):  # no home folder, or one that cannot be written
        return
