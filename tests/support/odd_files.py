"""What may stand in the place of a file: a pipe that nobody writes to, a device, 10 GB, a loop."""

from __future__ import annotations

import os
import socket
from pathlib import Path

KINDS = ("pipe", "device", "huge", "directory", "loop", "socket", "missing")


def put(kind: str, path: Path) -> Path:
    """Put something that is no file of ours at `path`."""
    path.parent.mkdir(exist_ok=True)
    match kind:
        case "pipe":
            os.mkfifo(path)
        case "device":
            path.symlink_to("/dev/zero")
        case "huge":
            path.touch()
            os.truncate(path, 10 << 30)
        case "directory":
            path.mkdir()
        case "loop":
            path.symlink_to(path)
        case "socket":
            with socket.socket(socket.AF_UNIX) as sock:
                sock.bind(str(path))
    return path
