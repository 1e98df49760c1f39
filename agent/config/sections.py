"""The tables about nodeos, etcd and this host: what each setting means, its unit and default."""

from __future__ import annotations

import ipaddress
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from agent.config.base import (
    ACCOUNT,
    ACCOUNT_FORM,
    AbsolutePath,
    Directory,
    Optional,
    ReadableFile,
    Seconds,
    SecretFile,
    place_of,
)
from agent.config.section import Field, SecretStr, Section, relation

Command = tuple[str, ...]


def program_problem(name: str, command: Command) -> str:
    """Return why a program with its arguments cannot be run, nothing if it can or there is none."""
    if not command:
        return ""
    if any("\0" in part for part in command):
        return f"{name}: an argument has a zero byte: take it out"
    if not os.access(command[0], os.X_OK) or Path(command[0]).is_dir():
        return f"{name}: {command[0]!r} cannot be executed: give the whole path of a program"
    return "" if Path(command[0]).is_absolute() else f"{name}: {command[0]!r} is a relative path: give the whole one"


class HooksSection(Section):
    """[hooks]: program and arguments for each moment; an empty list: nothing is run."""

    before_promote: Command = Field(
        default=(), description="run once elected; nodeos resumes when it ends, or is ended"
    )
    after_promote: Command = Field(default=(), description="run when nodeos has resumed")
    before_demote: Command = Field(
        default=(), description="run before a planned handover, else beside the pause, which never waits"
    )
    after_demote: Command = Field(default=(), description="run when nodeos is proven stopped")
    timeout: Seconds = Field(
        default=5.0, ge=0.1, le=60, description="seconds for each in all; then all of its process group is killed"
    )

    @property
    def commands(self) -> dict[str, Command]:
        """The hooks that are set, by their name."""
        found: dict[str, Command] = {name: value for name, value in self.values().items() if name != "timeout"}
        return {name: command for name, command in found.items() if command}

    @relation
    def _can_run(self) -> Iterator[str]:
        for name, command in self.commands.items():
            if problem := program_problem(f"hooks.{name}", command):
                yield problem


_PUBLIC_KEY = re.compile(r"(EOS|PUB_(K1|R1|WA)_)[1-9A-HJ-NP-Za-km-z]{45,200}")
_PRIVATE_KEY = re.compile(r"PVT_|5[HJK][1-9A-HJ-NP-Za-km-z]{49}")


def _nodeos_url(text: str) -> str:
    if text.startswith("unix:"):
        if not re.fullmatch(r"unix:///[^/\s?#][^\s?#]*", text):
            raise ValueError(f"{text!r} names no socket: write unix:///path/to/socket")
        return text
    place_of(text)
    return text


def _public_key(text: str) -> str:
    if _PRIVATE_KEY.match(text):
        raise ValueError("this is a PRIVATE key: take it out of here, replace it on chain, give the public key")
    if not _PUBLIC_KEY.fullmatch(text):
        raise ValueError("this is no public key: give the one that starts with EOS or PUB_K1_")
    return text


def _endpoints(found: tuple[str, ...]) -> tuple[str, ...]:
    for text in found:
        place_of(text if "://" in text else f"http://{text}")
    if len({text.split("://")[0] if "://" in text else "" for text in found}) > 1:
        raise ValueError("http, https and no scheme are mixed: write all endpoints the same way")
    if len(set(found)) < len(found):
        raise ValueError("an endpoint stands here twice: name each member once")
    return found


def _prefix(text: str) -> str:
    if not re.fullmatch(r"(/[A-Za-z0-9._-]+)+", text):
        raise ValueError(f"{text!r} is no key prefix: write it like /nodeos-failover, without a slash at its end")
    return text


class NodeosSection(Section):
    """[nodeos]: the node beside this agent."""

    url: Annotated[str, _nodeos_url] = Field(
        description="where nodeos answers: http://, https:// or unix:///path", examples=["http://127.0.0.1:8888"]
    )
    producer_url: Optional[Annotated[str, _nodeos_url]] = Field(
        default=None, description="where the producer API answers, if it has a listener of its own; default: url"
    )
    chain_id: Optional[str] = Field(
        default=None,
        pattern="^[0-9a-f]{64}$",
        form="64 hex digits, 0-9 and a-f",
        description="the chain that nodeos must be on, 64 hex digits",
    )
    producer_key: Optional[Annotated[str, _public_key]] = Field(
        default=None, description="the public key that this node signs blocks with"
    )
    data_dir: Optional[Directory] = Field(default=None, description="nodeos's data directory, for the disk check")
    config_file: Optional[AbsolutePath] = Field(
        default=None,
        description="nodeos's config.ini, to see what is set there; the agent runs without it where it cannot read it",
    )


