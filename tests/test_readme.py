"""What the README shows is run: its Python program, and every command line that it gives."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from trionode.cli.processes import children
from trionode.cli.root import root

ROOT = Path(__file__).parent.parent
TEXT = (ROOT / "README.md").read_text()
COMMANDS = [
    line.split("|")[-1].strip()
    for block in re.findall(r"```sh\n(.*?)```", TEXT, re.DOTALL)
    for line in block.splitlines()
    if re.search(r"(^|\| )trionode ", line)
]


async def test_the_python_program_of_the_readme_prints_what_it_should(tmp_path, monkeypatch):
    program = re.search(r"```python\n(.*?)```", TEXT, re.DOTALL)[1]
    async with children() as processes:
        _, first = await processes.spawn_node("n1", ["--listen", "127.0.0.1:0", "--memory"])
        arguments = ["--listen", "127.0.0.1:0", "--peer", first, "--memory"]
        _, second = await processes.spawn_node("n2", arguments)
        program = program.replace("127.0.0.1:7401", first).replace("127.0.0.1:7402", second)
        (tmp_path / "tour_of_readme.py").write_text(program)
        monkeypatch.setenv("PYTHONPATH", str(tmp_path))
        tour = await processes.spawn("the program", [], module="tour_of_readme")
        assert await tour.receive() == "1000 orders, 500598.50 in all"


@pytest.mark.parametrize("line", COMMANDS)
def test_every_command_of_the_readme_exists_with_its_options(line):
    _, subcommand, *arguments = shlex.split(line)
    known = CliRunner().invoke(root, [subcommand, "--help"]).output
    assert "Usage" in known
    for option in (word for word in arguments if word.startswith("--")):
        assert option in known


def test_the_configuration_that_the_readme_names_is_accepted():
    done = subprocess.run(
        [sys.executable, "-m", "trionode", "serve", "--config", "conf/node.toml", "--check"],
        cwd=ROOT,
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
