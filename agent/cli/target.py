"""Which group a command means, and the way to its etcd: from a configuration, or from --etcd and --group."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from agent.cli.options import config_option
from agent.config.model import Config
from agent.config.sections import EtcdSection
from agent.core.model.fields import NAME
from agent.core.model.keys import Keys, keys
from agent.errors import ConfigError
from agent.ports import Store
from agent.run import read_config

_PREFIX = "/nodeos-failover"


@dataclass(frozen=True, slots=True)
class Target:
    """One group in one etcd. `timeout`: total deadline in seconds of one request; `config` is None with --etcd."""

    section: EtcdSection
    group: str
    timeout: float
    config: Config | None = None

    @property
    def names(self) -> Keys:
        """The keys of the group."""
        return keys(self.section.prefix, self.group)

    @property
    def look_for(self) -> float:
        """Seconds that a heartbeat is given to move on before it counts as not confirmed: at least three renewals."""
        return max(2.0, 3 * self.config.timing.renew) if self.config else 2.0

    @contextmanager
    def store(self) -> Iterator[Store]:
        """Yield a connection, closed afterwards."""
        store = open_store(self.section)
        try:
            yield store
        finally:
            store.close()


def target_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the options that name a group, and pass it the Target as `target`."""

    @config_option
    @click.option("--etcd", "endpoints", help="etcd endpoints with commas between them, instead of a configuration.")
    @click.option("--group", "-g", help="The group; default: the configuration's. Needed with --etcd.")
    @click.option("--prefix", default=_PREFIX, show_default=True, help="The key under which groups live (--etcd).")
    @click.option("--timeout", type=click.FloatRange(0.1, 60), default=3.0, show_default=True, help="Seconds for etcd.")
    @functools.wraps(command)
    def wrapped(path: Path, endpoints: str | None, group: str | None, prefix: str, timeout: float, **rest: Any) -> Any:
        return command(target=resolve(path, endpoints, group, prefix, timeout), **rest)

    return wrapped


def resolve(path: Path, endpoints: str | None, group: str | None, prefix: str, timeout: float) -> Target:
    """Return the group that the options name. ConfigError or UsageError when they cannot be used."""
    if group is not None and not NAME.fullmatch(group):
        raise click.UsageError(f"--group {group!r} is no name: use a-z, 0-9, dot and hyphen, at most 63")
    if endpoints is None:
        loaded = read_config(path)
        return Target(loaded.etcd, group or loaded.group, timeout, loaded)
    if group is None:
        raise click.UsageError("--etcd needs --group: name the group to look at")
    return Target(_section(endpoints, prefix), group, timeout)


def _section(endpoints: str, prefix: str) -> EtcdSection:
    """Check what came from the command line like the section of a file."""
    from pydantic import ValidationError

    try:
        return EtcdSection(endpoints=tuple(word.strip() for word in endpoints.split(",")), prefix=prefix)
    except ValidationError as error:
        raise ConfigError([f"--{each['loc'][0]}: {each['msg']}" for each in error.errors()]) from None


def open_store(section: EtcdSection) -> Store:
    """Return a connection for one thread; the first call connects."""
    from agent.etcd.store import EtcdStore
    from agent.runtime.credentials import etcd_options

    return EtcdStore(etcd_options(section, f"{section.prefix}/"))
