"""Which answers of etcd are a definite no, which addresses are understood, and that no secret shows. No etcd needed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pytest

from agent.errors import ConfigError, LeaseGone, StoreCompacted, StoreRejected, StoreUnavailable
from agent.etcd.connection import EtcdEndpoint, EtcdOptions
from agent.etcd.errors import TokenStale, translate
from agent.etcd.rpc import prefix_range
from agent.etcd.store import EtcdStore

CODE = grpc.StatusCode


@dataclass
class Failure:
    """What translate reads of a grpc.RpcError."""

    its_code: Any
    words: str | None

    def code(self) -> Any:
        """See grpc.Call."""
        return self.its_code

    def details(self) -> str | None:
        """See grpc.Call."""
        return self.words


@pytest.mark.parametrize(
    ("code", "words", "kind", "reason"),
    [
        (CODE.NOT_FOUND, "etcdserver: requested lease not found", LeaseGone, "lease_gone"),
        (CODE.OUT_OF_RANGE, "etcdserver: mvcc: required revision has been compacted", StoreCompacted, "compacted"),
        (CODE.RESOURCE_EXHAUSTED, "etcdserver: mvcc: database space exceeded", StoreRejected, "no_space"),
        (CODE.PERMISSION_DENIED, "etcdserver: permission denied", StoreRejected, "permission_denied"),
        (
            CODE.INVALID_ARGUMENT,
            "etcdserver: authentication failed, invalid user ID or password",
            StoreRejected,
            "auth",
        ),
        (CODE.UNAUTHENTICATED, "etcdserver: invalid auth token", TokenStale, "auth"),
        (CODE.INVALID_ARGUMENT, "etcdserver: user name is empty", TokenStale, "auth"),
        (CODE.INVALID_ARGUMENT, "etcdserver: revision of auth store is old", TokenStale, "auth"),
        (CODE.INVALID_ARGUMENT, "etcdserver: duplicate key given in txn request", StoreRejected, "invalid"),
        (CODE.INVALID_ARGUMENT, "etcdserver: request is too large", StoreRejected, "invalid"),
    ],
)
def test_definite_refusals(code: Any, words: str, kind: type[StoreRejected], reason: str) -> None:
    """What etcd itself refuses was not applied, and says what to do."""
    error = translate(Failure(code, words), "transaction", "http://e:1")
    assert type(error) is kind
    assert error.reason == reason
    assert str(error).startswith("etcd at http://e:1, transaction: ")


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (CODE.UNAVAILABLE, "etcdserver: leader changed"),
        (CODE.UNAVAILABLE, "etcdserver: no leader"),
        (CODE.UNAVAILABLE, "etcdserver: request timed out"),
        (CODE.UNAVAILABLE, "etcdserver: rpc not supported for learner"),
        (CODE.FAILED_PRECONDITION, "etcdserver: rpc not supported for learner"),
        (CODE.UNAVAILABLE, "failed to connect to all addresses; last error: Connection refused"),
        (CODE.DEADLINE_EXCEEDED, "Deadline Exceeded"),
        (CODE.CANCELLED, "Channel closed!"),
        (CODE.UNKNOWN, "context deadline exceeded"),
        (CODE.INTERNAL, "Exception deserializing response!"),
        (CODE.RESOURCE_EXHAUSTED, "etcdserver: too many requests"),
        (CODE.RESOURCE_EXHAUSTED, "CLIENT: Received message larger than max (5000000 vs. 4194304)"),
        (CODE.PERMISSION_DENIED, "Received http2 header with status: 403"),
        (CODE.UNAUTHENTICATED, "Received http2 header with status: 401"),
        (CODE.INVALID_ARGUMENT, "what a proxy says"),
        (CODE.UNAVAILABLE, None),
    ],
)
def test_everything_else_is_unknown(code: Any, words: str | None) -> None:
    """No answer, or the answer of somebody else, never counts as a refusal: the write may have been applied (R2)."""
    assert type(translate(Failure(code, words), "transaction", "http://e:1")) is StoreUnavailable


@pytest.mark.parametrize(
    ("text", "tls", "shown"),
    [
        ("http://127.0.0.1:2379", False, "http://127.0.0.1:2379"),
        ("http://127.0.0.1:2379", True, "http://127.0.0.1:2379"),
        ("https://etcd-1.example:443/", True, "https://etcd-1.example:443"),
        ("etcd-1:2379", False, "http://etcd-1:2379"),
        ("etcd-1:2379", True, "https://etcd-1:2379"),
        ("etcd-1", False, "http://etcd-1:2379"),
        ("[::1]:2379", False, "http://[::1]:2379"),
        ("https://[fd00::1]", True, "https://[fd00::1]:2379"),
    ],
)
def test_addresses_that_are_understood(text: str, tls: bool, shown: str) -> None:
    """An address may have a scheme, a port and IPv6 brackets; without a scheme the CA decides about TLS."""
    assert str(EtcdEndpoint.parse(text, tls=tls)) == shown


@pytest.mark.parametrize(
    "text", ["", "http://", "unix:///run/etcd", "http://h:0x1", "http://h:99999", "http://h/path", "::1"]
)
def test_addresses_that_are_not(text: str) -> None:
    """Anything else is refused, and the message shows what an address looks like."""
    with pytest.raises(ConfigError, match=r"etcd\.endpoints: .*is not an address like https://"):
        EtcdEndpoint.parse(text, tls=False)


def test_options_report_every_fault_at_once() -> None:
    """All faults of the options come in one error, and a password in an address is not repeated."""
    with pytest.raises(ConfigError) as caught:
        EtcdOptions(("http://me:hunter2@h:1", "https://h"), cert=Path("c.pem"), user="me")
    assert len(caught.value.problems) == 4
    assert "hunter2" not in str(caught.value)


def test_password_is_never_shown() -> None:
    """Neither the options nor a store on them show the password."""
    options = EtcdOptions(("http://127.0.0.1:1",), user="me", password="hunter2")
    store = EtcdStore(options)
    assert "hunter2" not in repr(options) + str(options) + repr(store) + store.endpoint()


def test_prefix_covers_its_keys_alone() -> None:
    """A prefix ends where its last character has its successor; the empty one covers everything."""
    assert prefix_range("/a/") == (b"/a/", b"/a0")
    assert prefix_range("") == (b"\0", b"\0")
    key, end = prefix_range("/ü")
    assert key <= "/üa".encode() < end <= "/ý".encode()


@pytest.mark.parametrize(
    ("words", "remedy"),
    [
        ("Ssl handshake failed: SSL_ERROR_SSL: CERTIFICATE_VERIFY_FAILED", "not signed by etcd.ca_file"),
        ("Ssl handshake failed: WRONG_VERSION_NUMBER", "does not speak TLS"),
        ("Handshake read failed", "does it speak plain text"),
        ("failed to connect to all addresses; last error: Socket closed", "does it want TLS"),
        ("TLSV1_ALERT_CERTIFICATE_REQUIRED", "set etcd.cert_file and etcd.key_file"),
        ("SSLV3_ALERT_BAD_CERTIFICATE", "refuses our client certificate"),
        ("Unwrap failed (TSI_DATA_CORRUPTED)", "refuses our client certificate"),
        ("TLSV1_ALERT_UNKNOWN_CA", "does not know the CA of our client certificate"),
        ("connect: Connection refused (111)", "nothing listens there"),
        ("etcdserver: no leader", "no quorum, or an election"),
    ],
)
def test_no_answer_comes_with_what_to_look_at(words: str, remedy: str) -> None:
    """Each way in which a connection does not come about names its remedy, beside what was said."""
    error = translate(Failure(CODE.UNAVAILABLE, words), "connecting", "http://e:1")
    assert isinstance(error, StoreUnavailable)
    assert remedy in str(error)
    assert words.rpartition(": ")[2] in str(error)
    assert "(" not in str(translate(Failure(CODE.UNAVAILABLE, "something else"), "connecting", "http://e:1"))


def test_what_grpc_says_through_its_layers_is_told_as_one_short_line() -> None:
    """gRPC's own words are long, name the address again, and go into alerts: the reason alone is told."""
    refused = (
        "failed to connect to all addresses; last error: UNKNOWN: ipv4:127.0.0.1:1: Failed to connect to remote host: "
        "Connection refused"
    )
    told = str(translate(Failure(CODE.UNAVAILABLE, refused), "connecting", "http://e:1"))
    assert told == "etcd at http://e:1, connecting: Connection refused (nothing listens there)"
    told = str(translate(Failure(CODE.UNKNOWN, "what\nnobody has foreseen, " * 100), "connecting", "http://e:1"))
    assert "\n" not in told
    assert len(told) < 300
