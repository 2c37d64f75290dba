"""A killed process's data of coverage does not keep those of all others from being combined."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from coverage import CoverageData

ROOT = Path(__file__).parent.parent
SCRIPT = ROOT / ".ci" / "drop_torn_coverage.py"


def measured(base: Path, suffix: str) -> Path:
    data = CoverageData(str(base), suffix=suffix)
    data.add_lines({f"{base.parent}/{suffix}{number}.py": range(1, 3000) for number in range(300)})
    data.close()
    return Path(data.data_filename())


def truncated(content: bytes) -> bytes:
    return content[:100_000]


def overwritten(content: bytes) -> bytes:
    return content[:-40_000] + b"\xab" * 40_000


def emptied(_content: bytes) -> bytes:
    return b""


@pytest.mark.parametrize("tear", [truncated, overwritten, emptied])
def test_what_a_killed_process_left_does_not_end_the_combination_of_the_others(tear, tmp_path):
    base = tmp_path / "coverage"
    measured(base, "a")
    torn = measured(base, "b")
    torn.write_bytes(tear(torn.read_bytes()))
    measured(base, "c")

    dropped = subprocess.run(
        [sys.executable, SCRIPT, base], capture_output=True, text=True, check=True
    )
    subprocess.run(
        [sys.executable, "-m", "coverage", "combine", f"--data-file={base}"],
        capture_output=True,
        check=True,
        cwd=tmp_path,
    )

    assert dropped.stdout == "measured by 3 processes, 1 of them killed while they wrote it\n"
    assert [path.name for path in tmp_path.iterdir()] == ["coverage"]
    both = CoverageData(str(base))
    both.read()
    assert len(both.measured_files()) == 600
