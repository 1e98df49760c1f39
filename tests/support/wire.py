"""A gRPC channel that records what it is asked, and answers what the test says: etcd without a server."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import grpc
import pytest

from agent.etcd.rpc import rpc
from tests.support.moved_time import MovedTime


class Failed(grpc.RpcError):  # type: ignore[misc]  # grpc ships no types
    """A failure as gRPC tells it."""

    def __init__(self, code: grpc.StatusCode, details: str = "") -> None:
        super().__init__(details)
        self._code, self._details = code, details

    def code(self) -> grpc.StatusCode:
        """Return the code."""
        return self._code

    def details(self) -> str:
        """Return the words."""
        return self._details


@dataclass(frozen=True)
class Call:
    """One call: its method without the service, its request, its time-out in seconds, and when (ms) it left."""

    method: str
    request: Any
    timeout: float | None
    metadata: tuple[tuple[str, str], ...]
    at: int


ANSWERS: dict[str, Any] = {
    "Authenticate": lambda: rpc.AuthenticateResponse(token="t0ken"),
    "Range": lambda: rpc.RangeResponse(header=rpc.ResponseHeader(revision=7)),
    "Txn": lambda: rpc.TxnResponse(header=rpc.ResponseHeader(revision=8), succeeded=True),
    "LeaseGrant": lambda: rpc.LeaseGrantResponse(ID=5, TTL=9),
    "LeaseKeepAlive": lambda: rpc.LeaseKeepAliveResponse(ID=5, TTL=9),
    "LeaseRevoke": rpc.LeaseRevokeResponse,
    "LeaseTimeToLive": lambda: rpc.LeaseTimeToLiveResponse(ID=5, TTL=4, grantedTTL=9),
    "Status": lambda: rpc.StatusResponse(
        header=rpc.ResponseHeader(member_id=1), version="3.5.1", leader=2, raftTerm=3, raftIndex=4, dbSize=5
    ),
    "MemberList": lambda: rpc.MemberListResponse(
        members=[{"ID": 1, "name": "m1", "clientURLs": ["http://10.0.0.1:2379"]}]
    ),
}


@dataclass
class Wire:
    """Every channel that is opened. Each call takes `takes_ms` of the time; `says` replaces answers, by method.

    An answer is a message, an exception, or a list of them: the last one stays. `opened` has the address of each
    channel, `closed` counts those that were closed again.
    """

    time: MovedTime
    takes_ms: int = 0
    says: dict[str, Any] = field(default_factory=dict)
    calls: list[Call] = field(default_factory=list)
    opened: list[str] = field(default_factory=list)
    closed: int = 0

    def answer(self, method: str, request: Any, timeout: float | None, metadata: Any) -> Any:
        """Record a call, and answer it."""
        self.calls.append(Call(method, request, timeout, tuple(metadata or ()), self.time.now))
        self.time.go(self.takes_ms)
        said = self.says.get(method) or ANSWERS[method]
        if isinstance(said, list):
            said = said.pop(0) if len(said) > 1 else said[0]
        if isinstance(said, BaseException):
            raise said
        return said() if callable(said) else said

    def spans(self, *methods: str) -> list[float | None]:
        """Return the time-outs of the calls, or of some."""
        return [call.timeout for call in self.calls if not methods or call.method in methods]

    @property
    def methods(self) -> list[str]:
        """What was asked, in order."""
        return [call.method for call in self.calls]


class Channel:
    """One channel on a wire."""

    def __init__(self, wire: Wire, address: str) -> None:
        self._wire = wire
        wire.opened.append(address)

    def unary_unary(self, path: str, *_: Any, **__: Any) -> Callable[..., Any]:
        """Return a call that is recorded; a stream brings what the test says."""
        method = path.rpartition("/")[2]

        def call(asked: Any, timeout: float | None = None, metadata: Any = None, **_named: Any) -> Any:
            request = next(asked) if isinstance(asked, Iterator) else asked
            return self._wire.answer(method, request, timeout, metadata)

        return call

    unary_stream = stream_stream = unary_unary

    def close(self) -> None:
        """Count that."""
        self._wire.closed += 1


@pytest.fixture
def wire(moved: MovedTime, monkeypatch: pytest.MonkeyPatch) -> Wire:
    """Put recorded channels in the place of gRPC's, in time that is moved."""
    found = Wire(moved)
    monkeypatch.setattr(grpc, "insecure_channel", lambda address, **_: Channel(found, address))
    monkeypatch.setattr(grpc, "secure_channel", lambda address, *_, **__: Channel(found, address))
    return found
