"""The base classes of the errors whose text a user reads. It imports nothing of this project."""

from __future__ import annotations

import copyreg


class DumptruthError(Exception):
    """An error whose text is one line written for the user."""

    keeps_lines = False
    """True for a class whose text has several lines, such as a compiler's messages: the command prints them as is."""

    def __reduce__(self) -> tuple[object, ...]:
        """Pickle text and attributes. The constructors of subclasses take other arguments than the text."""
        return copyreg.__newobj__, (type(self), *self.args), self.__dict__  # type: ignore[attr-defined]


class RunError(DumptruthError):
    """A run of a target cannot continue, for a reason other than a crash. The message is one line with the reason."""
