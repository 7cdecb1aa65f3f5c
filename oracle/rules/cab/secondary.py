"""The images and symbols that a cabinet holds beside the dump, against truth and request."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from ...case import CabinetCase
from ...model import Fault, Grade, Level, Source
from ...readers.cab_facts import Member
from ...readers.images import ImageIdentity, image_identity, pdb_guid
from ...rule import Checks, bad, cab_rule, ok
from ...truth.process import ModuleTruth

# DbgEng.h DEBUG_FORMAT_CAB_SECONDARY_ALL_IMAGES, DEBUG_FORMAT_CAB_SECONDARY_FILES; spec user-mode 1.5
_ALL_IMAGES, _SECONDARY = 0x1000_0000, 0x4000_0000
_FORMAT_FLAGS = Source("learn.microsoft.com DEBUG_FORMAT_XXX; spec user-mode 1.5", Grade.DOCUMENTED)
_RSDS: Final = b"RSDS"


@dataclass(frozen=True, slots=True)
class _Image:
    """A module of the target, by what tells its file from others."""

    name: str
    base: int
    size: int
    time_date_stamp: int
    guid: bytes | None
    """Of its program database; None where it has none, or the truth does not tell."""
    symbols: str = ""
    """The program database's path, where there is a GUID."""

    @property
    def identity(self) -> ImageIdentity:
        return ImageIdentity(self.time_date_stamp, self.size)

    def holds(self, address: int) -> bool:
        return self.base <= address < self.base + self.size


def _images(case: CabinetCase) -> list[_Image]:
    truth = case.truth
    assert truth is not None
    if truth.mode == "kernel":
        return [_Image(item.full_name, item.base, item.size, item.time_date_stamp, None) for item in truth.drivers]
    return [
        _Image(item.name, item.base, item.size, item.time_date_stamp, _guid(item), _symbols(item))
        for item in truth.modules
    ]


def _guid(module: ModuleTruth) -> bytes | None:
    """Of an RSDS record: signature, GUID, age, path (spec user-mode 3.6)."""
    view = module.code_view
    return view[4:20] if view is not None and view.startswith(_RSDS) and len(view) >= 24 else None


def _symbols(module: ModuleTruth) -> str:
    view = module.code_view
    return "" if view is None or _guid(module) is None else view[24:].split(b"\0")[0].decode("utf-8", "replace")


def _used(case: CabinetCase) -> list[_Image]:
    """The images that the session needed: the program's or the kernel's, and the one in which the event happened."""
    images, truth = _images(case), case.truth
    assert truth is not None
    places: tuple[int, ...] = tuple(image.base for image in images[:1])
    if truth.mode == "kernel":
        event = truth.exception
        places = (truth.symbols.kernel_base, truth.crashed.context.ip, *(() if event is None else (event.address,)))
    elif truth.exception is not None:
        places = (*places, truth.exception.context.ip, truth.exception.address)
    return [image for image in images if image.base in places or any(map(image.holds, places))]


def _others(case: CabinetCase) -> Iterator[tuple[Member, ImageIdentity | bytes | None]]:
    """Every member but the dump, and what it is: an image, a program database (its GUID), or something else.

    What the cabinet does not let one read is no more than a name.
    """
    dump = [member for member, _ in case.dump.dumps()][:1]
    for member in case.dump.members:
        if member not in dump and member.source is not None:
            yield member, image_identity(member.source) or pdb_guid(member.source)


def _asks(case: CabinetCase) -> bool:
    return case.truth is not None and case.request is not None


def _asks_for_secondary(case: CabinetCase) -> bool:
    return _asks(case) and case.request is not None and bool(case.request.format_flags_value & _SECONDARY)


def _files(case: CabinetCase) -> frozenset[int] | None:
    """Bases of the images whose files the writer can have; None where the truth does not tell."""
    known = None if case.truth is None else case.truth.image_files
    return None if known is None else frozenset(known)


def _asks_for_used(case: CabinetCase) -> bool:
    """CAB_SECONDARY_FILES alone: without CAB_SECONDARY_ALL_IMAGES."""
    asked = 0 if case.request is None else case.request.format_flags_value
    return _asks_for_secondary(case) and not asked & _ALL_IMAGES


@cab_rule(
    "CAB-SECONDARY-001",
    "Without CAB_SECONDARY_FILES the dump is the only member",
    Level.MUST,
    _FORMAT_FLAGS,
    needs=("members", "data"),
    applies=lambda case: _asks(case) and not _asks_for_secondary(case),
)
def dump_alone(case: CabinetCase) -> Checks:
    """Images are others' work: nobody sends them along unasked. CAB_SECONDARY_ALL_IMAGES alone asks for nothing."""
    for member, _ in _others(case):
        yield bad(member.name, "no member beside the dump", "one", member.record.span, fault=Fault.FORBIDDEN)
    if case.dump.dumps():
        yield ok("dump")


