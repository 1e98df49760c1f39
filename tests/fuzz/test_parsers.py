"""Every parser of what others write: a value or its own error, never anything else, whatever it is fed.

`make fuzz` does it for longer (FUZZ_EXAMPLES, default 150 each).
"""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent.config.load import load
from agent.core.model import records
from agent.core.model.fields import RecordError
from agent.core.model.keys import keys
from agent.core.model.operator import Switchover, read_override, read_switchover
from agent.core.model.runtime_record import RuntimeRecord, read_runtime
from agent.core.model.store import KeyValue, Snapshot
from agent.errors import ConfigError, FailoverError, NodeosAnswer
from agent.guard import stop
from agent.net.endpoint import parse_endpoint
from agent.net.http import Answer
from agent.nodeos import answers
from agent.nodeos.answers import read_finality
from tests.fuzz.mutation import broken_bytes, broken_json
from tests.support.pages import FakePages, serving

EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "150"))
fuzzed = settings(
    max_examples=EXAMPLES,
    deadline=None,  # a busy machine is no finding
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)

BLOCK = {
    "block_num": 7,
    "id": "00000007ab",
    "previous": "00000006ab",
    "timestamp": "2026-11-23T10:29:05.500",
    "producer": "eosio",
}
PRODUCER = {"producer_name": "eosio", "authority": [0, {"threshold": 1, "keys": [{"key": "EOS6", "weight": 1}]}]}
INFO = {
    "server_version": "fa06914e",
    "server_version_string": "v4.1.0",
    "chain_id": "8a34",
    "head_block_num": 7,
    "head_block_id": "00000007ab",
    "head_block_time": "2026-11-23T10:29:05.500",
    "head_block_producer": "eosio",
    "last_irreversible_block_num": 6,
    "last_irreversible_block_id": "00000006ab",
    "last_irreversible_block_time": "2026-11-23T10:29:05.000",
}
CONNECTIONS = [{"peer": "a:1", "connecting": False, "last_handshake": {"network_version": 1206}}]
FINALIZER = {"description": "eosio", "weight": 1, "public_key": "PUB_BLS_a"}
FINALITY = {
    "active_finalizer_policy": {"generation": 1, "threshold": 1, "finalizers": [FINALIZER]},
    "pending_finalizer_policy": None,
    "last_tracked_votes": [{"public_key": "PUB_BLS_a", "voted_for_block_timestamp": "2026-11-23T10:29:05.500"}],
}
BUSY = {"code": 503, "message": "Busy", "error": {"code": 3200008, "what": "busy", "details": [{"message": "wait"}]}}
RUNTIME = records.write(
    RuntimeRecord("boot", 41, "held", 7, "f00d", 3, 12, 11, 99, 60_000, 58_900, False, None),
    guard={
        "producer_url": "http://127.0.0.1:8888",
        "pause_ms": 300,
        "kill_ms": 500,
        "plan": {"url": "http://127.0.0.1:8888", "pid_file": "", "unit": "", "command": [], "enabled": True},
    },
)
MEMBER = records.Member("bp-a", "f00d", "standby", True, True, (), 100, 90, 250, 100, False, "0.1.0", "v4.1.0")


def of_nodeos(read: Callable[[Answer], Any]) -> Callable[[bytes], Any]:
    """Return a reader of nodeos's answers as a function of its body."""
    return lambda raw: read(Answer(200, {}, raw))


def of_guard(raw: bytes) -> Any:
    """Read the run-time file as the guard does."""
    return stop.to_stop(read_runtime(raw), raw, "boot") if raw else None


def of_group(raw: bytes) -> Any:
    """Read one value under every key of a group: it never fails, and counts what it cannot read."""
    names = keys("/nodeos-failover", "lab")
    places = [names.leader, names.heartbeat, names.override, names.maintenance, names.switchover, names.history(3)]
    places += [names.member("bp-a"), names.root + "members/" + "x" * 300, names.root + "unknown"]
    items = tuple(KeyValue(key, raw, 5, 0) for key in places)
    view = records.read_group(names, Snapshot(9, items))
    assert all(problem.isprintable() and len(problem) < 2000 for problem in view.problems)
    return view


@dataclass(frozen=True)
class Parser:
    """One parser, what it reads well, and the errors that it may raise."""

    read: Callable[[bytes], Any]
    good: list[Any]
    errors: tuple[type[Exception], ...] = (RecordError,)

    def examples(self) -> list[bytes]:
        """Return what it reads well, as bytes."""
        return [each if isinstance(each, bytes) else json.dumps(each).encode() for each in self.good]


