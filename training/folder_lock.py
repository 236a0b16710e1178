"""One writer for a folder: a second command is refused instead of spoiling the work of the first.

The lock is the operating system's (flock on the file `.lock`), so it ends with the process that
holds it, however that ends. The file stays; it means nothing.
"""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

LOCK_FILE = ".lock"
#: Said by file systems that know no locks.
_UNKNOWN = (errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP, errno.EINVAL)


class FolderError(ValueError):
    """Nothing can be written there; the message says why."""


def check_folder(folder: Path) -> None:
    """Refuse what can never become a folder to write to: a file, or something below one."""
    for path in (folder, *folder.absolute().parents):
        if path.is_dir():
            return
        if path.exists() or path.is_symlink():
            what = "a file" if path.is_file() else "a link to nowhere"
            raise FolderError(f"{folder}: {path} is {what}; expected a folder")


@contextmanager
def only_writer(folder: Path) -> Iterator[bool]:
    """Make the folder and hold it. False where its file system knows no locks: then what looks
    like a left-over may belong to another command."""
    check_folder(folder)
    folder.mkdir(parents=True, exist_ok=True)
    handle = os.open(folder / LOCK_FILE, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        held = True
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise FolderError(
                f"{folder}: another command is writing there; wait for its end, or choose "
                "another --out"
            ) from None
        except OSError as error:
            if error.errno not in _UNKNOWN:
                raise
            held = False
        yield held
    finally:
        os.close(handle)
