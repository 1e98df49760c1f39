"""As whom, and where, a command speaks to etcd: options, etcdctl's variables, a profile, then the configuration.

What an operator gives is theirs: a certificate or user of an operator replaces the agent's own, never joins it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from agent.cli.options import attended
from agent.config.load import tables
from agent.errors import ConfigError

Table = dict[str, Any]

SPOKEN = {
    "endpoints": ("--etcd", "ETCDCTL_ENDPOINTS"),
    "discovery_srv": ("--discovery-srv", "ETCDCTL_DISCOVERY_SRV"),
    "ca_file": ("--cacert", "ETCDCTL_CACERT"),
    "cert_file": ("--cert", "ETCDCTL_CERT"),
    "key_file": ("--key", "ETCDCTL_KEY"),
    "user": ("--user", "ETCDCTL_USER"),
    "password": ("--password-file", "ETCDCTL_PASSWORD"),
    "password_file": ("--password-file", "ETCDCTL_PASSWORD"),
    "prefix": ("--prefix", ""),
}
"""What an operator calls each setting of [etcd]: the option, and etcdctl's variable."""
_WHERE = frozenset({"endpoints", "discovery_srv", "discovery_srv_name"})
_CERTIFICATE = frozenset({"cert_file", "key_file"})
_LOGIN = frozenset({"user", "password", "password_file"})


@dataclass(frozen=True, slots=True)
class ActsAs:
    """As whom a command acts, in words. `agents`: it is what the configuration gives the agent, not an operator."""

    words: str = "without a login"
    agents: bool = False


def of_environment(environ: Mapping[str, str]) -> Table:
    """Return what etcdctl's variables say. ETCDCTL_USER may be NAME:PASSWORD, as for etcdctl."""
    table: Table = {name: value for name, (_, variable) in SPOKEN.items() if (value := environ.get(variable, ""))}
    table.pop("password_file", None)
    if "endpoints" in table:
        table["endpoints"] = split(table["endpoints"])
    if "user" in table:
        table["user"], _, password = table["user"].partition(":")
        table |= {"password": password} if password else {}
    if "user" not in table:
        table.pop("password", None)
    return table


def split(endpoints: str) -> list[str]:
    """Return endpoints that have commas between them."""
    return [word.strip() for word in endpoints.split(",")]


def profile_path(name: str | None, environ: Mapping[str, str]) -> Path | None:
    """Return the file of a profile; None when it was not named, and there is none. ConfigError when it is missing."""
    base = environ.get("XDG_CONFIG_HOME") or f"{environ.get('HOME', '')}/.config"
    named = name or environ.get("NODEOS_FAILOVER_PROFILE")
    if named and "/" in named:
        raise ConfigError([f"--profile {named!r} is no name: it is the file {base}/nodeos-failover/NAME.toml"])
    path = Path(base) / "nodeos-failover" / f"{named or 'default'}.toml"
    if path.is_file():
        return path
    if named:
        raise ConfigError([f"--profile {named}: there is no {path}: write group and [etcd] into it"])
    return None


def of_profile(path: Path | None) -> Table:
    """Return what a profile says: a file like the configuration, with `group` and [etcd]; ~ is the home directory."""
    if path is None:
        return {}
    found, problems = tables(path, {})
    etcd = found.get("etcd", {})
    unknown = sorted(set(found) - {"group", "etcd"})
    problems += [f"{path}: {name} is no setting of a profile: it has group and [etcd]" for name in unknown]
    if not isinstance(etcd, dict):
        problems.append(f"{path}: etcd should be a table")
    if problems:
        raise ConfigError(problems)
    home = {name: str(Path(value).expanduser()) for name, value in etcd.items() if name.endswith("_file") and value}
    return {**found, "etcd": {**etcd, **home}}


def merged(profile: Table, environ: Table, options: Table) -> Table:
    """Return what an operator gave, the later over the earlier; a certificate and its key come from one place."""
    found: Table = {}
    for layer in (profile, environ, options):
        for whole in (_WHERE, _CERTIFICATE, _LOGIN):
            if whole & layer.keys():
                found = {name: value for name, value in found.items() if name not in whole}
        found |= layer
    return found


def over_configuration(configured: Table, mine: Table) -> Table:
    """Lay what an operator gave over the [etcd] of the configuration, whose identity is the agent's."""
    dropped: frozenset[str] = frozenset()
    if mine.keys() & _WHERE:
        dropped |= _WHERE
    if mine.keys() & (_CERTIFICATE | _LOGIN):
        dropped |= _LOGIN
    if "cert_file" in mine or ("user" in mine and not _readable(configured.get("key_file"))):
        dropped |= _CERTIFICATE
    return {name: value for name, value in configured.items() if name not in dropped} | mine


def _readable(path: Any) -> bool:
    try:
        with Path(str(path)).open("rb"):
            return True
    except OSError:
        return False


def with_password(table: Table) -> Table:
    """Ask for the password of a user who came without one. ConfigError when nobody is there to ask."""
    if not table.get("user") or table.get("password") or table.get("password_file"):
        return table
    if not attended():
        raise ConfigError([f"no password for {table['user']}: set --password-file or ETCDCTL_PASSWORD"])
    return {**table, "password": click.prompt(f"password of {table['user']}", hide_input=True, err=True)}


def identity(table: Table, *, agents: bool) -> ActsAs:
    """Say as whom a command acts with this [etcd]."""
    if table.get("user"):
        return ActsAs(f"as the user {table['user']}", agents)
    if table.get("cert_file"):
        return ActsAs(f"with the certificate {table['cert_file']}", agents)
    return ActsAs()


def spoken(text: str, mine: Table) -> str:
    """Name settings the way that an operator gave them; what comes from the configuration keeps its name."""

    def name(found: re.Match[str]) -> str:
        setting = found[1]
        if setting not in SPOKEN or setting not in mine:
            return found[0]
        option, variable = SPOKEN[setting]
        return f"{option} ({variable})" if variable else option

    return re.sub(r"\betcd\.(\w+)", name, text)
