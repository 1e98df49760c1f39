"""Whether the agent can read the files that its configuration names, looked at as the user of its unit.

root reads everything, so what root sees says nothing about an agent that runs as another user: a child process looks as
that user.
"""

from __future__ import annotations

import grp
import json
import os
import pwd
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from agent.config.model import Config
from agent.doctor.finding import Finding, fault, ok, unknown, warn
from agent.host.paths import DEFAULT_CONFIG
from agent.host.process import unit_properties

LOOK_S = 5.0
"""For systemctl, and for the child."""
UNITS_READ = Path(DEFAULT_CONFIG).parent
"""Where the units of systemd look for configurations."""
HIDDEN = ("/home/", "/root/", "/run/user/")
"""What ProtectHome=yes hides from a unit."""
_CHILD = """
import json, os, sys
given = json.load(sys.stdin)
found = {}
if given["as"]:
    user, group, groups = given["as"]
    os.setgroups(groups)
    os.setgid(group)
    os.setuid(user)
for name, path in given["files"].items():
    try:
        os.close(os.open(path, os.O_RDONLY | os.O_NONBLOCK))
    except OSError as error:
        found[name] = error.strerror
print(json.dumps(found))
"""
ADVICE = frozenset({"nodeos.config_file"})
"""Files that the agent starts without."""


@dataclass(frozen=True, slots=True)
class FileFacts:
    """The files that the agent reads, by setting, and why `user` cannot read them; None: nobody looked, see `error`.

    unit    the unit whose user that is; empty: it is the caller
    unseen  the user that the agent runs as, when the caller is another one and may not look as that user
    """

    files: Mapping[str, str] = field(default_factory=dict)
    user: str = ""
    unit: str = ""
    denied: Mapping[str, str] | None = None
    error: str = ""
    unseen: str = ""


def gather(config: Config, path: Path) -> FileFacts:
    """Return which files the agent cannot read, and as whom that was judged."""
    named = {name: str(file) for name, file in files_read(config, path)}
    unit = unit_name(path)
    settings = _unit(unit) if unit else {}
    me = _name_of(os.geteuid())
    user = (settings.get("User") or "root") if settings else me
    facts = FileFacts(named, user, unit if settings else "")
    if user != me and os.geteuid() != 0:
        return FileFacts(named, me, denied=_look(named, None), unseen=user)
    try:
        denied = _look(named, _as(user, settings) if user != me else None)
    except (KeyError, OSError, ValueError, subprocess.SubprocessError) as error:
        return FileFacts(named, user, facts.unit, error=f"nobody could look as {user}: {error}")
    if settings.get("ProtectHome") == "yes":
        denied |= {name: "hidden by ProtectHome=yes" for name, file in named.items() if file.startswith(HIDDEN)}
    return FileFacts(named, user, facts.unit, denied=denied)


def files_read(config: Config, path: Path) -> Iterator[tuple[str, Path]]:
    """Yield the files that the agent itself reads, by their settings; the configuration is one of them."""
    yield "the configuration", path.absolute()
    tables = {"nodeos": config.nodeos, "etcd": config.etcd, "http": config.http}
    tables |= {f"alerts[{index}]": channel for index, channel in enumerate(config.alerts)}
    for table, section in tables.items():
        for name, value in section.values().items():
            if name.endswith("_file") and isinstance(value, Path):
                yield f"{table}.{name}", value


def unit_name(path: Path) -> str:
    """Return the unit that reads a configuration there, the instance NAME for NAME.toml; empty: none does."""
    if path.absolute().parent != UNITS_READ:
        return ""
    return "nodeos-failover.service" if path.stem == "config" else f"nodeos-failover@{path.stem}.service"


def _unit(unit: str) -> dict[str, str]:
    """Return what systemd says of a unit; nothing when there is none, or no systemd."""
    with suppress(OSError, subprocess.SubprocessError):
        found = unit_properties(unit, "LoadState,User,Group,SupplementaryGroups,ProtectHome", LOOK_S)
        return found if found.get("LoadState") == "loaded" else {}
    return {}


def _as(user: str, settings: Mapping[str, str]) -> tuple[int, int, list[int]]:
    """Return user, group and further groups of the unit. KeyError when they are not there."""
    found = pwd.getpwnam(user)
    group = grp.getgrnam(settings["Group"]).gr_gid if settings.get("Group") else found.pw_gid
    more = [grp.getgrnam(name).gr_gid for name in settings.get("SupplementaryGroups", "").split()]
    return found.pw_uid, group, [*os.getgrouplist(user, group), *more]


def _look(named: Mapping[str, str], who: tuple[int, int, list[int]] | None) -> dict[str, str]:
    """Return why each file that `who` (None: the caller) cannot read cannot be read.

    The child becomes that user once it runs: the user may have no right to start our Python.
    """
    done = subprocess.run(
        [sys.executable, "-I", "-c", _CHILD],
        input=json.dumps({"as": who, "files": named}),
        capture_output=True,
        text=True,
        timeout=LOOK_S,
        check=True,
    )
    found: dict[str, str] = json.loads(done.stdout)
    return found


def _name_of(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def check(facts: FileFacts) -> list[Finding]:
    """See that the agent's user can read each file."""
    who = f"the agent's user {facts.user} ({facts.unit})" if facts.unit else f"{facts.user}, who runs this command,"
    if facts.denied is None:
        return [unknown("files", facts.error or "not looked at", "run doctor as root")]
    found = []
    if facts.unseen:
        seen = f"judged as {facts.user}, but the agent runs as {facts.unseen}"
        found.append(unknown("files", seen, "run doctor as root: it looks as the agent's user then"))
    for needed in (True, False):
        names = [name for name in facts.denied if (name not in ADVICE) is needed]
        if not names:
            continue
        seen = "; ".join(f"{name}: {facts.files[name]} ({facts.denied[name]})" for name in names)
        remedy = f"let {facts.user} read it: its group and mode 0640, or setfacl -m u:{facts.user}:r"
        found.append(
            fault("files", f"{who} cannot read {seen}", remedy)
            if needed
            else warn("files", f"{who} cannot read {seen}: the agent runs without it, and sees less", remedy)
        )
    return found or [ok("files", f"{who} can read all {len(facts.files)}")]
