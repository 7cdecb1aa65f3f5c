"""``check``: the judge for callers who have a path, bytes, or a directory with the truth."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import replace

from .budget import MAX_EXPANSION
from .case import KernelReplayer, Replayer
from .demands import (
    FlagsInput,
    RequestInput,
    TruthInput,
    known_profile,
    patterns,
    request_of,
    truth_of,
    under,
)
from .inputs import DumpInput, open_source
from .judge import judge
from .model import Report


def check(
    dump: DumpInput,
    truth: TruthInput | None = None,
    request: RequestInput | None = None,
    *,
    qualifier: str | int | None = None,
    flags: FlagsInput = 0,
    profile: str | None = None,
    contract: str | None = None,
    session: str | None = None,
    select: str | Iterable[str] = (),
    skip: str | Iterable[str] = (),
    strict: bool = False,
    replay: Replayer | KernelReplayer | None = None,
    max_expansion: int = MAX_EXPANSION,
) -> Report:
    """Judge a dump by the rules of its format, and against the truth and the request if both are given.

    dump: a path, the bytes of the file, or an open ByteSource.
    truth: a directory in the truth format, or a loaded truth.
    request: a request.json, its JSON object, or a loaded request. None: the request.json of the truth directory, or
        the request that ``qualifier`` and ``flags`` name.
    qualifier, flags: instead of a request: a number, or names such as ``DEBUG_DUMP_SMALL`` or ``small``, and
        ``DEBUG_FORMAT_USER_SMALL_HANDLE_DATA`` or ``handle-data``.
    profile: the choice where documents are ambiguous. None: the request's profile, else ``portable`` for a kernel dump
        and ``modern`` for any other.
    contract: whose choices the dump follows: ``documented``, ``e15063`` or ``e29507``. None: the request's.
    session: ``live``, or ``dump`` if the debugger's target was a dump itself. None: the request's.
    select, skip: rule ids, or patterns such as ``MDMP-*``.
    strict: SHOULD rules fail the dump too; without truth, rules of grade INFERRED as well.
    replay: runs the dump in a machine of the caller's. A Replayer for a minidump, a KernelReplayer for a kernel dump.
    max_expansion: bytes that a cabinet may expand to.

    The dump inside a cabinet is judged too; ``RuleResult.inside`` names its member. A dump of one mode cannot be judged
    against a truth of the other: the outcome is NOT_A_DUMP, with the reason.

    Never raises on the content of the dump. Raises OSError for a path that cannot be opened, for a file that changes
    while it is read, and MemoryError: trouble of the host is no verdict. Raises TruthError for a truth or
    a request.json that cannot be loaded, InputError for an unknown name. Raises SelectionError for an unknown rule, or
    if only one of truth and request is given. InputError and SelectionError are ValueErrors.
    """
    with ExitStack() as stack:
        source = open_source(dump)
        if source is not dump:
            stack.enter_context(source)
        asked = request_of(request, beside=truth, qualifier=qualifier, flags=flags)
        held = truth_of(truth)
        if held is not None and held is not truth:
            stack.enter_context(held.contents)
        if profile is not None:
            known_profile(profile)
            asked = None if asked is None else replace(asked, profile=profile)
        elif asked is not None:
            profile = asked.profile
        asked = under(asked, contract, session)
        report = judge(
            source,
            held,
            asked,
            profile=profile,
            select=patterns(select),
            skip=patterns(skip),
            strict=strict,
            replay=replay,
            max_expansion=max_expansion,
        )
        if source is dump:
            source.assure_unchanged()
        if held is not None and held is truth:
            held.contents.assure_unchanged()
        return report
