"""Peers in the core: records, spans, promises (R13, R14, R15, R16, R17)."""

from __future__ import annotations

import json

import pytest

from agent.core.leadership.timing import GateMode, PeersMode, Timing
from agent.core.model import records
from agent.core.model.fields import RecordError
from agent.core.model.peers import MOST_PEERS, Peer
from agent.core.model.records import Heartbeat, Listing, RuntimeRecord, read_heartbeat, read_runtime

PEERS = (Peer("bp-b", "host-b"), Peer("bp-c", "host-c"))


def test_heartbeat_keeps_its_list() -> None:
    """R13: what a leader names every other reads, sorted; a heartbeat that names nobody looks as it did before."""
    named = Heartbeat(1, "bp-a", "i", 1, 2000, host_id="host-a", peers=PEERS)
    assert read_heartbeat(records.write(named)) == named
    assert read_heartbeat(records.write(Heartbeat(1, "bp-a", "i", 1, 2000, peers=PEERS[::-1]))).peers == PEERS
    assert not {"peers", "host_id"} & json.loads(records.write(Heartbeat(1, "bp-a", "i", 1, 6000))).keys()


@pytest.mark.parametrize(
    "peers",
    [
        "bp-b",
        ["bp-b"],
        [{"node": "bp-b"}],
        [{"node": "bp-b", "host_id": ""}],
        [{"node": "bp-b", "host_id": "1"}, {"node": "bp-b", "host_id": "2"}],
        [{"node": f"bp-{each}", "host_id": "1"} for each in range(MOST_PEERS + 1)],
    ],
)
def test_list_that_cannot_be_read_in_full_is_not_read(peers: object) -> None:
    """R13: no reader makes a shorter list of a bad one, for fewer would promise then."""
    value = json.loads(records.write(Heartbeat(1, "bp-a", "i", 1, 2000))) | {"peers": peers}
    with pytest.raises(RecordError, match=r"peers|host_id"):
        read_heartbeat(json.dumps(value).encode())


def test_run_time_file_keeps_the_lists_that_may_stand() -> None:
    """R15: a restart knows every list that may stand in the store; an older file names none."""
    lists = (Listing((), 6000, 100), Listing(PEERS, 2000, 200))
    file = RuntimeRecord("boot", 1, "held", 1, "i", 1, 1, 1, 1, 1, 1, resume_open=False, process=None, lists=lists)
    assert read_runtime(records.write(file)) == file
    value = json.loads(records.write(file))
    del value["lists"]
    assert read_runtime(json.dumps(value).encode()).lists == ()


def test_short_validity_leaves_time_to_ask_etcd() -> None:
    """R16, R17: E_s below A + beat + 0.5 s, or above E, is refused; without peers nobody asks for it."""
    assert Timing(peers=PeersMode.LEASE).problems() == []
    assert Timing(peers=PeersMode.OFF, peers_validity=1).problems() == []
    assert "peers.validity is 1.7 s but must be at least 1.8 s" in str(
        Timing(peers=PeersMode.LEASE, peers_validity=1700).problems()
    )
    assert "must not be above" in str(Timing(peers=PeersMode.FAILSAFE, peers_validity=7000).problems())
    gated = Timing(peers=PeersMode.LEASE, gate=GateMode.REQUIRED, slack=100, peers_validity=900)
    assert gated.problems() == []
