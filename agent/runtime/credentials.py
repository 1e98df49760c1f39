"""How the agent proves to etcd who it is, and who may read its pages: by files that may be renewed while it runs."""

from __future__ import annotations

from collections.abc import Callable

from agent.config.model import Config
from agent.config.secrets import read_secret
from agent.config.sections import EtcdSection, checked_token
from agent.etcd.connection import EtcdOptions
from agent.etcd.discovery import Discovery
from agent.host.from_files import FromFiles
from agent.host.jitter import MOST_S
from agent.host.logs import mask
from agent.telemetry.http_auth import AccessPolicy, server_context


def etcd_options(etcd: EtcdSection, probe: str, most_pause_s: float = MOST_S) -> EtcdOptions:
    """Return how to reach etcd. A password in a file is read at login.

    `probe` is read to see that a member is fit; `most_pause_s` is R, the longest pause after a failure.
    """
    given, file = etcd.password, etcd.password_file
    password: Callable[[], str] | str | None = given.get_secret_value() if given else None
    if file is not None:
        password = FromFiles("etcd.password_file", [file], lambda: mask(read_secret(file)))
    discovery = Discovery(etcd.discovery_srv, etcd.discovery_srv_name, tls=etcd.tls) if etcd.discovery_srv else None
    return EtcdOptions(
        etcd.endpoints,
        etcd.ca_file,
        etcd.cert_file,
        etcd.key_file,
        etcd.user,
        password,
        probe,
        most_pause_s,
        discovery=discovery,
    )


def access(config: Config) -> Callable[[], AccessPolicy]:
    """Return who may read over HTTP, and how, as token and certificate stand in their files at each connection.

    ConfigError when they cannot be used now.
    """
    http = config.http

    def make() -> AccessPolicy:
        token = http.token.get_secret_value() if http.token else None
        if http.token_file is not None:
            token = mask(checked_token(read_secret(http.token_file)))
        return AccessPolicy(
            token, server_context(http.cert_file, http.key_file) if http.cert_file and http.key_file else None
        )

    return FromFiles("http", [http.token_file, http.cert_file, http.key_file], make)
