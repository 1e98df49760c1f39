"""Alerts on real parts: channels that misbehave in every way cost a failover nothing, and what is told is told once."""

from __future__ import annotations

import json
import socket
import ssl
import struct
import time
from collections.abc import Iterator
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest

from tests.lab.agents import Agent
from tests.lab.group import VALIDITY, Group
from tests.lab.tls import make_certificates
from tests.support.alert_channel import SECRET, Keeper
from tests.support.slow_server import Server, answer, drip, hang, request

pytestmark = pytest.mark.real


def reset(client: socket.socket) -> None:
    """Slam the door after the request was read."""
    request(client)
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


@pytest.fixture
def bad(tmp_path: Path) -> Iterator[dict[str, Server]]:
    """Servers that misbehave, and `elsewhere`, to which one of them redirects."""
    made = make_certificates(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(made.server, made.server_key)
    servers = {"elsewhere": Server(answer("200 OK")), "tls": Server(answer("200 OK"), context)}
    talks = {
        "hang": hang,
        "drip": drip,
        "busy": answer("429 No", Retry_After="1"),
        "broken": answer("500 No", SECRET.encode()),
        "reset": reset,
        "redirect": answer("307 Moved", Location=f"http://127.0.0.1:{servers['elsewhere'].port}/{SECRET}"),
    }
    servers |= {name: Server(talk) for name, talk in talks.items()}
    yield servers
    for server in servers.values():
        server.close()


@pytest.fixture
def told() -> Iterator[Keeper]:
    """A channel that works."""
    with closing(Keeper()) as made:
        yield made


@pytest.fixture
def group(tmp_path: Path, bad: dict[str, Server], told: Keeper) -> Iterator[Group]:
    """A group whose agents have all of these channels; at its end no slot may have been signed twice (P1)."""
    urls = {name: f"http{'s' if name == 'tls' else ''}://127.0.0.1:{server.port}" for name, server in bad.items()}
    urls["told"] = f"http://127.0.0.1:{told.port}"
    channels = [
        {"name": name, "type": "webhook", "url": f"{url}/{SECRET}", "timeout": 3, "min_severity": "info"}
        for name, url in urls.items()
        if name != "elsewhere"
    ]
    with Group(tmp_path, alerts=channels) as made:
        first, second = made.agents.values()
        first.start()  # beside the node that produces: until it is governed, nobody else may lead
        made.wait("the first agent to govern its node", lambda: first.phase not in ("", "starting"))
        second.start()
        made.settle()
        yield made


def test_channels_that_misbehave_cost_nothing_and_what_is_open_survives(
    group: Group, bad: dict[str, Server], told: Keeper
) -> None:
    """With seven channels hanging or failing, a killed nodeos is replaced as fast as without; no URL is logged (R3).

    What is open then survives the death of the agent that told it.
    """
    leader, standby = group.leader, group.standby
    started = time.time()
    group.nodeos(leader).kill()
    assert group.wait_signs(standby, started) < VALIDITY / 2
    group.wait("the stop to be told and resolved", lambda: told.told("leader_stops", "resolved"))
    group.wait("the failover to be told", lambda: told.told("failover")[1:])
    (stop,) = told.told("leader_stops")
    news = told.told("failover")[-1]
    assert stop["fields"]["node"] == leader.node
    assert (news["fields"]["from"], news["fields"]["to"]) == (leader.node, standby.node)
    assert {"slots_missed", "duration", "epoch", "chain", "producer", "reason"} <= set(news["fields"])
    for name in ("hang", "drip", "busy", "broken", "reset", "redirect", "tls"):
        assert bad[name].connections > 0, name
    assert bad["elsewhere"].connections == 0, "redirects are not followed"
    for agent in group.agents.values():
        group.wait("the failures to be logged", partial(_logged, agent, "channel tls does not deliver"))
        assert not _logged(agent, SECRET)
    code, page = standby.get("/")
    assert (code, page[:15].lower()) == (200, b"<!doctype html>")
    change = standby.status()["history"][-1]
    assert (change["node"], change["from"], change["epoch"]) == (standby.node, leader.node, 2)
    _survives(group, standby, leader, told)


def _survives(group: Group, leader: Agent, standby: Agent, told: Keeper) -> None:
    """An alert open at an agent's death is neither told again nor left open, and no other agent tells it."""
    before = len(told.told("no_standby", "resolved"))  # on a busy machine the second agent may have come late
    group.wait("the alert about the standby", lambda: len(told.told("no_standby")) > before)
    group.wait("the delivery to be noted", lambda: "told" in _noted(leader))  # else it would be told twice, not never
    leader.kill()
    leader.start()
    group.wait("the agent to lead again", lambda: leader.leads)
    group.nodeos(standby).restart()
    group.wait("the resolve", lambda: len(told.told("no_standby", "resolved")) > before, limit=40)
    assert len(told.told("no_standby")) == before + 1, told.sent
    assert len(told.told("no_standby", "resolved")) == before + 1


def _noted(agent: Agent) -> list[str]:
    """Return the channels to which an agent owes nothing, by its file."""
    (file,) = (agent.runtime_dir / "alerts").glob("*.json")
    return [name for name, owed in json.loads(file.read_text())["owed"].items() if not owed]


def _logged(agent: Agent, text: str) -> bool:
    """Tell whether a text stands in an agent's log."""
    return text in agent.log.read_text()
