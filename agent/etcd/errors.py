"""What etcd's and gRPC's errors mean to us: a definite no, or no answer.

A refusal is believed to be definite only when etcd itself words it. The same gRPC codes also come from proxies, from
gRPC's own limits and from half-read answers, after which a write may well have been applied.
"""

from __future__ import annotations

import re
from typing import Any

from agent.errors import LeaseGone, StoreCompacted, StoreError, StoreRejected, StoreUnavailable
from agent.etcd.rpc import grpc

_CODE = grpc.StatusCode
_CREDENTIALS = "check etcd.user and its password, or the client certificate"

# (code, words of etcd, slug, remedy). Words as in etcd's api/v3rpc/rpctypes/error.go, the same from 3.4 to 3.6.
_REFUSALS = (
    (_CODE.RESOURCE_EXHAUSTED, "database space exceeded", "no_space",
     "nothing can be written until it is compacted, defragmented and `etcdctl alarm disarm` was run"),
    (_CODE.PERMISSION_DENIED, "permission denied", "permission_denied",
     "its role lacks this right; deploy/etcd/access.sh gives agents and operators theirs"),
    (_CODE.INVALID_ARGUMENT, "authentication failed", "auth", _CREDENTIALS),
)  # fmt: skip
# A token that is no longer good: another login may mend it. Both are raised before a request is applied.
_STALE_TOKEN = (
    (_CODE.UNAUTHENTICATED, "invalid auth token"),
    (_CODE.INVALID_ARGUMENT, "revision of auth store is old"),
    (_CODE.INVALID_ARGUMENT, "user name is empty"),
)
_REFUSING_CODES = (_CODE.INVALID_ARGUMENT, _CODE.NOT_FOUND, _CODE.PERMISSION_DENIED, _CODE.OUT_OF_RANGE)
_HINTS = (
    ("CERTIFICATE_VERIFY_FAILED", "its certificate is not signed by etcd.ca_file, or does not name this host"),
    ("WRONG_VERSION_NUMBER", "it does not speak TLS: use http:// or mend the server"),
    ("Handshake read failed", "it hung up on TLS: does it speak plain text?"),
    ("failed to connect.*Socket closed", "it hung up: does it want TLS, https:// and etcd.ca_file?"),
    ("CERTIFICATE_REQUIRED", "it asks for a client certificate: set etcd.cert_file and etcd.key_file"),
    (
        "BAD_CERTIFICATE|TSI_DATA_CORRUPTED",
        "it refuses our client certificate, or wants one: check etcd.cert_file and etcd.key_file",
    ),
    ("UNKNOWN_CA", "it does not know the CA of our client certificate: check etcd.cert_file"),
    ("Connection refused", "nothing listens there"),
    ("no leader", "this member sees no leader: no quorum, or an election"),
)


MOST = 200
"""Characters of what nobody has foreseen that are told: this goes into alerts."""


class TokenStale(StoreRejected):
    """etcd no longer knows our token: nothing was changed, log in again. Callers outside see a StoreRejected."""

    def __init__(self, message: str) -> None:
        super().__init__("auth", message)


def translate(error: Any, doing: str, endpoint: str) -> StoreError:
    """Turn a grpc.RpcError of the request `doing` into one of our errors: a definite no, else StoreUnavailable."""
    code, words = error.code(), error.details() or ""
    said = f"etcd at {endpoint}, {doing}: "
    if code == _CODE.NOT_FOUND and "requested lease not found" in words:
        return LeaseGone(f"{said}the lease has expired or was revoked: grant a new one")
    if code == _CODE.OUT_OF_RANGE and "has been compacted" in words:
        return StoreCompacted(f"{said}that revision is compacted: read again and watch from there")
    if any(code == stale and text in words for stale, text in _STALE_TOKEN):
        return TokenStale(f"{said}{words}: {_CREDENTIALS}")
    for refusal, text, slug, remedy in _REFUSALS:
        if code == refusal and text in words:
            return StoreRejected(slug, f"{said}{words}: {remedy}")
    if code in _REFUSING_CODES and words.startswith("etcdserver:"):
        return StoreRejected("invalid", f"{said}{words}")
    return StoreUnavailable(f"{said}{_no_answer(code, words)}")


def not_enabled(error: Any) -> bool:
    """Tell whether a login failed because this etcd has no authentication at all."""
    return error.code() == _CODE.FAILED_PRECONDITION and "authentication is not enabled" in (error.details() or "")


def _no_answer(code: Any, words: str) -> str:
    if code == _CODE.DEADLINE_EXCEEDED:
        return "no answer in time: frozen, overloaded or cut off"
    if code == _CODE.CANCELLED:
        return "the connection was dropped"
    said = " ".join(words.split())
    reason = said.rpartition(": ")[2]  # before it gRPC says the address again, and which of its layers it is
    for text, meaning in _HINTS:
        if re.search(text, said):
            return f"{reason} ({meaning})"
    return f"{code.name}: {said[:MOST]}"
