"""The tables of the file that have no module of their own: what each setting means, its unit and default."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, field_validator, model_validator

from agent.config.base import (
    AbsolutePath,
    Directory,
    Optional,
    Problems,
    ReadableFile,
    Seconds,
    SecretFile,
    Section,
    split_url,
)

_PUBLIC_KEY = re.compile(r"(EOS|PUB_(K1|R1|WA)_)[1-9A-HJ-NP-Za-km-z]{45,200}")
_PRIVATE_KEY = re.compile(r"PVT_|5[HJK][1-9A-HJ-NP-Za-km-z]{49}")


def _nodeos_url(text: str) -> None:
    if text.startswith("unix:"):
        if not re.fullmatch(r"unix:///[^/\s?#][^\s?#]*", text):
            raise ValueError(f"{text!r} names no socket: write unix:///path/to/socket")
        return
    parts = split_url(text, ("http", "https"))
    if parts.path not in {"", "/"} or parts.query or parts.fragment:
        raise ValueError(f"{text!r} has a path: write only http://HOST:PORT")


class NodeosSection(Section):
    """[nodeos]: the node beside this agent."""

    url: str = Field(
        description="where nodeos answers: http://, https:// or unix:///path", examples=["http://127.0.0.1:8888"]
    )
    producer_url: Optional[str] = Field(
        default=None, description="where the producer API answers, if it has a listener of its own; default: url"
    )
    chain_id: Optional[str] = Field(
        default=None,
        pattern="^[0-9a-f]{64}$",
        json_schema_extra={"form": "64 hex digits, 0-9 and a-f"},
        description="the chain that nodeos must be on, 64 hex digits",
    )
    producer_key: Optional[str] = Field(default=None, description="the public key that this node signs blocks with")
    data_dir: Optional[Directory] = Field(default=None, description="nodeos's data directory, for the disk check")
    config_file: Optional[AbsolutePath] = Field(
        default=None,
        description="nodeos's config.ini, to see what is set there; the agent runs without it where it cannot read it",
    )

    @field_validator("url", "producer_url")
    @classmethod
    def _is_url(cls, value: str | None) -> str | None:
        if value is not None:
            _nodeos_url(value)
        return value

    @field_validator("producer_key")
    @classmethod
    def _is_public_key(cls, value: str | None) -> str | None:
        if value is not None and _PRIVATE_KEY.match(value):
            raise ValueError("this is a PRIVATE key: take it out of here, replace it on chain, give the public key")
        if value is not None and not _PUBLIC_KEY.fullmatch(value):
            raise ValueError("this is no public key: give the one that starts with EOS or PUB_K1_")
        return value


class EtcdSection(Section):
    """[etcd]: where the group meets."""

    endpoints: tuple[str, ...] = Field(
        default=(),
        description="the members of the etcd cluster; this or discovery_srv is required",
        examples=[["http://127.0.0.1:2379"]],
    )
    discovery_srv: Optional[str] = Field(
        default=None,
        pattern=r"^[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*\.?$",
        json_schema_extra={"form": "a domain like example.org"},
        description="domain whose SRV records name the members: _etcd-client-ssl._tcp with ca_file, else "
        "_etcd-client._tcp",
    )
    discovery_srv_name: Optional[str] = Field(
        default=None,
        pattern="^[A-Za-z0-9-]+$",
        json_schema_extra={"form": "letters, digits and hyphens"},
        description="what the service is called beside it: _etcd-client-NAME._tcp",
    )
    ca_file: Optional[ReadableFile] = Field(default=None, description="certificates that sign those of etcd (PEM)")
    cert_file: Optional[ReadableFile] = Field(default=None, description="our client certificate (PEM)")
    key_file: Optional[SecretFile] = Field(default=None, description="the key of our client certificate (PEM)")
    user: Optional[str] = Field(default=None, description="user name, if etcd asks for one")
    password: Optional[SecretStr] = Field(default=None, description="its password; better in password_file")
    password_file: Optional[AbsolutePath] = Field(default=None, description="file that holds the password")
    prefix: str = Field(default="/nodeos-failover", description="the key under which all groups live")

    @property
    def targets(self) -> tuple[tuple[str, int], ...]:
        """Host and port of each endpoint."""
        parts = [urlsplit(text if "://" in text else f"//{text}") for text in self.endpoints]
        return tuple((part.hostname or "", part.port or 2379) for part in parts)

    @property
    def tls(self) -> bool:
        """Whether the connections are encrypted."""
        return self.ca_file is not None

    @field_validator("endpoints")
    @classmethod
    def _are_endpoints(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for text in value:
            parts = split_url(text if "://" in text else f"http://{text}", ("http", "https"))
            if parts.path not in {"", "/"} or parts.query or parts.fragment:
                raise ValueError(f"{text!r} has a path: write only http://HOST:PORT")
        if len({text.split("://")[0] if "://" in text else "" for text in value}) > 1:
            raise ValueError("http, https and no scheme are mixed: write all endpoints the same way")
        if len(set(value)) < len(value):
            raise ValueError("an endpoint stands here twice: name each member once")
        return value

    @field_validator("prefix")
    @classmethod
    def _is_prefix(cls, value: str) -> str:
        if not re.fullmatch(r"(/[A-Za-z0-9._-]+)+", value):
            raise ValueError(f"{value!r} is no key prefix: write it like /nodeos-failover, without a slash at its end")
        return value

    @model_validator(mode="after")
    def _fits(self) -> Self:
        faults = []
        if not self.endpoints and not self.discovery_srv:
            faults.append('etcd.endpoints is missing: write endpoints = ["http://127.0.0.1:2379"], or discovery_srv')
        if self.endpoints and self.discovery_srv:
            faults.append("etcd.endpoints and etcd.discovery_srv both name the members: keep one of them")
        if self.discovery_srv_name and not self.discovery_srv:
            faults.append("etcd.discovery_srv_name needs etcd.discovery_srv: set it too")
        scheme = self.endpoints[0].split("://")[0] if self.endpoints and "://" in self.endpoints[0] else ""
        if scheme == "https" and not self.ca_file:
            faults.append("etcd.ca_file is missing: https endpoints need the certificates that sign those of etcd")
        if scheme == "http" and self.ca_file:
            faults.append("etcd.ca_file is set but the endpoints say http://: write https:// in etcd.endpoints")
        if bool(self.cert_file) != bool(self.key_file):
            faults.append("etcd.cert_file and etcd.key_file belong together: set both or neither")
        if self.cert_file and not self.ca_file:
            faults.append("etcd.cert_file needs TLS: set etcd.ca_file too")
        if self.user and not (self.password or self.password_file):
            faults.append("etcd.user is set without a password: set etcd.password_file")
        if not self.user and (self.password or self.password_file):
            faults.append("etcd.user is missing: a password is set, name the user that it belongs to")
        if faults:
            raise Problems(faults)
        return self


class FenceSection(Section):
    """[fence]: how the nodeos process is found, and ended if it must be."""

    method: Literal["auto", "pid_file", "unit", "command", "none"] = Field(
        default="auto", description="auto takes what is set here, else who listens on nodeos.url; none: never end it"
    )
    pid_file: Optional[AbsolutePath] = Field(default=None, description="file with the process id of nodeos")
    unit: Optional[str] = Field(
        default=None,
        pattern=r"^[A-Za-z0-9:_.@\\-]+\.service$",
        json_schema_extra={"form": "the whole name of a unit, with .service at its end"},
        description="systemd unit of nodeos",
    )
    executable: str = Field(
        default="nodeos",
        pattern=r"^(/.*[^/]|[^/]+)$",
        json_schema_extra={"form": "a file name, or a whole path that starts with /"},
        description="file name or whole path of nodeos's program: no other process is taken for nodeos",
    )
    command: tuple[str, ...] = Field(
        default=(), description="program and arguments that end nodeos, instead of signals; it must be seen gone after"
    )
    term_grace: Seconds = Field(
        default=1.0,
        description="seconds between SIGTERM and SIGKILL, if the confirmation leaves them; a killed nodeos replays",
    )

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.method in {"pid_file", "unit", "command"} and not getattr(self, self.method):
            raise Problems([f"fence.{self.method} is missing: fence.method asks for it"])
        if self.command and not os.access(self.command[0], os.X_OK):
            raise Problems([f"fence.command: {self.command[0]!r} cannot be executed: give the whole path of a program"])
        if self.command and not Path(self.command[0]).is_absolute():
            raise Problems([f"fence.command: {self.command[0]!r} is a relative path: give the whole one"])
        return self


class LogSection(Section):
    """[log]: what goes to stderr."""

    format: Literal["text", "json"] = Field(default="text", description="text for people, json for machines")
    level: Literal["debug", "info", "warning", "error"] = Field(default="info", description="the least that is logged")


class RuntimeSection(Section):
    """[runtime]: what must survive a restart of the agent, and not one of the host."""

    dir: AbsolutePath = Field(
        default=Path("/run/nodeos-failover"), description="directory on tmpfs; RUNTIME_DIRECTORY of systemd wins"
    )
