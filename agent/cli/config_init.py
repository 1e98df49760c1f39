"""`config init`: a first configuration from nodeos's own config.ini, and the lines that this one still lacks."""

from __future__ import annotations

import json
import socket
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import click

from agent.cli.options import attended, config_option
from agent.cli.target import split
from agent.config.load import load
from agent.config.shared import read_ini
from agent.errors import ConfigError, RefusedError
from agent.host.small_file import write_whole
from agent.net.endpoint import here
from agent.nodeos.config_ini import SIGNERS, Options, merged

HTTP = "127.0.0.1:8888"
"""Where nodeos listens when its config.ini does not say (programs/nodeos, http_plugin)."""
CATEGORIES = "http-category-address"
_ANY = ("0.0.0.0", "::", "")  # noqa: S104 - compared with, not bound


@dataclass(frozen=True, slots=True)
class Lack:
    """A line that config.ini needs, and why; `line` empty: something to take out, or to see to."""

    line: str
    why: str


def producers(options: Options) -> list[str]:
    """Return the accounts that this nodeos produces for."""
    return list(dict.fromkeys(options.values.get("producer-name", ())))


def urls(options: Options, data_dir: Path | None) -> tuple[str, str]:
    """Return nodeos.url, and nodeos.producer_url where that is another one, empty otherwise."""
    places = dict(
        reversed([each.split(",", 1) for each in options.values.get(CATEGORIES, ()) if "," in each])
    )  # of several places of one category the first
    common, socket = options.last("http-server-address", HTTP), options.last("unix-socket-path")
    if common == CATEGORIES:
        common = places.get("chain_ro", "")
    elif not common and socket:
        common = socket if socket.startswith("/") else f"./{socket}"
    url = _url(common or HTTP, data_dir)
    producer = _url(places["producer_rw"], data_dir) if "producer_rw" in places else url
    return url, producer if producer != url else ""


def _url(place: str, data_dir: Path | None) -> str:
    """Return the URL of a listener: HOST:PORT, or a path of a socket, which is relative to the data directory."""
    if place.startswith(("/", ".", "~")):
        return f"unix://{PurePosixPath(data_dir or '/', place)}"
    host, _, port = place.rpartition(":")
    return f"http://{here(host.strip('[]'), int(port) if port.isdecimal() else 0)[1]}"


def draft(options: Options, config_file: Path, answers: Mapping[str, Any]) -> str:
    """Return the text of a configuration, with where each value came from. `answers`: what config.ini cannot say."""
    url, producer_url = urls(options, answers["data_dir"])
    keys = [key for key in options.values.get("signature-provider", ()) if not key.startswith("PUB_BLS_")]
    nodeos = {"url": url, "producer_url": producer_url, "producer_key": keys[0] if len(keys) == 1 else ""}
    nodeos |= {"config_file": str(config_file), "data_dir": str(answers["data_dir"] or "")}
    tables = {"nodeos": nodeos, "etcd": answers["etcd"], "fence": {"unit": answers["unit"]}}
    lines = [f"# made from {config_file}; all settings: nodeos-failover config schema -f markdown"]
    lines += [_line("group", answers["group"], "the same on every host of this producer")]
    lines += [_line("node", answers["node"], "another one on every host"), _line("producer", answers["producer"])]
    for name, table in tables.items():
        rows = [_line(key, value) for key, value in table.items() if value]
        lines += ["", f"[{name}]", *rows] if rows else []
    return "\n".join(lines) + "\n"


def _line(name: str, value: Any, about: str = "") -> str:
    return f"{name} = {json.dumps(value, ensure_ascii=False)}" + (f"  # {about}" if about else "")


def lacks(options: Options) -> Iterator[Lack]:
    """Yield what config.ini still lacks so that the agent can govern this nodeos."""
    if not options.on("pause-on-startup"):
        yield Lack("pause-on-startup = true", "a nodeos that starts must not produce before its agent says so")
    if options.on("enable-stale-production"):
        yield Lack("", "take enable-stale-production out: it lets a node produce on a chain that it is cut off from")
    plugins = {each.removeprefix("eosio::") for each in options.values.get("plugin", ())}
    for plugin, why in (
        ("chain_api_plugin", "get_info and the schedule: health and head"),
        ("producer_api_plugin", "pause, resume, paused: what the agent governs with"),
        ("net_api_plugin", "connected peers, for the check of that name"),
    ):
        if plugin not in plugins:
            yield Lack(f"plugin = eosio::{plugin}", why)
    if not producers(options):
        yield Lack("producer-name = ACCOUNT", "the account that this group produces for")
    if not options.values.get(SIGNERS):
        yield Lack("signature-provider = PUBLIC=KEY:PRIVATE", "the key that signs its blocks, or KEOSD: and the gate")
    if not options.values.get("p2p-peer-address"):
        yield Lack("p2p-peer-address = HOST:PORT", "each node of the group dials every other")
    yield from _open(options)


