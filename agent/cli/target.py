"""Which group a command means, and the way to its etcd: see `identity` for where each of it comes from."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click

from agent.cli import identity as who
from agent.cli.identity import SPOKEN, ActsAs, Table
from agent.cli.options import complete_group, config_option
from agent.config.load import tables
from agent.config.operator import operator_view
from agent.config.sections import EtcdSection
from agent.core.model.fields import NAME
from agent.core.model.keys import Keys, keys
from agent.errors import ConfigError, StoreError, StoreRejected
from agent.ports import Store

LOOK_FOR_S = 2.5
"""A leader reports every 2 s, also where its peers keep it and its heartbeat moves seldom."""


@dataclass(frozen=True, slots=True)
class Target:
    """One group in one etcd. `timeout`: total deadline in seconds of one request; `node`: that of the configuration.

    `look_for`: seconds that a heartbeat is given to move on before it counts as not confirmed.
    """

    section: EtcdSection
    group: str
    timeout: float
    node: str | None = None
    look_for: float = LOOK_FOR_S
    identity: ActsAs = field(default_factory=ActsAs)
    mine: Mapping[str, Any] = field(default_factory=dict)

    @property
    def names(self) -> Keys:
        """The keys of the group."""
        return keys(self.section.prefix, self.group)

    @contextmanager
    def store(self) -> Iterator[Store]:
        """Yield a connection, closed afterwards. What etcd refuses is told with what the operator can do."""
        store = open_store(self.section)
        try:
            yield store
        except StoreRejected as error:
            remedy = self._remedy() if error.reason == "permission_denied" else ""
            raise StoreRejected(error.reason, who.spoken(str(error), dict(self.mine)) + remedy) from error
        except StoreError as error:
            raise type(error)(who.spoken(str(error), dict(self.mine))) from error
        finally:
            store.close()

    def _remedy(self) -> str:
        """Return what to do about a missing right: a role of one's own, and no more rights for the agent."""
        role = f"nodeos-failover-{self.group or 'GROUP'}-operator"
        agents = ", which is the agent's and has no operator's rights" if self.identity.agents else ""
        return (
            f". Asked {self.identity.words}{agents}: act as a user with the role {role} (--cert and --key, --user, or "
            f"etcdctl's ETCDCTL_ variables); root gives it by `access.sh {self.group or 'GROUP'} --operator NAME`"
        )


@dataclass(frozen=True, slots=True)
class Chosen:
    """What the options of a command say of its target. `etcd` has the settings of [etcd] that were given."""

    path: Path
    group: str | None
    profile: str | None
    etcd: Table
    timeout: float


_FILE = click.Path(dir_okay=False, resolve_path=True)
_OPTIONS = (
    config_option,
    click.option("--etcd", "--endpoints", "endpoints", metavar="URL,…", help="etcd endpoints, with commas between."),
    click.option("--discovery-srv", metavar="DOMAIN", help="The domain whose SRV records name the endpoints."),
    click.option("--cacert", "ca_file", type=_FILE, help="Certificates that sign those of etcd (PEM)."),
    click.option("--cert", "cert_file", type=_FILE, help="Your client certificate (PEM)."),
    click.option("--key", "key_file", type=_FILE, help="Its key (PEM)."),
    click.option("--user", metavar="NAME", help="Your user in etcd; its password is asked for."),
    click.option("--password-file", type=_FILE, help="The file with that password."),
    click.option("--prefix", metavar="KEY", help="The key under which groups live; default: /nodeos-failover."),
    click.option("--profile", metavar="NAME", help="~/.config/nodeos-failover/NAME.toml, instead of default.toml."),
    click.option(
        "--group",
        "-g",
        help="The group; default: the profile's, or the configuration's.",
        shell_complete=complete_group,
    ),
    click.option("--timeout", type=click.FloatRange(0.1, 60), default=3.0, show_default=True, help="Seconds for etcd."),
)


