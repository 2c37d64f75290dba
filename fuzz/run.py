"""Runs the fuzz targets in turn under atheris, each in a process of its own.

python fuzz/run.py [--seconds S | --seconds-each S] [--target NAME]...

Inputs that reach new code are kept in `fuzz/grown/TARGET`, where the next run goes on from; inputs
that break an invariant in `fuzz/findings/TARGET`. Exits 1 if there are any of these. Once fixed,
such an input belongs into `fuzz/corpus/TARGET`, under a name that says what it is.
"""

from __future__ import annotations

import argparse
import importlib.util
import re
import subprocess
import sys
import time
from pathlib import Path

import attrs

sys.path.insert(0, str(Path(__file__).parent.parent))

from fuzz import CORPUS, HERE, TARGETS

INPUT_TIMEOUT_S = 10
"""An input that takes longer is a finding."""
MEMORY_MIB = 2048
"""A target that needs more is a finding."""
START_S = 120
"""What starting a target and reading its corpus may take on a slow machine."""
EXCERPT_LINES = 40

_EXECUTED = re.compile(r"^stat::number_of_executed_units:\s+(\d+)", re.MULTILINE)
_COVERED = re.compile(r"\bcov: (\d+)")
_KEPT = re.compile(r"Test unit written to (.+)$", re.MULTILINE)


@attrs.frozen
class Result:
    """What a target's run came to: `trouble` is why it ended early, `kept` what it found."""

    target: str
    seconds: float
    executions: int
    coverage: int
    seeds: int
    grown: int
    trouble: str
    kept: str

    def __str__(self) -> str:
        rate = self.executions / self.seconds
        found = "no finding"
        if self.trouble:
            found = f"FOUND {self.kept}" if self.kept else "FAILED"
        return (
            f"{self.target:<16}{self.seconds:5.0f} s {self.executions:>9} executions"
            f" {rate:>7.0f}/s  coverage {self.coverage:>5}"
            f"  {self.seeds} inputs + {self.grown} new  {found}"
        )


def count_files(folder: Path) -> int:
    """How many files a folder holds."""
    return sum(1 for path in folder.iterdir() if path.is_file())


def excerpt(log: str) -> str:
    """The end of a log, without libFuzzer's lines of progress."""
    lines = [line for line in log.splitlines() if not line.startswith(("#", "INFO:", "stat::"))]
    return "\n".join(lines[-EXCERPT_LINES:])


def run_target(target: str, seconds: int) -> Result:
    """Fuzz one target for so long or until it finds something."""
    grown, findings, seeds = HERE / "grown" / target, HERE / "findings" / target, CORPUS / target
    for folder in (grown, findings):
        folder.mkdir(parents=True, exist_ok=True)
    before = count_files(grown)
    started = time.monotonic()
    try:
        process = subprocess.run(
            [
                sys.executable,
                HERE / "worker.py",
                target,
                f"-max_total_time={seconds}",
                f"-timeout={INPUT_TIMEOUT_S}",
                f"-rss_limit_mb={MEMORY_MIB}",
                f"-artifact_prefix={findings}/",
                "-print_final_stats=1",
                grown,
                seeds,
            ],
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            timeout=seconds + START_S,
        )
    except subprocess.TimeoutExpired:
        trouble, log = f"did not end within {seconds + START_S} s", ""
    else:
        log = process.stdout + process.stderr
        trouble = f"ended with {process.returncode}:\n{excerpt(log)}" if process.returncode else ""
    executed, covered, kept = _EXECUTED.search(log), _COVERED.findall(log), _KEPT.search(log)
    return Result(
        target=target,
        seconds=time.monotonic() - started,
        executions=int(executed[1]) if executed else 0,
        coverage=int(covered[-1]) if covered else 0,
        seeds=count_files(seeds),
        grown=count_files(grown) - before,
        trouble=trouble,
        kept=kept[1] if kept else "",
    )


def options(arguments: list[str]) -> argparse.Namespace:
    """What was asked for."""
    parser = argparse.ArgumentParser(description="Fuzz the targets of this folder, one by one.")
    time_option = parser.add_mutually_exclusive_group()
    time_option.add_argument("--seconds", type=int, default=60, help="for all targets together")
    time_option.add_argument("--seconds-each", type=int, help="for each target")
    parser.add_argument(
        "--target", action="append", choices=TARGETS, help="only this one (may be repeated)"
    )
    return parser.parse_args(arguments)


def main() -> int:
    """Run what was asked for; the exit code."""
    asked = options(sys.argv[1:])
    if importlib.util.find_spec("atheris") is None:
        print("atheris is not installed: pip install -e '.[fuzz]'", file=sys.stderr)
        return 2
    targets = asked.target or list(TARGETS)
    # libFuzzer takes 0 seconds for no limit at all.
    seconds = max(1, asked.seconds_each or asked.seconds // len(targets))
    results = []
    for target in targets:
        result = run_target(target, seconds)
        results.append(result)
        print(result, flush=True)
        if result.trouble:
            print(f"{target} {result.trouble}", flush=True)
    return 1 if any(result.trouble for result in results) else 0


if __name__ == "__main__":
    sys.exit(main())
