"""The tables of the file that have no module of their own: what each setting means, its unit and default."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from agent.config.base import AbsolutePath, Directory, Optional, ReadableFile, Seconds, SecretFile, place_of
from agent.config.hooks import Command, program_problem
from agent.config.section import Section, relation
from agent.config.setting import Field, SecretStr

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
