"""One connection to one etcd member: addresses, TLS, login, the first look. No rotation and no key lives here.

A connection is used until its first failure and then thrown away: a gRPC channel that went bad once may stay silent
for a quarter of an hour, while a new one tells within a second.
"""

from __future__ import annotations

import logging
import ssl
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from agent.errors import ConfigError, StoreRejected
from agent.etcd.discovery import Discovery
from agent.etcd.errors import not_enabled, translate
from agent.etcd.logins import Logins
from agent.etcd.one_cluster import OneCluster
from agent.etcd.rpc import etcd3, grpc, rpc
from agent.host.deadline import Deadline
from agent.host.jitter import MOST_S
from agent.host.small_file import see_regular

_log = logging.getLogger(__name__)

_DEFAULT_PORT = 2379
MOST_RECEIVED = 32 * 1024 * 1024
"""Bytes of one answer. gRPC's own bound of 4 MiB is exceeded by three values as large as etcd takes them."""
CHANNEL_OPTIONS = (
    ("grpc.max_receive_message_length", MOST_RECEIVED),
    ("grpc.use_local_subchannel_pool", 1),  # else a new client gets the dead connection of the old one
    ("grpc.max_reconnect_backoff_ms", 1000),
    ("grpc.min_reconnect_backoff_ms", 2000),  # how long a hung connect keeps its socket after we gave it up
    ("grpc.keepalive_time_ms", 6000),  # etcd hangs up on pings more often than every 5 s
    ("grpc.keepalive_timeout_ms", 2000),
    ("grpc.http2.ping_timeout_ms", 2000),  # without it a frozen peer took 64 s to be noticed
    ("grpc.http2.max_pings_without_data", 0),  # a silent watch needs its pings
    ("grpc.enable_http_proxy", 0),
    ("grpc.enable_retries", 0),  # a write is sent once
    ("SingleThreadedUnaryStream", 1),  # who reads a stream waits for it: else two threads poll, 30 times a second
)
# A member that sees no leader says so at once, and ends its watches, instead of letting us wait (as Go's client can).
REQUIRE_LEADER = (("hasleader", "true"),)


@dataclass(frozen=True, slots=True)
class EtcdOptions:
    """How to reach etcd. `endpoints` are 'http://host:port', 'https://host:port' or 'host:port' (TLS if `ca` is set).

    `discovery` finds the members where `endpoints` is empty.

    `ca` (needed for TLS), `cert` and `key` (ours, both or neither) are PEM files, read anew for each connection.
    `user` and `password` go together; a password that may change is a function, which is asked before each login.
    `probe` is the key read to see that a member is fit; it need not exist. `most_pause_s`: the longest pause before
    what failed is tried again, R; logins that are refused come to wait for longer, see `Logins`.
    ConfigError when these do not fit.
    """

    endpoints: tuple[str, ...]
    ca: Path | None = None
    cert: Path | None = None
    key: Path | None = None
    user: str | None = None
    password: str | Callable[[], str] | None = field(default=None, repr=False)
    probe: str = "/nodeos-failover/"
    most_pause_s: float = MOST_S
    logins: Logins = field(default_factory=Logins, repr=False, compare=False)
    cluster: OneCluster = field(default_factory=OneCluster, repr=False, compare=False)
    discovery: Discovery | None = None

    def __post_init__(self) -> None:
        named = self.endpoints or self.discovery
        problems = [] if named else ["etcd.endpoints: name at least one, e.g. http://127.0.0.1:2379"]
        for text in self.endpoints:
            try:
                if EtcdEndpoint.parse(text, tls=self.ca is not None).tls and self.ca is None:
                    problems.append("etcd.ca_file: https needs the certificates that sign those of etcd")
            except ConfigError as error:
                problems += error.problems
        if (self.cert is None) != (self.key is None):
            problems.append("etcd.cert_file and etcd.key_file: set both or neither")
        if (self.user is None) != (self.password is None):
            problems.append("etcd.user and its password: set both or neither")
        if problems:
            raise ConfigError(problems)

    def members(self, deadline: Deadline, *, anew: bool = False) -> tuple[str, ...]:
        """Return the endpoints; those that DNS names are looked up once, and again with `anew`.

        StoreUnavailable within the deadline when none were ever found.
        """
        return self.discovery.find(deadline, anew=anew) if self.discovery is not None else self.endpoints

    def secret(self) -> str:
        """Return the password as it is now, empty when there is none."""
        return self.password() if callable(self.password) else self.password or ""

    def refused_login(self, secret: str, said: StoreRejected) -> None:
        """Note that etcd refused this password, or a token that it gave for it."""
        self.logins.refused(secret, said, round(self.most_pause_s * 1000))


@dataclass(frozen=True, slots=True)
class EtcdEndpoint:
    """One member's client address. `host` has brackets when it is an IPv6 address."""

    tls: bool
    host: str
    port: int

    def __str__(self) -> str:
        return f"{'https' if self.tls else 'http'}://{self.host}:{self.port}"

    @classmethod
    def parse(cls, text: str, *, tls: bool) -> EtcdEndpoint:
        """Read an address; `tls` tells what one without a scheme means. ConfigError when it is none."""
        try:
            parts = urlsplit(text if "://" in text else f"{'https' if tls else 'http'}://{text}")
            port = parts.port or _DEFAULT_PORT
        except ValueError:
            parts, port = urlsplit(""), 0
        if parts.username is not None or parts.password is not None:
            raise ConfigError(["etcd.endpoints: no user or password in an address: use etcd.user and its password"])
        if parts.scheme not in {"http", "https"} or not parts.hostname or parts.path.strip("/") or parts.query:
            raise ConfigError([f"etcd.endpoints: '{text}' is not an address like https://10.0.0.1:2379"])
        host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
        return cls(parts.scheme == "https", host, port)


