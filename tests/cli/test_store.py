"""`trionode store` as a person uses it."""

from __future__ import annotations

import io
import json
import sys
from typing import TYPE_CHECKING

import pytest

from tests.support.stores import batch, opened, record
from trionode.cli.root import main
from trionode.ids import object_id
from trionode.store.sqlite_schema import DATABASE_FILE

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def place(tmp_path: Path) -> list[str]:
    """A store with two objects, as the options that name it."""
    store = opened(tmp_path / "data")
    store.write(batch(record(object_id(1, 1)), record(object_id(1, 2), payload=b"\xff")))
    store.close()
    return ["--data-dir", str(tmp_path / "data")]


def test_info_is_a_table_or_json(place: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["store", "info", *place]) == 0
    assert "used by      nobody" in capsys.readouterr().out
    assert main(["store", "info", "--json", *place]) == 0
    assert json.loads(capsys.readouterr().out)["types"] == {"Order": [2, 3]}


def test_verify_fails_where_something_is_damaged(
    place: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["store", "verify", *place]) == 0
    path = f"{place[1]}/{DATABASE_FILE}"
    with open(path, "r+b") as file:  # noqa: PTH123  # the path is a text here
        content = file.read()
        file.seek(content.index(b"\xff", 4096 + 3000))
        file.write(b"\xfe")
    assert main(["store", "verify", *place]) == 1
    out, err = capsys.readouterr()
    assert "damaged: record 2 of objects (type Order)" in out
    assert err == "trionode: the store is damaged in 1 place(s)\n"


def test_a_backup_does_not_overwrite(
    place: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = str(tmp_path / "backup")
    assert main(["store", "backup", target, *place]) == 0
    assert main(["store", "backup", target, *place]) == 1
    assert "is there already" in capsys.readouterr().err


def test_what_was_exported_can_be_imported_elsewhere(
    place: list[str],
    tmp_path: Path,
    capfdbinary: pytest.CaptureFixture[bytes],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert main(["store", "export", *place]) == 0
    exported = capfdbinary.readouterr().out
    assert exported.count(b"\n") == 2
    other = ["--data-dir", str(tmp_path / "other")]
    for answer in (b"2 objects taken, 0 were there", b"0 objects taken, 2 were there"):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(exported)))
        assert main(["store", "import", *other]) == 0
        assert capfdbinary.readouterr().out.startswith(answer)
    assert main(["store", "compact", *other]) == 0


def test_a_store_in_use_is_not_compacted(
    place: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = opened(tmp_path / "data")
    assert main(["store", "compact", *place]) == 1
    assert "in use by node n1" in capsys.readouterr().err
    store.close()