def choosing_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the options that name a group and an etcd, and pass what they say as `chosen`."""

    @functools.wraps(command)
    def wrapped(path: Path, group: str | None, profile: str | None, timeout: float, **rest: Any) -> Any:
        given = {name: rest.pop(name, None) for name in SPOKEN if name != "password"}
        etcd = {name: value for name, value in given.items() if value}
        return command(chosen=Chosen(path, group, profile, etcd, timeout), **rest)

    for option in reversed(_OPTIONS):
        wrapped = option(wrapped)
    return wrapped


def target_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command those options, and pass it the Target as `target`."""

    @choosing_options
    @functools.wraps(command)
    def wrapped(chosen: Chosen, **rest: Any) -> Any:
        return command(target=resolve(chosen, os.environ), **rest)

    return wrapped


def resolve(chosen: Chosen, environ: Mapping[str, str], *, every: bool = False) -> Target:
    """Return the group that is meant; with `every` none need be. ConfigError or UsageError when it cannot be used.

    The configuration is read only for what nothing else says.
    """
    group, mine = chosen.group, chosen.etcd
    if group is not None and not NAME.fullmatch(group):
        raise click.UsageError(f"--group {group!r} is no name: use a-z, 0-9, dot and hyphen, at most 63")
    if ":" in mine.get("user", ""):
        raise click.UsageError(
            "--user: others on this host can read a password there: give only the name, and the password by "
            "--password-file, ETCDCTL_PASSWORD, or when you are asked"
        )
    if "endpoints" in mine:
        mine = {**mine, "endpoints": who.split(mine["endpoints"])}
    profile = who.of_profile(who.profile_path(chosen.profile, environ))
    mine = who.merged(profile.get("etcd", {}), who.of_environment(environ), mine)
    group = group or profile.get("group")
    data: Table = {}
    if not (group or every) or not mine.keys() & {"endpoints", "discovery_srv"}:
        data = _configuration(chosen.path, environ, group, every=every)
    group = group or data.get("group")
    if not every and not (isinstance(group, str) and NAME.fullmatch(group)):
        raise ConfigError(["group is missing, or no name: give --group, or write it into the profile"])
    return _target(data, group or "", mine, chosen.timeout, environ)


def _configuration(path: Path, environ: Mapping[str, str], group: str | None, *, every: bool) -> Table:
    """Return the tables of the configuration. Without a file the error says what else can be named."""
    try:
        return tables(path, environ)[0]
    except ConfigError as error:
        if path.exists():
            raise
        lacks = "--etcd" if group or every else "--etcd and --group"
        raise ConfigError([*error.problems, f"or name {lacks}, with a profile or etcdctl's variables"]) from None


def _target(data: Table, group: str, mine: Table, timeout: float, environ: Mapping[str, str]) -> Target:
    """Check what all sources say together."""
    configured = data.get("etcd", {})
    etcd = who.with_password(who.over_configuration(configured if isinstance(configured, dict) else {}, mine))
    named = mine if configured else dict.fromkeys(SPOKEN, True)
    credentials = {} if mine else environ  # a systemd credential is the agent's
    try:
        view = operator_view({**data, "etcd": etcd}, credentials)
    except ConfigError as error:
        raise ConfigError([who.spoken(each, named) for each in error.problems]) from None
    agents = bool(configured) and not mine.keys() & {"user", "cert_file"}
    look_for = max(LOOK_FOR_S, 3 * view.timing.renew) if data else LOOK_FOR_S
    identity = who.identity(etcd, agents=agents)
    return Target(view.etcd, group, timeout, view.node, look_for, identity, named)


def open_store(section: EtcdSection) -> Store:
    """Return a connection for one thread; the first call connects."""
    from agent.etcd.store import EtcdStore
    from agent.runtime.credentials import etcd_options

    return EtcdStore(etcd_options(section, f"{section.prefix}/"))
