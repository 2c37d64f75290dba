"""Coverage-guided fuzzing: what must hold for any bytes at all, one invariant per target.

A target is a module with `check(data)`, which raises AssertionError when its invariant breaks, and
`MAX_BYTES`, the longest input worth making. `fuzz/run.py` lets atheris look for such inputs; what
it once found lies in `fuzz/corpus/TARGET` and is an ordinary test ever after.
"""

from __future__ import annotations

import functools
import importlib
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

HERE = Path(__file__).parent
CORPUS = HERE / "corpus"

TARGETS = ("message_parser", "frame_codecs", "http2_session", "line_protocol", "configuration")
"""The modules of this folder that are targets, in the order they run."""


def load(target: str) -> ModuleType:
    """The module of a target."""
    return importlib.import_module(f"{__name__}.{target}")


def corpus(target: str) -> list[Path]:
    """The files of a target's corpus."""
    return sorted((CORPUS / target).iterdir())


def invariant(check: Callable[[bytes], None]) -> Callable[[bytes], None]:
    """Make whatever else a check raises an AssertionError, too: no input may cause it."""

    @functools.wraps(check)
    def checked(data: bytes) -> None:
        try:
            check(data)
        except AssertionError:
            raise
        except Exception as error:
            raise AssertionError(f"a {type(error).__name__}, see above") from error

    return checked
