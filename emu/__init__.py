"""The emulated debug target and the dump writer: run a program or a machine until it crashes, and dump it.

The page docs/api.md says which names are stable. A name is imported when it is first used, so that importing this
package alone loads neither Unicorn nor LIEF.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .debugger.client import DebugClient, DumpResult, DumpWriteError
    from .errors import DumptruthError
    from .images.build import compile_program
    from .images.toolchain import ImageBuildError
    from .limits import LimitError, LimitReached, Limits
    from .names import UnknownNameError
    from .scenarios.kernel import ConfigurationError, NoBugCheck, RamSizeError, run_driver
    from .scenarios.process import (
        ExitedNormally,
        ExpectationError,
        ImageError,
        RunError,
        ScenarioError,
        run_program,
    )
    from .scenarios.run import run as run_scenario
    from .snapshot.kernel import KernelSnapshot
    from .snapshot.process import ProcessSnapshot
    from .truth.store import load_snapshot as load_truth
    from .truth.store import save as save_truth

_HOMES = {
    "ConfigurationError": ("scenarios.kernel", "ConfigurationError"),
    "DebugClient": ("debugger.client", "DebugClient"),
    "DumpResult": ("debugger.client", "DumpResult"),
    "DumpWriteError": ("debugger.client", "DumpWriteError"),
    "DumptruthError": ("errors", "DumptruthError"),
    "ExitedNormally": ("scenarios.process", "ExitedNormally"),
    "ExpectationError": ("scenarios.process", "ExpectationError"),
    "ImageBuildError": ("images.toolchain", "ImageBuildError"),
    "ImageError": ("scenarios.process", "ImageError"),
    "KernelSnapshot": ("snapshot.kernel", "KernelSnapshot"),
    "LimitError": ("limits", "LimitError"),
    "LimitReached": ("limits", "LimitReached"),
    "Limits": ("limits", "Limits"),
    "NoBugCheck": ("scenarios.kernel", "NoBugCheck"),
    "ProcessSnapshot": ("snapshot.process", "ProcessSnapshot"),
    "RamSizeError": ("scenarios.kernel", "RamSizeError"),
    "RunError": ("scenarios.process", "RunError"),
    "ScenarioError": ("scenarios.process", "ScenarioError"),
    "UnknownNameError": ("names", "UnknownNameError"),
    "compile_program": ("images.build", "compile_program"),
    "load_truth": ("truth.store", "load_snapshot"),
    "run_driver": ("scenarios.kernel", "run_driver"),
    "run_program": ("scenarios.process", "run_program"),
    "run_scenario": ("scenarios.run", "run"),
    "save_truth": ("truth.store", "save"),
}
"""Public name -> the module that has it, and its name there."""

__all__ = [
    "ConfigurationError",
    "DebugClient",
    "DumpResult",
    "DumpWriteError",
    "DumptruthError",
    "ExitedNormally",
    "ExpectationError",
    "ImageBuildError",
    "ImageError",
    "KernelSnapshot",
    "LimitError",
    "LimitReached",
    "Limits",
    "NoBugCheck",
    "ProcessSnapshot",
    "RamSizeError",
    "RunError",
    "ScenarioError",
    "UnknownNameError",
    "compile_program",
    "load_truth",
    "run_driver",
    "run_program",
    "run_scenario",
    "save_truth",
]


def __getattr__(name: str) -> Any:
    try:
        module, own_name = _HOMES[name]
    except KeyError:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}") from None
    return getattr(import_module(f".{module}", __name__), own_name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES])
