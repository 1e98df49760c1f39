"""The types of single values: units, bounds, files that must be readable."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, TypeAlias
from urllib.parse import SplitResult, urlsplit

from agent.config.section import Field, T
from agent.core.model.fields import NAME
from agent.core.model.store import Ms
from agent.host import small_file

ACCOUNT = r"^([a-z1-5.]{0,11}[a-z1-5]|[a-z1-5.]{12}[a-j1-5])$"
ACCOUNT_FORM = "an account: up to 12 of a-z, 1-5 and dot, no dot at the end"
LONGEST_S = 600.0
"""No span of the configuration is longer: a larger number is milliseconds by mistake."""


def open_regular(path: Path) -> int:
    """Open a regular file for reading and return its descriptor; never waits for a writer of a pipe.

    ValueError with the remedy when there is no such file, or it cannot be read.
    """
    _absolute(path)
    try:
        return small_file.open_regular(path)
    except OSError as error:
        who = f"user {os.geteuid()}"
        raise ValueError(f"cannot read {path} as {who} ({error.strerror}): correct the path or the rights") from error


def looked_at(parse: Callable[[T], object]) -> Callable[[T], T]:
    """Return what has `parse` look at a value, and keeps it as it was written. ValueError is what `parse` raises."""

    def look(value: T) -> T:
        parse(value)
        return value

    return look


def refuse_public(fd: int, path: Path) -> None:
    """Raise ValueError when others than owner and group may touch the file behind `fd`: it holds a secret."""
    mode = stat.S_IMODE(os.fstat(fd).st_mode)
    if mode & 0o007:
        raise ValueError(f"{path} holds a secret but everybody may use it (mode {mode:04o}): run chmod 0640 {path}")


def _readable(path: Path) -> Path:
    os.close(open_regular(path))
    return path


def _readable_secret(path: Path) -> Path:
    with os.fdopen(open_regular(path)) as file:
        refuse_public(file.fileno(), path)
    return path


def _absolute(path: Path) -> Path:
    if not path.is_absolute():  # not repeated: it may be a token or a URL that was meant for another setting
        raise ValueError("a relative path: give the whole one, starting with /")
    return path


def _directory(path: Path) -> Path:
    _absolute(path)
    try:
        os.statvfs(path)
    except OSError as error:
        raise ValueError(f"cannot look at {path} ({error.strerror}): correct the path or the rights") from error
    if not path.is_dir():
        raise ValueError(f"{path} is not a directory: name the directory itself")
    return path


def _span(value: float) -> float:
    if not 0 <= value <= LONGEST_S:
        raise ValueError(f"{value:g} is no span: write seconds, from 0 to {LONGEST_S:g}")
    return value


def _name(text: str) -> str:
    if not NAME.fullmatch(text):
        raise ValueError(f"{text!r} is no name: use 1 to 63 of a-z, 0-9, dot and hyphen, a letter or digit first")
    return text


def place_of(text: str) -> SplitResult:
    """Take a URL of http or https apart that names nothing but a place; ValueError otherwise."""
    parts = split_url(text, ("http", "https"))
    if parts.path not in {"", "/"} or parts.query or parts.fragment:
        raise ValueError(f"{text!r} has a path: write only http://HOST:PORT")
    return parts


def split_url(text: str, schemes: tuple[str, ...], *, secret: bool = False) -> SplitResult:
    """Take a URL apart; ValueError when it is none of `schemes`, lacks a host, or (unless `secret`) carries a password.

    The text of the error never repeats a URL that may hold a secret.
    """
    shown = "the URL" if secret or "@" in text else repr(text)
    wanted = " or ".join(f"{scheme}://" for scheme in schemes)
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        raise ValueError(f"{shown} is no URL with a port between 1 and 65535: write {wanted}HOST:PORT") from None
    if parts.scheme not in schemes or not parts.hostname or port == 0 or re.search(r"[\s\x00-\x1f\x7f]", text):
        raise ValueError(f"{shown} is no usable URL: write {wanted}HOST:PORT")
    if not secret and parts.username is not None:
        raise ValueError("a URL with a user or password is not taken here: leave them out of it")
    return parts


Seconds = Annotated[float, _span]
"""A span in seconds, with a fraction if need be."""


def Span(default: Ms, description: str) -> Any:  # noqa: N802 - stands where `Field` does
    """Describe a setting in seconds whose default is one of the core's, in ms."""
    return Field(default=default / 1000, description=description)


Optional: TypeAlias = T | None
"""A value that may be left out. TOML and the environment know no null: an empty text means the same."""
Name = Annotated[str, _name]
"""Of a group or a node."""
AbsolutePath = Annotated[Path, _absolute]
ReadableFile = Annotated[Path, _readable]
SecretFile = Annotated[Path, _readable_secret]
Directory = Annotated[Path, _directory]
