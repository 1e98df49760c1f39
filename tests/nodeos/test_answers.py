"""Reading nodeos's answers: the forms of all versions, and that nothing else is ever taken for one."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.core.health.finality import vote_ages
from agent.core.model.chain import ChainInfo, Header, Peers, Producer, Schedule
from agent.core.model.finality import Finality, Finalizer
from agent.errors import NodeosAnswer, NodeosTimeout
from agent.net.http import Answer
from agent.nodeos.answers import (
    LONGEST,
    MOST,
    error_of,
    read_block,
    read_done,
    read_finality,
    read_flag,
    read_info,
    read_peers,
    read_schedule,
)
from agent.nodeos.client import HttpNodeos
from tests.support.slow_server import Serve, answer

READERS: tuple[Callable[[Answer], object], ...] = (
    read_block,
    read_done,
    read_flag,
    read_info,
    read_peers,
    read_schedule,
)
INFO = {
    "server_version": "fa06914e",
    "chain_id": "8a34",
    "head_block_num": 7,
    "head_block_id": "00000007ab",
    "head_block_time": "2026-11-23T10:29:05.500",
    "head_block_producer": "eosio",
    "last_irreversible_block_num": 6,
    "last_irreversible_block_id": "00000006ab",
}
BLOCK = {
    "block_num": 7,
    "id": "00000007ab",
    "timestamp": "2026-11-23T10:29:05.500",
    "producer": "eosio",
    "previous": "00000006cd",
}
AT = 1_795_429_745_500
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from([*INFO, *BLOCK, "active", "producers", "authority", "keys", "error", "code", "details"]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


def said(value: Any) -> Answer:
    """Return a value as an answer."""
    return Answer(200, {}, value if isinstance(value, bytes) else json.dumps(value).encode())


def test_info_with_and_without_what_came_later() -> None:
    """get_info is read with and without the time of LIB and the long version."""
    old = ChainInfo("8a34", "fa06914e", 7, "00000007ab", AT, "eosio", 6, None)
    assert read_info(said(INFO)) == old
    more = {"last_irreversible_block_time": "2026-11-23T10:29:05.000", "server_version_string": "v1.3.0"}
    assert read_info(said(INFO | more)) == ChainInfo("8a34", "v1.3.0", 7, "00000007ab", AT, "eosio", 6, AT - 500)


@pytest.mark.parametrize(
    ("entry", "keys"),
    [
        ({"block_signing_key": "EOS1"}, ("EOS1",)),
        ({"authority": [0, {"threshold": 1, "keys": [{"key": "EOS1", "weight": 1}]}]}, ("EOS1",)),
        (
            {"authority": ["block_signing_authority_v0", {"threshold": 2, "keys": [{"key": "A"}, {"key": "B"}]}]},
            ("A", "B"),
        ),
    ],
)
def test_schedule_in_each_form(entry: dict[str, Any], keys: tuple[str, ...]) -> None:
    """A schedule is read with plain keys, and with authorities however their kind is named."""
    value = {"active": {"version": 3, "producers": [{"producer_name": "a", **entry}]}, "pending": None}
    assert read_schedule(said(value)) == Schedule(3, (Producer("a", keys),))


@pytest.mark.parametrize(
    ("connection", "connected"),
    [
        ({"last_handshake": {"network_version": 1212}}, 1),
        ({"connecting": False, "last_handshake": {"network_version": 1}}, 1),
        ({"is_socket_open": True, "last_handshake": {"network_version": 1212}}, 1),
        ({"is_socket_open": False, "last_handshake": {"network_version": 1212}}, 0),
        ({"connecting": True, "last_handshake": {"network_version": 1212}}, 0),
        ({"last_handshake": {"network_version": 0}}, 0),
        ({"last_handshake": {"network_version": "1212"}}, 0),
        ({"last_handshake": None}, 0),
        ({}, 0),
        (None, 0),
    ],
)
def test_peers_count_with_a_handshake(connection: object, connected: int) -> None:
    """A connection is counted as connected only after a handshake, and while its socket is open."""
    assert read_peers(said([connection])) == Peers(1, connected)


def test_block() -> None:
    """A block's header is read; the first block has no producer."""
    assert read_block(said(BLOCK)) == Header(7, "00000007ab", AT, "eosio", "00000006cd")
    assert read_block(said(BLOCK | {"producer": ""})).producer == ""


