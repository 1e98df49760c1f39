"""Reading and writing small files without waiting for anybody, whatever stands in their place.

A pipe that nobody writes to, a device, a file of 10 GB: whoever reads one of our files gets an OSError at once. Else a
guard that meets a pipe would guard no more, and nobody would see it.
"""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

MOST = 16 << 20
"""Bytes: no file of ours is longer."""


def open_regular(path: Path) -> int:
    """Open a regular file for reading and return its descriptor. OSError when there is none, or it cannot be read."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "not a regular file", str(path))
    return descriptor


def read_whole(path: Path, most: int = MOST) -> bytes:
    """Return what stands in a regular file. OSError when it cannot be read, or has more than `most` bytes."""
    with os.fdopen(open_regular(path), "rb") as file:
        content = file.read(most + 1)
    if len(content) > most:
        raise OSError(errno.EFBIG, f"more than {most} bytes", str(path))
    return content


def see_regular(*paths: Path | None) -> None:
    """Return if those that are named are regular files, before a library reads them that would wait. OSError if not."""
    for path in paths:
        if path is not None:
            os.close(open_regular(path))


def create(path: Path, mode: int = 0o600) -> int:
    """Open a file for writing that nobody else has, in the place of whatever stands there. OSError when that fails."""
    path.unlink(missing_ok=True)  # of a crash, or of a writer that hangs: never written into by two
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)


def draft(path: Path, mark: str = "new") -> Path:
    """Return where a content is written before it takes its place. `mark`: of one writer among several."""
    return path.with_name(f"{path.name}.{mark}")


def write_whole(path: Path, text: str, mode: int = 0o600, mark: str = "new") -> None:
    """Write a file as a whole or not at all. OSError when that fails."""
    new = draft(path, mark)
    with os.fdopen(create(new), "w", encoding="utf-8") as file:
        file.write(text)
        os.fchmod(file.fileno(), mode)
    new.replace(path)
