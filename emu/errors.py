"""The base class of the errors whose text a user reads. It imports nothing."""


class DumptruthError(Exception):
    """An error whose text is one line written for the user."""

    keeps_lines = False
    """True for a class whose text has several lines, such as a compiler's messages: the command prints them as is."""