class Connection:
    """An etcd3 client on one endpoint, with our own deadline on every request. Opened by `open_connection` only."""

    def __init__(self, options: EtcdOptions, endpoint: EtcdEndpoint) -> None:
        """Make the client; nothing is sent yet. StoreRejected when a PEM file cannot be used."""
        self.endpoint = endpoint
        self.first: Any = None  # the header of its first answer; None: it refused us
        self.term = 0  # of etcd's leader when the members were listed last
        self.metadata: tuple[tuple[str, str], ...] = REQUIRE_LEADER
        tls = _checked_files(options) if endpoint.tls else (None, None, None)
        self.client: Any = etcd3.Etcd3Client(
            endpoint.host, endpoint.port, *tls, grpc_options=CHANNEL_OPTIONS
        )  # given no password: it would keep the token as call credentials, which gRPC refuses over plain text
        self.channel: Any = self.client.channel

    def login(self, user: str, password: str, deadline: Deadline) -> None:
        """Get a token and show it from now on. An etcd without authentication is used without one."""
        request = rpc.AuthenticateRequest(name=user, password=password)
        try:
            token = rpc.AuthStub(self.channel).Authenticate(request, deadline.remaining()).token
        except grpc.RpcError as error:
            if not not_enabled(error):
                raise
            _log.warning("etcd at %s has authentication disabled: anybody may write there", self.endpoint)
        else:
            self.metadata = (*REQUIRE_LEADER, ("token", token))

    def call(self, method: Any, request: Any, deadline: Deadline) -> Any:
        """Send one request. Raises grpc.RpcError, also when the deadline is over."""
        return method(request, deadline.remaining(), metadata=self.metadata)

    def keepalive(self, request: Any, deadline: Deadline) -> Any:
        """Send one LeaseKeepAlive and take its one answer.

        The method is a stream. A stream with one message each way is on the wire the same as a plain call, which
        needs no threads and no iterator.
        """
        method = self.channel.unary_unary(
            "/etcdserverpb.Lease/LeaseKeepAlive",
            request_serializer=rpc.LeaseKeepAliveRequest.SerializeToString,
            response_deserializer=rpc.LeaseKeepAliveResponse.FromString,
        )
        return self.call(method, request, deadline)

    def stream(self, name: str, read: Any, request: Any) -> Any:
        """Send one request and return the iterator of its answers, which ends with `cancel`.

        etcd's streams go on when our half of them has ended. As a stream of requests this would be one more thread.
        """
        method = self.channel.unary_stream(
            name, request_serializer=type(request).SerializeToString, response_deserializer=read
        )
        return method(request, metadata=self.metadata)

    def close(self, wait_s: float = 0.0) -> None:
        """Drop the connection with its streams, on a thread of its own: nothing says how long gRPC takes."""
        thread = threading.Thread(target=self.client.close, name="etcd-close", daemon=True)
        thread.start()
        if wait_s > 0:
            thread.join(wait_s)


def open_connection(options: EtcdOptions, endpoint: EtcdEndpoint, deadline: Deadline) -> Connection:
    """Connect, log in, and read once, linearizably: only a member in touch with a leader and a quorum answers that.

    So a write is not handed to a member that would lose it, and learners are passed over. Nothing of the caller's was
    sent when this fails: StoreUnavailable, or StoreRejected for bad files or credentials.
    """
    connection = Connection(options, endpoint)
    try:
        if options.user is not None and options.password is not None:
            _log_in(connection, options, options.user, deadline)
        _probe(connection, options.probe, deadline)
    except grpc.RpcError as error:
        connection.close()
        raise translate(error, "connecting", str(endpoint)) from error
    except BaseException:
        connection.close()
        raise
    return connection


def _log_in(connection: Connection, options: EtcdOptions, user: str, deadline: Deadline) -> None:
    """Log in. A password that etcd has just refused is tried when its pause is over, if that is within the deadline."""
    while (wait := options.logins.wait_s(secret := options.secret())) > 0:
        if wait >= deadline.remaining():
            raise options.logins.last_refusal()
        time.sleep(wait)
    try:
        connection.login(user, secret, deadline)
    except grpc.RpcError as error:
        failure = translate(error, "connecting", str(connection.endpoint))
        if isinstance(failure, StoreRejected):
            options.refused_login(secret, failure)
        raise
    options.logins.accepted()


def _probe(connection: Connection, key: str, deadline: Deadline) -> None:
    """Read. A refusal proves as much as an answer: etcd checks permissions after it has found its leader."""
    request = rpc.RangeRequest(key=key.encode(), count_only=True)
    try:
        answer = connection.call(connection.client.kvstub.Range, request, deadline)
        connection.first = answer.header
    except grpc.RpcError as error:
        if not isinstance(translate(error, "probe", ""), StoreRejected):
            raise


def _checked_files(options: EtcdOptions) -> tuple[str, str | None, str | None]:
    """Return CA, key and certificate as etcd3 wants them, once Python's ssl could read them: gRPC would not say why."""
    ca = str(options.ca)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        see_regular(options.ca)
        context.load_verify_locations(ca)
    except (OSError, ssl.SSLError) as error:
        raise StoreRejected("tls_files", f"etcd.ca_file: {ca} cannot be used: {error}") from error
    if options.cert is None or options.key is None:
        return ca, None, None
    try:
        see_regular(options.cert, options.key)
        context.load_cert_chain(options.cert, options.key, password=lambda: "")  # "": never ask on a terminal
    except (OSError, ssl.SSLError) as error:
        pair = f"etcd.cert_file {options.cert}, etcd.key_file {options.key}"
        raise StoreRejected("tls_files", f"{pair}: cannot be used: {error}") from error
    return ca, str(options.key), str(options.cert)
