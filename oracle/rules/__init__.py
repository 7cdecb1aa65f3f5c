"""The rules, one folder an area. ``register`` imports those of one kind of file, since no file needs all of them."""

from functools import cache
from importlib import import_module
from pkgutil import iter_modules
from typing import Final

from ..readers.identify import CABINET, KERNEL_DUMP, MINIDUMP, USERDUMP

FILE: Final = "file"
"""The kind of the rules that judge the file itself."""
_FOLDERS: Final = {
    FILE: ("file",),
    MINIDUMP: ("minidump", "minidump_truth"),
    KERNEL_DUMP: ("kernel",),
    USERDUMP: ("userdump",),
    CABINET: ("cab",),
}
KINDS: Final = tuple(_FOLDERS)
"""Every ``Rule.kind``."""


@cache
def register(kind: str) -> None:
    """Import the rules of one kind, one of ``KINDS``. A module registers its rules when it is imported."""
    for folder in _FOLDERS[kind]:
        package = import_module(f".{folder}", __name__)
        for module in iter_modules(package.__path__):
            import_module(f".{module.name}", package.__name__)