@cab_rule(
    "CAB-SECONDARY-002",
    "Every other member is an image or a program database of the target",
    Level.MUST,
    _FORMAT_FLAGS,
    Source("winnt.h IMAGE_NT_HEADERS: TimeDateStamp, SizeOfImage; the GUID of RSDS; spec user-mode 3.6",
           Grade.DOCUMENTED),
    needs=("members", "data"),
    applies=_asks_for_secondary,
)  # fmt: skip
def of_the_target(case: CabinetCase) -> Checks:
    """Told by time stamp and size, as symbol servers file images, and by the GUID in the module's CodeView record. A
    file of the right name and another build misleads more than none.
    """
    yield from _among(case, _images(case), "an image or program database of a module of the target")


def _among(case: CabinetCase, images: list[_Image], expected: str) -> Checks:
    """Every other member belongs to one of ``images``."""
    identities = {image.identity for image in images}
    guids = {image.guid for image in images}
    # A truth that does not tell the program databases of its modules cannot refuse one.
    untold = case.truth is not None and case.truth.mode == "kernel"
    for member, found in _others(case):
        if found in identities or (isinstance(found, bytes) and (untold or found in guids)):
            yield ok(member.name)
        else:
            shown = (
                "neither an image nor a program database"
                if found is None
                else f"GUID bytes {found.hex()}"
                if isinstance(found, bytes)
                else f"TimeDateStamp {found.time_date_stamp:#x}, SizeOfImage {found.size_of_image:#x}"
            )
            yield bad(member.name, expected, shown, member.record.span, fault=Fault.FORBIDDEN)


@cab_rule(
    "CAB-SECONDARY-003",
    "Without CAB_SECONDARY_ALL_IMAGES there are only files that the session used",
    Level.MUST,
    _FORMAT_FLAGS,
    Source("which files a session used is this project's decision: program, and module of the exception",
           Grade.INFERRED),
    needs=("members", "data"),
    applies=_asks_for_used,
)  # fmt: skip
def used(case: CabinetCase) -> Checks:
    """The program's image, that of the module in which the exception happened, and their program databases."""
    # Which files a session with a machine used nobody knows: any of them.
    kernel = case.truth is not None and case.truth.mode == "kernel"
    images = _images(case) if kernel else _used(case)
    yield from _among(case, images, "a file of the program, or of the module of the exception")


@cab_rule(
    "CAB-SECONDARY-004",
    "Every image that the request asks for is there",
    Level.SHOULD,
    _FORMAT_FLAGS,
    needs=("members", "data"),
    applies=lambda case: _asks_for_secondary(case) and _files(case) is None,
)
def images_present(case: CabinetCase) -> Checks:
    """With CAB_SECONDARY_ALL_IMAGES those of all modules, else those that the session used. A writer may lack the file
    of a module, and then says so; where the truth does not tell which it has, this is no more than advice.
    """
    yield from _present(case, _asked_for(case))


@cab_rule(
    "CAB-SECONDARY-005",
    "Every image that the request asks for and whose file there is, is there",
    Level.MUST,
    _FORMAT_FLAGS,
    needs=("members", "data"),
    applies=lambda case: _asks_for_secondary(case) and _files(case) is not None,
)
def images_at_hand(case: CabinetCase) -> Checks:
    """The same where the truth tells which image files the writer can have: who has the file and leaves it out sends a
    dump that nobody can read without looking for the right build.
    """
    files = _files(case) or frozenset()
    yield from _present(case, [image for image in _asked_for(case) if image.base in files])


def _asked_for(case: CabinetCase) -> list[_Image]:
    return _used(case) if _asks_for_used(case) else _images(case)


def _present(case: CabinetCase, images: list[_Image]) -> Checks:
    """Each of ``images`` is a member."""
    found = {identity for _, identity in _others(case)}
    for image in images:
        if image.identity in found:
            yield ok(image.name)
        else:
            yield bad(f"image of {image.name}", "a member", "none", fault=Fault.MISSING)


@cab_rule(
    "CAB-SECONDARY-006",
    "A file of the target has the name that the target knows it by",
    Level.SHOULD,
    Source("debuggers look for a module's files by their base names, as for the dump (spec user-mode 1.8)",
           Grade.INFERRED),
    needs=("members", "data"),
    applies=_asks_for_secondary,
)  # fmt: skip
def named_as_in_the_target(case: CabinetCase) -> Checks:
    """The last part of the module's path, or of the path in its CodeView record. Of what belongs to no module, and of
    a program database where the truth does not tell whose it is, nothing is asked.
    """
    images = _images(case)
    for member, found in _others(case):
        named = {
            _base_name(image.name if found == image.identity else image.symbols)
            for image in images
            if found is not None and found in (image.identity, image.guid)
        }
        if not named:
            continue
        if member.name.casefold() in {name.casefold() for name in named}:
            yield ok(member.name)
        else:
            yield bad(f"name of {' or '.join(sorted(named))}", tuple(sorted(named)), member.name, member.name_span)


def _base_name(path: str) -> str:
    return re.split(r"[\\/]", path)[-1]
