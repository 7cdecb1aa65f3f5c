"""What an entitlement grants a hand-made target: spans of a clause, duties of addresses."""

from __future__ import annotations

from dumptruth.oracle.entitlement.user import Entitlement
from dumptruth.oracle.truth.process import ProcessTruth, RequestTruth

from .small_target import SMALL, request

NEW, OLD = "e29507", "e15063"


def spans(truth: ProcessTruth, asked: RequestTruth, clause: str) -> list[tuple[int, int]]:
    grant = Entitlement(truth, asked).grant(clause)
    assert grant is not None
    return list(grant.union)


def duties(truth: ProcessTruth, asked: RequestTruth, *addresses: int) -> list[str]:
    entitled = Entitlement(truth, asked)
    return [str(entitled.byte(address)[0]) for address in addresses]


def by(contract: str, flags: int = 0, session: str = "live") -> RequestTruth:
    return request(SMALL, flags, contract=contract, session=session)
