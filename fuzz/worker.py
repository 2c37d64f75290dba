"""Fuzzes one target in this process: python fuzz/worker.py TARGET [ARGUMENT OF LIBFUZZER]...

Started by `fuzz/run.py`. The libraries that read what a peer sends are instrumented with ours.
"""

from __future__ import annotations

import sys
from pathlib import Path

import atheris

sys.path.insert(0, str(Path(__file__).parent.parent))

INSTRUMENTED = ["trionode", "h2", "hpack", "hyperframe", "tomllib"]


def main() -> None:
    """Fuzz until libFuzzer ends the process."""
    name, *options = sys.argv[1:]
    with atheris.instrument_imports(include=INSTRUMENTED):
        from fuzz import load  # noqa: PLC0415  # what it imports is to be instrumented

        target = load(name)
    atheris.Setup([sys.argv[0], f"-max_len={target.MAX_BYTES}", *options], target.check)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
