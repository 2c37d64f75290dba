"""One process per data directory: a lock that the kernel releases with its process."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pwd
import time
from typing import TYPE_CHECKING

from trionode.store.base import StoreError

if TYPE_CHECKING:
    from pathlib import Path

LOCK_FILE = "lock"
_TEXT_MAX_BYTES = 400
_TRIES = 3
_RETRY_AFTER_S = 0.02


def make_directory(directory: Path) -> None:
    """Make a data directory that only its owner can read, or check the one that is there.

    Raises:
        StoreError: it cannot be made, or this process may not write in it.
    """
    try:
        directory.parent.mkdir(parents=True, exist_ok=True)
        directory.mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        raise StoreError(
            f"cannot make the data directory {directory}: {error.strerror};"
            " choose another one with --data-dir"
        ) from error
    if not os.access(directory, os.W_OK | os.X_OK):
        raise StoreError(
            f"cannot write in the data directory {directory}: {why_not_writable(directory)}"
        )


def why_not_writable(path: Path) -> str:
    """Why this process may not write there, and what to do."""
    with contextlib.suppress(OSError):
        owner = path.stat().st_uid
        if owner != os.geteuid():
            return (
                f"it belongs to {_user(owner)}, and this process runs as {_user(os.geteuid())};"
                " run it as the owner, or give the directory to this user"
            )
    return "it is read-only; make it writable, or choose another one with --data-dir"


def _user(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"user {uid}"


class DirectoryLock:
    """Held from when it is made until `release`, or the end of the process.

    Args:
        directory: the data directory, which must exist.
        name: the node's name, for whoever finds the directory taken.

    Raises:
        StoreError: another process has it, and which one; or the file cannot be written.
    """

    def __init__(self, directory: Path, name: str) -> None:
        path = directory / LOCK_FILE
        try:
            self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise StoreError(f"cannot write {path}: {why_not_writable(path)}") from error
        if not _taken(self._file, fcntl.LOCK_EX):
            found = _holder(self._file)
            os.close(self._file)
            raise StoreError(
                f"the data directory {directory} is in use by {found};"
                " stop it, or choose another one with --data-dir"
            )
        with contextlib.suppress(OSError):  # a full disk: then the lock does not say whose it is
            os.ftruncate(self._file, 0)
            os.pwrite(self._file, f"node {name}, process {os.getpid()}\n".encode(), 0)

    def release(self) -> None:
        """Let others have the directory; the file stays, since removing it would be a race."""
        os.close(self._file)


def holder(directory: Path) -> str:
    """Which process has a data directory; empty where none has."""
    try:
        file = os.open(directory / LOCK_FILE, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return ""
    try:
        return "" if _taken(file, fcntl.LOCK_SH) else _holder(file)
    finally:
        os.close(file)


def _taken(file: int, kind: int) -> bool:
    """Take a lock of the open file (not of the process: so two stores in one exclude each other).

    Tried again for a moment, since `holder` has a lock for as long as it takes to ask for it.
    """
    for _ in range(_TRIES):
        with contextlib.suppress(BlockingIOError):
            fcntl.flock(file, kind | fcntl.LOCK_NB)
            return True
        time.sleep(_RETRY_AFTER_S)
    return False


def _holder(file: int) -> str:
    return (
        os.pread(file, _TEXT_MAX_BYTES, 0).decode("utf-8", "replace").strip() or "another process"
    )