PARSERS = {
    "heartbeat": Parser(records.read_heartbeat, [records.write(records.Heartbeat(7, "bp-a", "f00d", 3, 6000))]),
    "override": Parser(read_override, [{"leader": "bp-a", "reason": "why", "by": "me"}]),
    "switchover": Parser(read_switchover, [records.write(Switchover("bp-b"))]),
    "member": Parser(records.read_member, [records.write(MEMBER)]),
    "run-time file": Parser(read_runtime, [RUNTIME]),
    "group": Parser(of_group, [records.write(MEMBER), RUNTIME], ()),
    "guard": Parser(of_guard, [RUNTIME], (RecordError, ConfigError)),
    "info": Parser(of_nodeos(answers.read_info), [INFO], (NodeosAnswer,)),
    "block": Parser(of_nodeos(answers.read_block), [BLOCK], (NodeosAnswer,)),
    "peers": Parser(of_nodeos(answers.read_peers), [CONNECTIONS], (NodeosAnswer,)),
    "done": Parser(of_nodeos(answers.read_done), [{"result": "ok"}], (NodeosAnswer,)),
    "schedule": Parser(
        of_nodeos(answers.read_schedule), [{"active": {"version": 1, "producers": [PRODUCER]}}], (NodeosAnswer,)
    ),
    "finality": Parser(of_nodeos(read_finality), [FINALITY], (NodeosAnswer,)),
    "error of nodeos": Parser(lambda raw: answers.error_of(Answer(503, {}, raw), "/v1/chain/get_info"), [BUSY], ()),
}


@pytest.mark.parametrize("name", PARSERS)
def test_good_input_is_read(name: str) -> None:
    """Each example is read as it stands: what follows starts from input that is right."""
    parser = PARSERS[name]
    for raw in parser.examples():
        parser.read(raw)


@pytest.mark.parametrize("name", PARSERS)
@given(data=st.data())
@fuzzed
def test_bad_input_is_refused_in_words(name: str, data: st.DataObject) -> None:
    """A broken value is read, or refused with the parser's own error in printable words."""
    parser = PARSERS[name]
    examples = parser.examples()
    raw = data.draw(broken_json(examples) | broken_bytes(examples))
    try:
        parser.read(raw)
    except parser.errors as error:
        said = str(error)
        assert said
        assert len(said) < 2000
        assert said.isprintable()


@given(data=st.data())
@fuzzed
def test_bad_configuration_names_its_fields(tmp_path: Path, data: st.DataObject) -> None:
    """A broken file is a ConfigError, whatever stands in it; every problem is words."""
    good = b"""group = "eos"
node = "bp-a"
producer = "myproducer11"
nodeos.url = "http://127.0.0.1:8888"
etcd.endpoints = ["http://10.0.0.1:2379"]
timing = { validity = 6.0, renew = 0.5 }
fence = { method = "auto" }
[[alerts]]
name = "ops"
type = "webhook"
url = "http://127.0.0.1:1/x"
"""
    path = tmp_path / "config.toml"
    path.write_bytes(data.draw(broken_bytes([good])))
    path.chmod(0o600)
    try:
        load(path, {})
    except ConfigError as error:
        assert error.problems
        assert all(problem.strip() for problem in error.problems)


@given(text=st.text(st.characters(), max_size=60) | st.from_regex(r"(https?|unix)://[\[\]\w.:/@?#%-]{0,40}"))
@fuzzed
def test_bad_addresses_are_refused(text: str) -> None:
    """An address is read, or is a ConfigError."""
    try:
        parse_endpoint(text)
    except ConfigError as error:
        assert error.problems


@given(data=st.data())
@settings(fuzzed, max_examples=EXAMPLES // 3)
def test_broken_requests_end_well(data: st.DataObject, http_port: int) -> None:
    """Whatever bytes a client sends, the server answers or hangs up, and the next client is served."""
    request = b"GET /status HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: */*\r\nContent-Length: 3\r\n\r\nabc"
    raw = data.draw(
        broken_bytes([request, b"HEAD /metrics HTTP/1.0\r\n\r\n", b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 90])
    )
    with closing(socket.create_connection(("127.0.0.1", http_port), 2.0)) as sock:
        sock.settimeout(5.0)
        try:
            sock.sendall(raw)
            sock.shutdown(socket.SHUT_WR)
            answer = sock.recv(4096)
        except OSError as error:
            assert not isinstance(error, TimeoutError)
        else:
            assert b"Traceback" not in answer
    with closing(socket.create_connection(("127.0.0.1", http_port), 2.0)) as sock:
        sock.settimeout(5.0)
        sock.sendall(b"GET /livez HTTP/1.0\r\n\r\n")
        assert b" 200 " in sock.recv(4096)


@pytest.fixture(scope="module")
def http_port() -> Any:
    """Run the product's HTTP server on a free port."""
    with serving(FakePages()) as port:
        yield port


def test_every_error_is_ours() -> None:
    """The errors that parsers may raise are those that their callers catch."""
    for parser in PARSERS.values():
        assert all(issubclass(error, FailoverError | RecordError) for error in parser.errors)
