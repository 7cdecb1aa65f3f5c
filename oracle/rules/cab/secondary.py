"""Judges the images and symbols of a cabinet against truth and request."""

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
from ..asserts import of_a_dump

_ALL_IMAGES, _SECONDARY = 0x1000_0000, 0x4000_0000
"""DEBUG_FORMAT_CAB_SECONDARY_ALL_IMAGES and DEBUG_FORMAT_CAB_SECONDARY_FILES
(docs/format/write-dump-file.md#format-flags-of-every-dump)."""
_RSDS: Final = b"RSDS"


@dataclass(frozen=True, slots=True)
class _Image:
    """A module of the target, with what identifies its files."""

    name: str
    base: int
    size: int
    time_date_stamp: int
    guid: bytes | None
    """GUID of the program database; None if there is none, or if the truth does not hold it."""
    symbols: str = ""
    """Path of the program database; empty without a GUID."""

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
    """The GUID of an RSDS record (docs/format/minidump-modules.md#codeview-record)."""
    view = module.code_view
    return view[4:20] if view is not None and view.startswith(_RSDS) and len(view) >= 24 else None


def _symbols(module: ModuleTruth) -> str:
    view = module.code_view
    return "" if view is None or _guid(module) is None else view[24:].split(b"\0")[0].decode("utf-8", "replace")


def _used(case: CabinetCase) -> list[_Image]:
    """The image of the program or the kernel, and those that the event's addresses lie in."""
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
    """Yield every readable member but the dump, with its image identity, the GUID of its program database, or None."""
    dump = [member for member, _ in case.dump.dumps()][:1]
    for member in case.dump.members:
        if member not in dump and member.source is not None:
            yield member, image_identity(member.source) or pdb_guid(member.source)


def _asks(case: CabinetCase) -> bool:
    return case.truth is not None and case.request is not None


def _asks_for_secondary(case: CabinetCase) -> bool:
    return _asks(case) and case.request is not None and bool(case.request.format_flags_value & _SECONDARY)


def _files(case: CabinetCase) -> frozenset[int] | None:
    """Bases of the images whose files are available; None if the truth does not list them."""
    known = None if case.truth is None else case.truth.image_files
    return None if known is None else frozenset(known)


def _asks_for_used(case: CabinetCase) -> bool:
    """Whether the request has CAB_SECONDARY_FILES without CAB_SECONDARY_ALL_IMAGES."""
    asked = 0 if case.request is None else case.request.format_flags_value
    return _asks_for_secondary(case) and not asked & _ALL_IMAGES


@cab_rule(
    "CAB-SECONDARY-001",
    "Without CAB_SECONDARY_FILES the dump is the only member",
    Level.MUST,
    Source("docs/format/cabinet.md#secondary-files", Grade.WITNESSED, versions=("15063", "29507")),
    needs=("members", "data"),
    applies=lambda case: _asks(case) and not _asks_for_secondary(case),
)
def dump_alone(case: CabinetCase) -> Checks:
    """The user did not ask to send images. CAB_SECONDARY_ALL_IMAGES alone has no effect."""
    for member, _ in _others(case):
        yield bad(member.name, "no member besides the dump", "one", member.record.span, fault=Fault.FORBIDDEN)
    if case.dump.dumps():
        yield ok("dump")


@cab_rule(
    "CAB-SECONDARY-002",
    "Every other member is an image or a program database of the target",
    Level.MUST,
    Source("docs/format/cabinet.md#secondary-files", Grade.DOCUMENTED),
    Source("docs/format/minidump-modules.md#codeview-record", Grade.DOCUMENTED),
    needs=("members", "data"),
    applies=_asks_for_secondary,
)
def of_the_target(case: CabinetCase) -> Checks:
    """An image is identified by TimeDateStamp and SizeOfImage, as symbol servers do; a program database by the GUID in
    the module's CodeView record. A file of another build misleads more than no file.
    """
    yield from _among(case, _images(case), "an image or program database of a module of the target")


def _among(case: CabinetCase, images: list[_Image], expected: str) -> Checks:
    """Every other member belongs to one of ``images``."""
    identities = {image.identity for image in images}
    guids = {image.guid for image in images}
    # A kernel truth holds no GUIDs, so any program database is accepted.
    any_guid = case.truth is not None and case.truth.mode == "kernel"
    for member, found in _others(case):
        if found in identities or (isinstance(found, bytes) and (any_guid or found in guids)):
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
    "Without CAB_SECONDARY_ALL_IMAGES the cabinet holds only files of modules that the session used",
    Level.MUST,
    Source("docs/format/cabinet.md#secondary-files", Grade.DOCUMENTED),
    Source("docs/format/cabinet.md#secondary-files", Grade.INFERRED),
    needs=("members", "data"),
    applies=_asks_for_used,
)
def used(case: CabinetCase) -> Checks:
    """The session used the program and the module of the exception. Their program databases count as used too. In a
    kernel session every module counts as used.
    """
    kernel = case.truth is not None and case.truth.mode == "kernel"
    images = _images(case) if kernel else _used(case)
    yield from _among(case, images, "a file of the program or of the module of the exception")


@cab_rule(
    "CAB-SECONDARY-004",
    "Every requested image is a member",
    Level.SHOULD,
    Source("docs/format/cabinet.md#secondary-files", Grade.WITNESSED, versions=("15063", "29507")),
    Source("docs/format/cabinet.md#secondary-files", Grade.DOCUMENTED),
    needs=("members", "data"),
    applies=lambda case: _demands_images(case) and _files(case) is None,
)
def images_present(case: CabinetCase) -> Checks:
    """With CAB_SECONDARY_ALL_IMAGES the request covers the images of all modules. Without it the engines add files only
    once symbols are loaded. This rule is for truths that do not list the available image files: the writer may lack
    one.
    """
    yield from _present(case, _images(case))


@cab_rule(
    "CAB-SECONDARY-005",
    "Every requested image is a member if its file is available",
    Level.MUST,
    Source("docs/format/cabinet.md#secondary-files", Grade.WITNESSED, versions=("15063", "29507")),
    Source("docs/format/cabinet.md#secondary-files", Grade.DOCUMENTED),
    needs=("members", "data"),
    applies=lambda case: _demands_images(case) and _files(case) is not None,
)
def images_at_hand(case: CabinetCase) -> Checks:
    """This rule is for truths that list the available image files, and requests with CAB_SECONDARY_ALL_IMAGES. Without
    the image, a reader has to find the right build elsewhere. If the target is a dump, the engines find no files.
    """
    files = _files(case) or frozenset()
    yield from _present(case, [image for image in _images(case) if image.base in files])


def _demands_images(case: CabinetCase) -> bool:
    """Whether the request has CAB_SECONDARY_ALL_IMAGES, and the target is no dump, of which no file is found."""
    return _asks_for_secondary(case) and not of_a_dump(case) and not _asks_for_used(case)


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
    "Images and program databases have the base names that they have in the target",
    Level.SHOULD,
    Source("docs/format/cabinet.md#secondary-files", Grade.INFERRED),
    needs=("members", "data"),
    applies=_asks_for_secondary,
)
def named_as_in_the_target(case: CabinetCase) -> Checks:
    """Debuggers look for images and program databases by base name: the last part of the module's path, or of the path
    in its CodeView record. Files of no known module are not judged.
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