class EtcdSection(Section):
    """[etcd]: where the group meets."""

    endpoints: Annotated[tuple[str, ...], _endpoints] = Field(
        default=(),
        description="the members of the etcd cluster; this or discovery_srv is required",
        examples=[["http://127.0.0.1:2379"]],
    )
    discovery_srv: Optional[str] = Field(
        default=None,
        pattern=r"^[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*\.?$",
        form="a domain like example.org",
        description="domain whose SRV records name the members: _etcd-client-ssl._tcp with ca_file, else "
        "_etcd-client._tcp",
    )
    discovery_srv_name: Optional[str] = Field(
        default=None,
        pattern="^[A-Za-z0-9-]+$",
        form="letters, digits and hyphens",
        description="what the service is called beside it: _etcd-client-NAME._tcp",
    )
    ca_file: Optional[ReadableFile] = Field(default=None, description="certificates that sign those of etcd (PEM)")
    cert_file: Optional[ReadableFile] = Field(default=None, description="our client certificate (PEM)")
    key_file: Optional[SecretFile] = Field(default=None, description="the key of our client certificate (PEM)")
    user: Optional[str] = Field(default=None, description="user name, if etcd asks for one")
    password: Optional[SecretStr] = Field(default=None, description="its password; better in password_file")
    password_file: Optional[AbsolutePath] = Field(default=None, description="file that holds the password")
    prefix: Annotated[str, _prefix] = Field(
        default="/nodeos-failover", description="the key under which all groups live"
    )

    @property
    def targets(self) -> tuple[tuple[str, int], ...]:
        """Host and port of each endpoint."""
        parts = [urlsplit(text if "://" in text else f"//{text}") for text in self.endpoints]
        return tuple((part.hostname or "", part.port or 2379) for part in parts)

    @property
    def tls(self) -> bool:
        """Whether the connections are encrypted."""
        return self.ca_file is not None

    @relation
    def _members_are_named(self) -> Iterator[str]:
        if not self.endpoints and not self.discovery_srv:
            yield 'etcd.endpoints is missing: write endpoints = ["http://127.0.0.1:2379"], or discovery_srv'
        if self.endpoints and self.discovery_srv:
            yield "etcd.endpoints and etcd.discovery_srv both name the members: keep one of them"
        if self.discovery_srv_name and not self.discovery_srv:
            yield "etcd.discovery_srv_name needs etcd.discovery_srv: set it too"

    @relation
    def _tls_fits(self) -> Iterator[str]:
        scheme = self.endpoints[0].split("://")[0] if self.endpoints and "://" in self.endpoints[0] else ""
        if scheme == "https" and not self.ca_file:
            yield "etcd.ca_file is missing: https endpoints need the certificates that sign those of etcd"
        if scheme == "http" and self.ca_file:
            yield "etcd.ca_file is set but the endpoints say http://: write https:// in etcd.endpoints"

    @relation
    def _certificate_fits(self) -> Iterator[str]:
        if bool(self.cert_file) != bool(self.key_file):
            yield "etcd.cert_file and etcd.key_file belong together: set both or neither"
        if self.cert_file and not self.ca_file:
            yield "etcd.cert_file needs TLS: set etcd.ca_file too"

    @relation
    def _login_fits(self) -> Iterator[str]:
        if self.user and not (self.password or self.password_file):
            yield "etcd.user is set without a password: set etcd.password_file"
        if not self.user and (self.password or self.password_file):
            yield "etcd.user is missing: a password is set, name the user that it belongs to"


class FenceSection(Section):
    """[fence]: how the nodeos process is found, and ended if it must be."""

    method: Literal["auto", "pid_file", "unit", "command", "none"] = Field(
        default="auto", description="auto takes what is set here, else who listens on nodeos.url; none: never end it"
    )
    pid_file: Optional[AbsolutePath] = Field(default=None, description="file with the process id of nodeos")
    unit: Optional[str] = Field(
        default=None,
        pattern=r"^[A-Za-z0-9:_.@\\-]+\.service$",
        form="the whole name of a unit, with .service at its end",
        description="systemd unit of nodeos",
    )
    executable: str = Field(
        default="nodeos",
        pattern=r"^(/.*[^/]|[^/]+)$",
        form="a file name, or a whole path that starts with /",
        description="file name or whole path of nodeos's program: no other process is taken for nodeos",
    )
    command: Command = Field(
        default=(), description="program and arguments that end nodeos, instead of signals; it must be seen gone after"
    )
    term_grace: Seconds = Field(
        default=1.0,
        description="seconds between SIGTERM and SIGKILL, if the confirmation leaves them; a killed nodeos replays",
    )

    @relation
    def _fits(self) -> Iterator[str]:
        if self.method in {"pid_file", "unit", "command"} and not getattr(self, self.method):
            yield f"fence.{self.method} is missing: fence.method asks for it"
        if problem := program_problem("fence.command", self.command):
            yield problem


