"""`config init`: a first configuration from nodeos's own, and the lines that this one still lacks."""

from __future__ import annotations

import socket
import tempfile
from pathlib import Path
from typing import Any

import click

from agent.cli.identity import split
from agent.cli.options import attended, config_option
from agent.config.load import load
from agent.config.proposal import Answers, draft, lacks, producers
from agent.config.shared import read_ini
from agent.errors import ConfigError, RefusedError
from agent.host.paths import write_whole
from agent.nodeos.config_ini import Options, merged

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
    text = draft(options, _answers(options, ini, given), ini)
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


def _answers(options: Options, ini: Path, given: dict[str, Any]) -> Answers:
    named = producers(options)
    only = named[0] if len(named) == 1 else None
    producer = given["producer"] or only or _asked("producer", f"the producer account {named or ''}".strip())
    group = given["group"] or _asked("group", "group: the nodes that share this producer", producer)
    node = given["node"] or _asked("node", "node: the name of this one", socket.gethostname().partition(".")[0].lower())
    endpoints = given["endpoints"] or _asked("etcd", "etcd endpoints, with commas between")
    etcd: dict[str, Any] = {"endpoints": split(endpoints)}
    etcd |= {name: given[name] for name in ("ca_file", "cert_file", "key_file") if given[name]}
    data_dir = given["data_dir"].absolute() if given["data_dir"] else _data_dir(ini)
    return Answers(group, node, etcd, producer, given["unit"], data_dir)


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
