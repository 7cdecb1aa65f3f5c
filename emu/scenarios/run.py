"""Runs a named scenario of either mode."""

from __future__ import annotations

from ..limits import DEFAULTS, Limits
from ..snapshot.kernel import KernelSnapshot
from ..snapshot.process import ProcessSnapshot
from .kernel import KERNEL_SCENARIOS, run_kernel_scenario
from .process import SCENARIOS, STACK_SCENARIOS, ScenarioError, run_scenario


def run(
    name: str,
    *,
    ram: str | int = "16M",
    build: int = 26100,
    processors: int | None = None,
    touched: str | int = 0,
    limits: Limits = DEFAULTS,
    stacks: bool = False,
) -> ProcessSnapshot | KernelSnapshot:
    """Run a scenario until it crashes, and return the stopped target.

    ``dumptruth scenarios`` lists the names. The other parameters describe the machine of a kernel-mode scenario;
    user-mode scenarios ignore them. ``ram`` and ``touched`` are sizes in bytes or texts such as ``64M``; ``build`` is
    9600, 19041 or 26100; if ``processors`` is None, the scenario decides. ``stacks``: record the call stacks.

    Raises ScenarioError for an unknown name, LimitReached, ConfigurationError and RamSizeError for invalid parameters,
    ExpectationError if the target ends with another event than the scenario declares.
    """
    if any(scenario.name == name for scenario in KERNEL_SCENARIOS):
        return run_kernel_scenario(name, ram, build, processors, touched, limits=limits, stacks=stacks)
    if any(scenario.name == name for scenario in (*SCENARIOS, *STACK_SCENARIOS)):
        return run_scenario(name, limits, stacks=stacks)
    known = ", ".join(scenario.name for scenario in (*SCENARIOS, *STACK_SCENARIOS, *KERNEL_SCENARIOS))
    raise ScenarioError(f"no scenario is called {name!r}; there are {known}")