@pytest.mark.parametrize(("reader", "good"), [(read_info, INFO), (read_block, BLOCK)])
@pytest.mark.parametrize("bad", [None, True, -1, 1.5, [], {}, "not a time", "9" * 5000, 10**30])
def test_no_field_is_guessed(reader: Callable[[Answer], object], good: dict[str, Any], bad: object) -> None:
    """A required field that is missing or of another kind makes the whole answer none."""
    for name in good:
        if name in ("server_version", "last_irreversible_block_id"):
            continue
        with pytest.raises(NodeosAnswer):
            reader(said({key: value for key, value in good.items() if key != name}))
        if not (isinstance(bad, str) and isinstance(good[name], str) and "time" not in name):
            with pytest.raises(NodeosAnswer):
                reader(said(good | {name: bad}))


def fails_in_one_way(body: bytes) -> None:
    """Read bytes in every way; errors are short, of one kind and one line."""
    for reader in READERS:
        try:
            reader(said(body))
        except NodeosAnswer as error:
            assert str(error).isprintable()
            assert len(str(error)) < 300
    text = str(error_of(Answer(500, {}, body), "/v1/chain/get_info"))
    assert text.isprintable()
    assert len(text) < 500


@given(JSON)
def test_readers_fail_in_one_way(value: object) -> None:
    """Whatever JSON comes, a reader returns or raises NodeosAnswer; so does the reading of an error."""
    fails_in_one_way(json.dumps(value).encode())


@given(st.binary(max_size=40))
def test_bytes_fail_in_one_way(body: bytes) -> None:
    """The same for any bytes."""
    fails_in_one_way(body)


@pytest.mark.parametrize(
    "body", [b"[" * 100_000, b'{"a":' * 100_000, b"1" * 5000, b"", b"\xff", b"NaN", b'"true"', b"1"]
)
def test_hostile_json(body: bytes) -> None:
    """JSON that is nested without end, or numbers without end, are errors like any other."""
    for reader in READERS:
        with pytest.raises(NodeosAnswer):
            reader(said(body))
    assert error_of(Answer(500, {}, body), "/v1/producer/pause").code == 0


@pytest.mark.parametrize(
    ("status", "path", "body", "remedy"),
    [
        (404, "/v1/producer/pause", b"", "eosio::producer_api_plugin"),
        (404, "/v1/net/connections", b"", "eosio::net_api_plugin"),
        (404, "/v1/chain/get_info", b"", "eosio::chain_api_plugin"),
        (400, "/v1/chain/get_info", b"", "http-validate-host"),
        (400, "/v1/chain/get_info", b'{"code":400,"message":"Disallowed HTTP HOST","error":{"code":0}}', "http-alias"),
        (400, "/v1/chain/get_block", b'{"error":{"code":3100002,"what":"Unknown block"}}', "Unknown block"),
        (401, "/v1/chain/get_info", b"", "without a password"),
        (429, "/v1/producer/pause", b"", "busy"),
        (503, "/v1/producer/pause", b"", "busy"),
        (500, "/v1/producer/pause", b"", "its log"),
    ],
)
def test_error_names_its_remedy(status: int, path: str, body: bytes, remedy: str) -> None:
    """An error answer says what to do about it, with nodeos's own words and code."""
    error = error_of(Answer(status, {}, body), path)
    assert remedy in str(error)
    assert error.status == status
    assert error.code == (3100002 if b"3100002" in body else 0)


def http(status: str, body: bytes = b"") -> bytes:
    """Return an answer in HTTP."""
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


@pytest.mark.parametrize("status", ["408 Request Timeout", "502 Bad Gateway", "504 Gateway Timeout"])
def test_proxy_that_gave_up_tells_nothing(status: str, serve: Serve) -> None:
    """A proxy that gave up waiting says nothing about nodeos, which may get to the resume later (R3)."""
    with pytest.raises(NodeosTimeout, match="proxy"):
        HttpNodeos(serve(answer(http(status))).endpoint.url).resume(1.0)


@pytest.mark.parametrize("body", [b"", b"{}", b'{"result":"no"}', b"<html>it works</html>", b"true", b'["ok"]'])
def test_pause_must_be_answered_by_nodeos(body: bytes, serve: Serve) -> None:
    """Something else on that port that answers 200 to everything has not paused anything (R4)."""
    nodeos = HttpNodeos(serve(answer(http("200 OK", body))).endpoint.url)
    for call in (nodeos.pause, nodeos.resume):
        with pytest.raises(NodeosAnswer, match="is it nodeos"):
            call(1.0)


