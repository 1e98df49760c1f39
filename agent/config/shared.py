"""What an agent tells the others of its configuration, so that `doctor` can compare. No secret, and no path."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

from agent.config.base import open_regular
from agent.config.model import Config
from agent.config.show import as_data
from agent.nodeos import config_ini

MOST = 1 << 20
"""Bytes of a config.ini that are read."""
DIGITS = 16
"""Of a digest: enough to tell keys and tables apart."""


def settings_of(config: Config) -> str:
    """Return words `name=value`: what must agree within a group, and digests of the BLS keys, which must not.

    BLS keys are known only where nodeos.config_file names a config.ini that can be read.
    """
    timing = config.timing
    spans = (timing.validity, timing.renew, timing.pause, timing.block, timing.kill, timing.slack)
    words = {
        "producer": config.producer,
        "chain": (config.nodeos.chain_id or "")[:8],
        "timing": "/".join(f"{span:g}" for span in spans),
        "peers": config.peers.mode,
        "health": _digest(json.dumps(as_data(config.health), sort_keys=True))[:8],
        "finalizer": ",".join(_finalizers(config)),
    }
    return " ".join(f"{name}={value}" for name, value in words.items() if value)


def nodeos_options(config: Config) -> tuple[list[tuple[str, str]], str]:
    """Return what nodeos's config.ini says, and why it could not be read. It is advice: nobody stops without it."""
    if config.nodeos.config_file is None:
        return [], ""
    try:
        return read_ini(config.nodeos.config_file), ""
    except (ValueError, OSError) as error:
        return [], f"nodeos.config_file: {error}"


def read_ini(path: Path) -> list[tuple[str, str]]:
    """Return what a config.ini of nodeos says, its first MiB. ValueError or OSError when it cannot be read."""
    with os.fdopen(open_regular(path), "rb") as file:
        return config_ini.of_ini(file.read(MOST).decode(errors="replace"))


def _finalizers(config: Config) -> list[str]:
    found, _ = nodeos_options(config)
    keys = {config.finalizer.public_key} if config.finalizer.public_key else set()
    keys |= {value for name, value in found if name == "signature-provider" and value.startswith("PUB_BLS_")}
    return sorted(_digest(key) for key in keys)[:4]


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:DIGITS]
