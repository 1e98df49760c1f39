"""Which group a command means, the way to its etcd, and as whom; and what a shell completes from there.

Each setting comes from an option, etcdctl's variable, a profile, or the configuration, the first that has it. What an
operator gives is theirs: a certificate or user of an operator replaces the agent's own, never joins it.
"""

from __future__ import annotations

import functools
import os
import re
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import click

from agent.cli.options import attended, config_option
from agent.config.load import operator_view, tables
from agent.config.sections import EtcdSection, HttpSection, address_of
from agent.core.model.fields import NAME
from agent.core.model.keys import Keys, keys
from agent.core.model.records import read_group
from agent.core.model.store import Snapshot
from agent.errors import ConfigError, StoreError, StoreRejected, StoreUnavailable
from agent.host.paths import DEFAULT_CONFIG
from agent.net.endpoint import here
from agent.ports import Store

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
    if "cert_file" in mine or ("user" in mine and not os.access(str(configured.get("key_file")), os.R_OK)):
        dropped |= _CERTIFICATE
    return {name: value for name, value in configured.items() if name not in dropped} | mine


def with_password(table: Table) -> Table:
    """Ask for the password of a user who came without one. ConfigError when nobody is there to ask."""
    if not table.get("user") or table.get("password") or table.get("password_file"):
        return table
    if not attended():
        raise ConfigError([f"no password for {table['user']}: set --password-file or ETCDCTL_PASSWORD"])
    return {**table, "password": click.prompt(f"password of {table['user']}", hide_input=True, err=True)}


def asked_as(table: Table, *, agents: bool) -> str:
    """Say as whom a command acts with this [etcd]. `agents`: it is what the configuration gives the agent."""
    if table.get("user"):
        words = f"as the user {table['user']}"
    elif table.get("cert_file"):
        words = f"with the certificate {table['cert_file']}"
    else:
        return "without a login"
    return f"{words}, which is the agent's and has no operator's rights" if agents else words


def spoken(text: str, mine: Table) -> str:
    """Name settings the way that an operator gave them; what comes from the configuration keeps its name."""

    def name(found: re.Match[str]) -> str:
        setting = found[1]
        if setting not in SPOKEN or setting not in mine:
            return found[0]
        option, variable = SPOKEN[setting]
        return f"{option} ({variable})" if variable else option

    return re.sub(r"\betcd\.(\w+)", name, text)


WAIT_S = 1.5
"""A shell that completes stands still meanwhile; after that nothing is offered."""
ETCD_S = 1.0
LOOK_FOR_S = 5.5
"""A leader reports, and confirms in etcd, every 5 s at least, also where its peers keep it."""