class LogSection(Section):
    """[log]: what goes to stderr."""

    format: Literal["text", "json"] = Field(default="text", description="text for people, json for machines")
    level: Literal["debug", "info", "warning", "error"] = Field(default="info", description="the least that is logged")


class RuntimeSection(Section):
    """[runtime]: what must survive a restart of the agent, and not one of the host."""

    dir: AbsolutePath = Field(
        default=Path("/run/nodeos-failover"), description="directory on tmpfs; RUNTIME_DIRECTORY of systemd wins"
    )


class FinalizerSection(Section):
    """[finalizer]: each host has a BLS key of its own; the leader's is made the active one on chain."""

    public_key: Optional[str] = Field(
        default=None,
        pattern=r"^PUB_BLS_[A-Za-z0-9_-]{100,200}$",
        form="a public BLS key: PUB_BLS_…",
        description="the BLS key of this host's nodeos, on no other host",
    )
    account: Optional[str] = Field(
        default=None,
        pattern=ACCOUNT,
        form=ACCOUNT_FORM,
        description="the finalizer's name in the policy; default: producer",
    )
    permission: str = Field(
        default="active",
        pattern=ACCOUNT,
        form="a permission of the account",
        description="the permission that the command signs with; only handed on to it",
    )
    command: Command = Field(
        default=(),
        description="program and arguments that make this host's key the active one (actfinkey, setfinalizer); run "
        "after each take-over until get_finalizer_info shows it",
    )
    timeout: Seconds = Field(
        default=5.0, ge=0.1, le=60, description="seconds for the command in all; then its process group is killed"
    )

    @relation
    def _fits(self) -> Iterator[str]:
        if problem := program_problem("finalizer.command", self.command):
            yield problem
        if self.command and not self.public_key:
            yield "finalizer.public_key is missing: without it nobody can tell when the command is to be run"

    def words(self, producer: str) -> dict[str, str]:
        """Return what the command is told in its environment, beside what hooks are told."""
        return {
            "FINALIZER_KEY": self.public_key or "",
            "FINALIZER_ACCOUNT": self.account or producer,
            "FINALIZER_PERMISSION": self.permission,
        }


def _listen(text: str) -> str:
    if text and not re.fullmatch(r"(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9.-]+):\d{1,5}", text):
        raise ValueError(f"{text!r} is no address: write HOST:PORT, e.g. 127.0.0.1:9877, or an empty text")
    if text and int(text.rsplit(":", 1)[1]) > 65535:
        raise ValueError(f"{text!r} has no such port: the highest is 65535")
    return text


def checked_token(text: str) -> str:
    """Return a token. ValueError when it is easy to guess, or cannot stand in a header."""
    if not re.fullmatch(r"[\x21-\x7e]{16,200}", text):
        raise ValueError("it is too short or has spaces: write 16 to 200 visible characters")
    return text


def _token(found: SecretStr) -> SecretStr:
    checked_token(found.get_secret_value())
    return found


class HttpSection(Section):
    """[http]: metrics, probes and status; nothing there changes state."""

    listen: Annotated[str, _listen] = Field(
        default="127.0.0.1:9877", description="HOST:PORT to listen on, an empty text to listen nowhere"
    )
    token: Optional[Annotated[SecretStr, _token]] = Field(
        default=None, description="what a reader of metrics and status has to show; better in token_file"
    )
    token_file: Optional[AbsolutePath] = Field(default=None, description="file that holds the token")
    cert_file: Optional[ReadableFile] = Field(default=None, description="certificate for https (PEM)")
    key_file: Optional[SecretFile] = Field(default=None, description="its key (PEM)")
    public: bool = Field(default=False, description="true: others than this host may read without token and TLS")

    @property
    def address(self) -> tuple[str, int] | None:
        """Host and port, None for off."""
        return address_of(self.listen)

    @relation
    def _fits(self) -> Iterator[str]:
        if bool(self.cert_file) != bool(self.key_file):
            yield "http.cert_file and http.key_file belong together: set both or neither"
        guarded = self.token or self.token_file or self.cert_file or self.public
        if self.address and not _is_loopback(self.address[0]) and not guarded:
            yield (
                f"http.listen: {self.listen} can be reached from elsewhere: set http.token_file, or http.cert_file and "
                "http.key_file, or http.public = true where something else keeps strangers out"
            )


def address_of(listen: str) -> tuple[str, int] | None:
    """Return host and port of a `listen`; None when there are none. ValueError when the port is no port."""
    parts = urlsplit(f"//{listen}")
    return (parts.hostname, parts.port) if parts.hostname and parts.port is not None else None


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