def _open(options: Options) -> Iterator[Lack]:
    """Yield what others than this host can reach of the producer API."""
    places = [each.split(",", 1) for each in options.values.get(CATEGORIES, ()) if each.startswith("producer_rw,")]
    for place in [each[1] for each in places] or [options.last("http-server-address", HTTP)]:
        host, colon, port = place.rpartition(":")
        if colon and not place.startswith(("/", ".")) and host.strip("[]") in _ANY:
            name = f"{CATEGORIES} = producer_rw," if places else "http-server-address = "
            why = f"whoever reaches the producer API at {place}, from anywhere, can pause and resume"
            yield Lack(f"{name}127.0.0.1:{port}", why)


_FILE = click.Path(dir_okay=False, resolve_path=True)


@click.command("init")
@config_option
@click.option("--from", "ini", type=click.Path(path_type=Path), required=True, help="nodeos's config.ini.")
@click.option("--group", help="The group: the nodes that share one producer.")
@click.option("--node", help="The name of this node, another one on every host.")
@click.option("--etcd", "endpoints", metavar="URL,…", help="etcd endpoints, with commas between.")
@click.option("--cacert", "ca_file", type=_FILE, help="Certificates that sign those of etcd (PEM).")
@click.option("--cert", "cert_file", type=_FILE, help="The agent's client certificate (PEM).")
@click.option("--key", "key_file", type=_FILE, help="Its key (PEM).")
@click.option("--producer", help="The account, where config.ini names several or none.")
@click.option("--unit", default="", help="nodeos's systemd unit, for ending it if need be.")
@click.option("--data-dir", type=click.Path(path_type=Path), help="nodeos's data directory.")
@click.option("--force", is_flag=True, help="Write over a configuration that is there.")
def init(path: Path, ini: Path, force: bool, **given: Any) -> None:
    """Write a configuration for the nodeos of a config.ini, and tell what that still lacks.

    What config.ini does not say is asked for: group, node, etcd. --config names the file that is written; - prints it.
    """
    if str(path) != "-" and path.exists() and not force:
        raise RefusedError(f"{path} is there: name another file with --config, or write over it with --force")
    ini = ini.absolute()
    options = _read(ini)
    text = draft(options, ini, _answers(options, ini, given))
    _validated(text, path)
    if str(path) == "-":
        click.echo(text, nl=False)
    else:
        _write(text, path)
        click.echo(f"{path} is written: look it over, then `nodeos-failover doctor`")
    missing = list(lacks(options))
    click.echo(f"{ini} lacks nothing" if not missing else f"{ini} still lacks:", err=True)
    for each in missing:
        click.echo(f"  {each.line}    # {each.why}" if each.line else f"  # {each.why}", err=True)


def _read(ini: Path) -> Options:
    try:
        return merged(read_ini(ini), [str(ini)])
    except ValueError as error:
        raise ConfigError([f"--from: {error}"]) from None


def _answers(options: Options, ini: Path, given: dict[str, Any]) -> dict[str, Any]:
    """Return what config.ini cannot say: what was given, or is asked for. `etcd` has settings of [etcd]."""
    named = producers(options)
    only = named[0] if len(named) == 1 else None
    producer = given["producer"] or only or _asked("producer", f"the producer account {named or ''}".strip())
    group = given["group"] or _asked("group", "group: the nodes that share this producer", producer)
    node = given["node"] or _asked("node", "node: the name of this one", socket.gethostname().partition(".")[0].lower())
    endpoints = given["endpoints"] or _asked("etcd", "etcd endpoints, with commas between")
    etcd: dict[str, Any] = {"endpoints": split(endpoints)}
    etcd |= {name: given[name] for name in ("ca_file", "cert_file", "key_file") if given[name]}
    data_dir = given["data_dir"].absolute() if given["data_dir"] else _data_dir(ini)
    found = {"group": group, "node": node, "etcd": etcd, "producer": producer}
    return found | {"unit": given["unit"], "data_dir": data_dir}


def _asked(option: str, question: str, default: str | None = None) -> str:
    if not attended():
        raise click.UsageError(f"--{option} is missing, and nobody is there to ask")
    answer: str = click.prompt(question, default=default, err=True)
    return answer


def _data_dir(ini: Path) -> Path | None:
    """Return nodeos's data directory where it lies by default: beside the directory of its config.ini, or there."""
    for place in (ini.parent.parent / "data", ini.parent / "data", ini.parent):
        if (place / "blocks").is_dir():
            return place
    return None


def _validated(text: str, path: Path) -> None:
    """Raise ConfigError with every fault of what would be written."""
    with tempfile.NamedTemporaryFile("w", suffix=".toml") as file:
        file.write(text)
        file.flush()
        try:
            load(Path(file.name), {})
        except ConfigError as error:
            raise ConfigError([*error.problems, f"nothing was written to {path}: give other answers"]) from None


def _write(text: str, path: Path) -> None:
    try:
        write_whole(path, text, 0o640)
    except OSError as error:
        raise ConfigError([f"{path} cannot be written: {error.strerror}; name another file with --config"]) from error
