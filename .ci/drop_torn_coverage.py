"""Deletes data files of coverage that cannot be read, and says how many: `... DATA_FILE`.

Tests kill processes at any moment, also while one writes what it has measured. Such a file must
neither end the combination of all others in the middle nor look like a failure of it.
"""

from __future__ import annotations

import sqlite3
import sys
from pathlib import Path


def is_whole(path: Path) -> bool:
    """Whether a data file was written to its end."""
    try:
        with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as database:
            files = database.execute("select count(*) from coverage_schema, meta").fetchone()
            return files[0] > 0 and database.execute("pragma quick_check").fetchone() == ("ok",)
    except sqlite3.Error:
        return False


def main(data_file: str) -> None:
    """Look at every file of a process."""
    base = Path(data_file)
    paths = sorted(base.parent.glob(f"{base.name}.*"))
    torn = [path for path in paths if not is_whole(path)]
    for path in torn:
        path.unlink()
    print(f"measured by {len(paths)} processes, {len(torn)} of them killed while they wrote it")


if __name__ == "__main__":
    main(sys.argv[1])
