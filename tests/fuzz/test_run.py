"""The runner finds what breaks an invariant, keeps it and says so."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import fuzz

ROOT = Path(fuzz.__file__).parent.parent
TARGET = "message_parser"


@pytest.fixture
def folder(tmp_path):
    """A copy of the fuzz folder, whose files may be changed."""
    ignored = shutil.ignore_patterns("grown", "findings", "__pycache__")
    return Path(shutil.copytree(ROOT / "fuzz", tmp_path / "fuzz", ignore=ignored))


def run(folder, *options, code=""):
    """Run the runner of this copy, after some code."""
    script = (
        f"import runpy, sys; {code}\n"
        f"sys.argv = ['run.py', *{options!r}]\n"
        f"runpy.run_path({str(folder / 'run.py')!r}, run_name='__main__')"
    )
    return subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )


def test_without_atheris_it_says_what_to_install(folder):
    done = run(folder, code="sys.modules['atheris'] = None")
    assert done.returncode == 2
    assert "pip install -e '.[fuzz]'" in done.stderr


def test_a_target_that_holds_is_run_for_its_time_and_its_figures_are_printed(folder):
    pytest.importorskip("atheris", reason="only where the extra `fuzz` is installed")
    done = run(folder, "--seconds", "1", "--target", TARGET)
    assert done.returncode == 0, done.stdout + done.stderr
    (line,) = done.stdout.splitlines()
    words = line.split()
    assert words[0] == TARGET
    assert int(words[words.index("executions") - 1]) > 0
    assert int(words[words.index("coverage") + 1]) > 0
    assert line.endswith("no finding")
    assert list((folder / "findings" / TARGET).iterdir()) == []


def test_an_input_that_breaks_an_invariant_is_found_kept_and_said(folder):
    pytest.importorskip("atheris", reason="only where the extra `fuzz` is installed")
    module = folder / f"{TARGET}.py"
    module.write_text("MAX_BYTES = 4\n\ndef check(data):\n    assert b'!' not in data, 'seen'\n")
    done = run(folder, "--seconds-each", "60", "--target", TARGET)
    assert done.returncode == 1
    (kept,) = (folder / "findings" / TARGET).iterdir()
    assert b"!" in kept.read_bytes()
    assert f"FOUND {kept}" in done.stdout
    assert "AssertionError: seen" in done.stdout


def test_a_target_that_does_not_start_is_a_failure(folder):
    pytest.importorskip("atheris", reason="only where the extra `fuzz` is installed")
    (folder / f"{TARGET}.py").write_text("import nothing_of_this_name\n")
    done = run(folder, "--seconds-each", "1", "--target", TARGET)
    assert done.returncode == 1
    assert done.stdout.splitlines()[0].endswith("FAILED")
    assert "nothing_of_this_name" in done.stdout