def test_whole_block_is_read_where_there_is_no_short_form(serve: Serve) -> None:
    """Before EOSIO 2.1 get_block_info is not known: then the whole block is asked for, and from then on at once."""
    heard: list[bytes] = []

    def script(sock: Any) -> None:
        heard.append(sock.recv(65_536))
        while not heard[-1].endswith(b"}"):
            heard[-1] += sock.recv(65_536)
        known = b"get_block_info" not in heard[-1]
        sock.sendall(http("200 OK", json.dumps(BLOCK).encode()) if known else http("404 Not Found"))

    nodeos = HttpNodeos(serve(script).endpoint.url)
    assert nodeos.block(7, 1.0) == nodeos.block(7, 1.0) == Header(7, "00000007ab", AT, "eosio", "00000006cd")
    paths = [each.split(b" ")[1].rpartition(b"/")[2] for each in heard]
    assert paths == [b"get_block_info", b"get_block", b"get_block"]


def test_request_is_what_every_version_takes(serve: Serve) -> None:
    """Requests go to exact paths with an empty body, a block is asked for by its number."""
    heard: list[bytes] = []

    def script(sock: Any) -> None:
        heard.append(sock.recv(65_536))
        if b"get_block" in heard[-1] and not heard[-1].endswith(b"}"):
            heard[-1] += sock.recv(65_536)
        sock.sendall(http("500 Internal Server Error"))

    nodeos = HttpNodeos(serve(script).endpoint.url)
    for call in (nodeos.pause, nodeos.info, lambda timeout_s: nodeos.block(7, timeout_s)):
        with pytest.raises(NodeosAnswer):
            call(1.0)
    assert [each.split(b" ")[1] for each in heard] == [
        b"/v1/producer/pause",
        b"/v1/chain/get_info",
        b"/v1/chain/get_block_info",
    ]
    assert [each.partition(b"\r\n\r\n")[2] for each in heard] == [b"", b"", b'{"block_num":7}']
    assert all(each.lower().count(b"\r\nhost: 127.0.0.1:") == 1 for each in heard)


VOTED_AT = "2026-11-23T10:29:05.500"
POLICY = {"finalizers": [{"description": "eosio", "public_key": "PUB_BLS_a"}]}
VOTE = {"public_key": "PUB_BLS_a", "voted_for_block_timestamp": VOTED_AT}


def read(active: Any = None, pending: Any = None, votes: Any = ()) -> Finality:
    """Read an answer."""
    value = {"active_finalizer_policy": active, "pending_finalizer_policy": pending, "last_tracked_votes": list(votes)}
    return read_finality(Answer(200, {}, json.dumps(value).encode()))


def test_policies_and_votes() -> None:
    """Keys by account, and the date of the block that each voted for; before Savanna there is nothing."""
    assert read() == Finality()
    found = read(POLICY, POLICY, [VOTE])
    assert (found.active, found.pending) == ((Finalizer("eosio", "PUB_BLS_a"),),) * 2
    assert vote_ages(found, "eosio", 1_795_429_745_500 + 700) == (700, None), "nobody else is in the policy"


@pytest.mark.parametrize("bad", [{}, [], "x", {"finalizers": 1}, {"finalizers": [{}]}, {"finalizers": ["x"]}])
def test_what_is_no_policy_is_refused(bad: Any) -> None:
    """An answer in another form is no answer."""
    with pytest.raises(NodeosAnswer):
        read(bad)


@pytest.mark.parametrize("bad", [{}, 1, {**VOTE, "public_key": 7}, {**VOTE, "voted_for_block_timestamp": "soon"}])
def test_what_is_no_vote_is_refused(bad: Any) -> None:
    """The same of votes."""
    with pytest.raises(NodeosAnswer):
        read(POLICY, None, [bad])


def test_texts_of_strangers_are_bounded() -> None:
    """Anybody may register a key: neither long texts nor control characters get to people, nor endless lists."""
    odd = {"description": "\x1b[2J" + "x" * 9999, "public_key": "PUB_BLS_" + "y" * 9999}
    found = read({"finalizers": [odd] * 1000}, None, [VOTE] * 1000)
    assert len(found.active) == MOST
    assert len(found.active[0].account) == len(found.active[0].key) == LONGEST
    assert found.active[0].account.isprintable()
