"""Secrets from files and systemd credentials. A secret comes from one place, and not from where everybody can read.

A credential bears the path of its setting: `etcd.password`, `http.token`, and `alerts.NAME.url` or `.secret` for the
channel NAME.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from agent.config.alerts import AlertChannel
from agent.config.base import open_regular, refuse_public
from agent.config.model import Config
from agent.config.section import Invalid, SecretStr
from agent.errors import ConfigError

MAX_BYTES = 64 * 1024
SHORTEST = 8
"""A shorter path of a webhook is no secret, and masking it would hit every other line."""


def read_secret(path: Path) -> str:
    """Return the text of a secret file without the white space around it; ValueError with the remedy if it cannot."""
    fd = open_regular(path)
    with os.fdopen(fd, "rb") as file:
        refuse_public(fd, path)
        content = file.read(MAX_BYTES + 1)
    if len(content) > MAX_BYTES:
        raise ValueError(f"{path} has more than {MAX_BYTES} bytes: name the file that holds only the secret")
    try:
        text = content.decode().strip()
    except UnicodeDecodeError:
        raise ValueError(f"{path} is not UTF-8 text: name the file that holds only the secret") from None
    if not text:
        raise ValueError(f"{path} is empty: write the secret into it")
    return text


def fill_secrets(data: dict[str, Any], environ: Mapping[str, str]) -> list[str]:
    """Put secrets that stand in files into `data`, in place; return what was wrong, naming the settings."""
    directory = environ.get("CREDENTIALS_DIRECTORY")
    problems = []
    for table, field, path, credential in _places(data):
        named = table.get(f"{field}_file")
        system = Path(directory, credential) if directory and credential else None
        given = {
            path: bool(table.get(field)),
            f"{path}_file": bool(named),
            f"the credential {credential}": bool(system and system.exists()),
        }
        if sum(given.values()) > 1:
            problems.append(f"{path} is given twice ({' and '.join(n for n in given if given[n])}): keep one of them")
        elif (isinstance(named, str) and named) or given[f"the credential {credential}"]:
            try:
                table[field] = read_secret(Path(named) if isinstance(named, str) and named else Path(str(system)))
            except ValueError as error:
                problems.append(f"{path}: {error}")
    return problems


def inline_secrets(data: dict[str, Any]) -> list[str]:
    """Return the paths of all secrets that stand in `data` itself."""
    return [path for table, field, path, _ in _places(data) if table.get(field)]


def secret_texts(config: Config) -> list[str]:
    """Return each text that no log line may contain: password, token, and what `channel_texts` finds."""
    texts = [each.get_secret_value() for each in (config.etcd.password, config.http.token) if each]
    for channel in config.alerts:
        texts += channel_texts(channel)
    return texts


def reread(channel: AlertChannel) -> AlertChannel:
    """Return a channel with what its files hold now. ConfigError when they cannot be used; it repeats no secret."""
    found = {"url": channel.url_file, "secret": channel.secret_file}
    try:
        read = {name: SecretStr(read_secret(path)) for name, path in found.items() if path is not None}
        return AlertChannel.model_validate(channel.values() | read) if read else channel
    except Invalid as error:
        words = "; ".join(each.text for each in error.faults)
    except ValueError as error:
        words = str(error)
    raise ConfigError([f"alerts {channel.name}: {words}"])


def channel_texts(channel: AlertChannel) -> list[str]:
    """Return what is secret about a channel: its secret, and its URL with and without its host."""
    url = channel.url.get_secret_value()
    parts = urlsplit(url)
    rest = url.split("://", 1)[-1]
    if channel.type != "apprise":  # where a token may stand in place of the host
        rest = rest.removeprefix(parts.netloc)
    texts = [url, rest if len(rest) >= SHORTEST else "", parts.password or "", channel.secret.get_secret_value()]
    if "@" in (proxy := channel.proxy.get_secret_value()):
        texts += [proxy, urlsplit(proxy).password or ""]
    return [text for text in texts if text]


def answer_texts(channel: AlertChannel) -> list[str]:
    """Return what an answer of a channel may repeat of its secrets, the longest first: also parts of its URL."""
    rest = channel.url.get_secret_value().split("://", 1)[-1]
    parts = [part for part in re.split(r"[/?&=@:]", rest) if len(part) >= SHORTEST]
    return sorted({*channel_texts(channel), *parts}, key=len, reverse=True)


def _places(data: dict[str, Any]) -> list[tuple[dict[str, Any], str, str, str | None]]:
    """Return each place for a secret: table, field, path for people, name of its credential."""
    places: list[tuple[dict[str, Any], str, str, str | None]] = []
    if isinstance(etcd := data.get("etcd"), dict):
        places.append((etcd, "password", "etcd.password", "etcd.password"))
    if isinstance(http := data.get("http"), dict):
        places.append((http, "token", "http.token", "http.token"))
    channels = data.get("alerts")
    for number, channel in enumerate(channels if isinstance(channels, list) else []):
        if isinstance(channel, dict):
            name = channel.get("name")
            known = isinstance(name, str) and name and "/" not in name
            for field in ("url", "secret"):
                credential = f"alerts.{name}.{field}" if known else None
                places.append((channel, field, f"alerts[{number}].{field}", credential))
    return places