@dataclass(frozen=True, slots=True)
class Target:
    """One group in one etcd. `timeout`: total deadline in seconds of one request; `node`: that of the configuration.

    `look_for`: seconds that a heartbeat is given to move on before it counts as not confirmed. `page`: where the agent
    of the configuration tells what it knows; empty: nowhere. `every`: all groups below the prefix are meant.
    """

    section: EtcdSection
    group: str
    timeout: float
    node: str | None = None
    look_for: float = LOOK_FOR_S
    asked_as: str = ""
    mine: Table = field(default_factory=dict)
    page: str = ""
    every: bool = False

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
            raise StoreRejected(error.reason, spoken(str(error), self.mine) + remedy) from error
        except StoreUnavailable as error:
            page = f"; see the agent's page: {self.page}" if self.page else ""
            raise StoreUnavailable(spoken(str(error), self.mine) + page) from error
        except StoreError as error:
            raise type(error)(spoken(str(error), self.mine)) from error
        finally:
            store.close()

    def _remedy(self) -> str:
        """Return what to do about a missing right: a role of one's own, and no more rights for the agent."""
        if self.every:
            prefix = f"{self.section.prefix}/"
            return (
                f". Asked {self.asked_as}: --all needs read on the whole prefix, which an operator of one group lacks; "
                f"root gives it by `etcdctl role grant-permission ROLE --prefix=true read {prefix}`"
            )
        role = f"nodeos-failover-{self.group or 'GROUP'}-operator"
        return (
            f". Asked {self.asked_as}: act as a user with the role {role} (--cert and --key, --user, or "
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


def groups(prefix: str, found: Snapshot) -> dict[str, Snapshot]:
    """Return the keys of each group below a prefix, in the order of their names. Keys of no group are left out."""
    items: dict[str, list[Any]] = {}
    for item in found.items:
        group, slash, _ = item.key.removeprefix(f"{prefix}/").partition("/")
        if slash and NAME.fullmatch(group):
            items.setdefault(group, []).append(item)
    return {group: Snapshot(found.revision, tuple(items[group]), found.cluster) for group in sorted(items)}


def _nodes(store: Store, target: Target) -> list[str]:
    found = store.range(target.names.root, target.timeout)
    return [each.node for each in read_group(target.names, found).members]


def _groups(store: Store, target: Target) -> list[str]:
    prefix = target.section.prefix
    return list(groups(prefix, store.range(f"{prefix}/", target.timeout)))


def _completed(
    names: Callable[[Store, Target], list[str]], ctx: click.Context, _param: click.Parameter, incomplete: str
) -> list[str]:
    """Return those `names` of the etcd that what is typed so far means. It never waits long, and never fails."""
    found: list[str] = []

    def work() -> None:
        given = ctx.params
        etcd = {name: given[name] for name in SPOKEN if given.get(name)}
        path = Path(given.get("path") or DEFAULT_CONFIG)
        chosen = Chosen(path, given.get("group"), given.get("profile"), etcd, ETCD_S)
        with suppress(Exception, SystemExit):  # a shell that completes is no place for an error
            target = resolve(chosen, os.environ, every=names is _groups)
            with target.store() as store:
                found.extend(names(store, target))

    thread = threading.Thread(target=work, name="complete", daemon=True)
    thread.start()
    thread.join(WAIT_S)
    return sorted(name for name in tuple(found) if name.startswith(incomplete))


complete_node = functools.partial(_completed, _nodes)


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
        shell_complete=functools.partial(_completed, _groups),
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
        mine = {**mine, "endpoints": split(mine["endpoints"])}
    profile = of_profile(profile_path(chosen.profile, environ))
    mine = merged(profile.get("etcd", {}), of_environment(environ), mine)
    group = group or profile.get("group")
    data: Table = {}
    if not (group or every) or not mine.keys() & {"endpoints", "discovery_srv"}:
        data = _configuration(chosen.path, environ, group, every=every)
    group = group or data.get("group")
    if not every and not (isinstance(group, str) and NAME.fullmatch(group)):
        raise ConfigError(["group is missing, or no name: give --group, or write it into the profile"])
    return replace(_target(data, group or "", mine, chosen.timeout, environ), every=every)


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
    etcd = with_password(over_configuration(configured if isinstance(configured, dict) else {}, mine))
    named = mine if configured else dict.fromkeys(SPOKEN, True)
    credentials = {} if mine else environ  # a systemd credential is the agent's
    try:
        view = operator_view({**data, "etcd": etcd}, credentials)
    except ConfigError as error:
        raise ConfigError([spoken(each, named) for each in error.problems]) from None
    agents = bool(configured) and not mine.keys() & {"user", "cert_file"}
    look_for = max(LOOK_FOR_S, 3 * view.timing.renew) if data else LOOK_FOR_S
    asked = asked_as(etcd, agents=agents)
    return Target(view.etcd, group, timeout, view.node, look_for, asked, named, page_of(data) if data else "")


def page_of(data: Table) -> str:
    """Return where the agent of this configuration shows its page; empty when it listens nowhere."""
    http = data.get("http", {})
    listen = http.get("listen", HttpSection().listen) if isinstance(http, dict) else ""
    try:
        address = address_of(listen)
    except ValueError:
        return ""
    return f"{'https' if http.get('cert_file') else 'http'}://{here(*address)[1]}/" if address else ""


def open_store(section: EtcdSection) -> Store:
    """Return a connection for one thread; the first call connects."""
    from agent.etcd.info import learn_cluster
    from agent.etcd.store import EtcdStore
    from agent.runtime.credentials import etcd_options

    options = etcd_options(section, f"{section.prefix}/")
    learn_cluster(options)  # a word to a member that was set up alone would be heard by nobody
    return EtcdStore(options)
