"""Facts of a node and a group that are well, to be spoilt one at a time."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from agent import __version__
from agent.config.model import Config
from agent.core.model.chain import ChainInfo, Peers, Producer, Schedule
from agent.core.model.records import GroupView, Member
from agent.doctor.agent import AgentFacts, ChannelFact
from agent.doctor.examine import Facts
from agent.doctor.files import FileFacts
from agent.doctor.gate import GateFacts
from agent.doctor.gather_etcd import EtcdFacts
from agent.doctor.gather_nodeos import NodeosFacts
from agent.doctor.group import GroupFacts
from agent.doctor.host import HostFacts
from agent.doctor.peers import PeerFacts
from agent.etcd.info import EtcdMember, EtcdServer
from agent.nodeos.config_ini import Options

KEY = "EOS6MRyAjQq8ud7hVNYcfnVPJqcVpscN5So8BhtHuGYqET5GDW5CV"
CHAIN = "a" * 64
INFO = ChainInfo(CHAIN, "v4.0.6", 1000, "f" * 64, 100_000, "eosio", 990, 99_000)
UNIT = {
    "Type": "notify",
    "WatchdogUSec": "10s",
    "Restart": "always",
    "ExecStopPost": "{ path=/usr/bin/nodeos-failover ; argv[]=nodeos-failover fence --local }",
}


def config(**other: Any) -> Config:
    """Return a configuration with nothing to find fault with."""
    data: dict[str, Any] = {
        "group": "eos",
        "node": "bp-a",
        "producer": "eosio",
        "nodeos": {"url": "http://127.0.0.1:8888", "chain_id": CHAIN, "producer_key": KEY, "data_dir": str(Path.cwd())},
        "etcd": {"endpoints": ["http://127.0.0.1:2379"]},
        "runbooks": "https://wiki.example/runbooks.md",
        "alerts": [{"name": "ops", "type": "slack", "url": "https://hooks.example/x"}],
    }
    for name, value in other.items():
        data[name] = {**data.get(name, {}), **value} if isinstance(value, dict) else value
    return Config.model_validate(data)


def member(node: str, **other: Any) -> Member:
    """Return a healthy member."""
    fields: dict[str, Any] = {
        "instance": node,
        "role": "standby",
        "healthy": True,
        "able": True,
        "reasons": (),
        "head": 1000,
        "lib": 990,
        "head_age_ms": 100,
        "priority": 100,
        "drained": False,
        "version": __version__,
        "nodeos": "v4.0.6",
        "settings": "producer=eosio chain=aaaaaaaa timing=6/0.5 health=12345678",
    }
    return Member(node=node, **fields | other)


NODEOS = NodeosFacts(
    info=INFO,
    asked_ms=100_100,
    paused=True,
    peers=Peers(8, 6),
    schedule=Schedule(1, (Producer("eosio", (KEY,)),)),
    options=Options({"pause-on-startup": ("true",), "signature-provider": (KEY,)}, ("/etc/nodeos/config.ini",)),
    pid=41,
    listening=(("nodeos", 41),),
    bound=("127.0.0.1:8888",),
)
SERVERS = tuple(
    EtcdServer(
        f"http://10.0.0.{n}:2379",
        version="3.5.28",
        cluster=0xC1,
        member=n,
        leader=1,
        db_size=10 * 2**20,
        quota=2**31,
        fsync_s=0.004,
        compacted=90_000,
    )
    for n in (1, 2, 3)
)
ETCD = EtcdFacts(
    servers=SERVERS,
    members=tuple(EtcdMember(n, (f"http://10.0.0.{n}:2379",)) for n in (1, 2, 3)),
    revision=100_000,
    round_trips_s=(0.002, 0.003, 0.002),
    least_ttl_s=2,
    refused=(),
)
STATUS: dict[str, object] = {"phase": "leading", "guard_pid": 77, "open_alerts": [], "version": __version__}
WELL = Facts(
    nodeos=NODEOS,
    etcd=ETCD,
    group=GroupFacts(GroupView(5, members=(member("bp-a", role="leading"), member("bp-b")))),
    agent=AgentFacts(STATUS, pid=76, supervised="systemd", unit="nodeos-failover.service", settings=UNIT),
    host=HostFacts(True, 0.002, "", 100 * 2**30, 200 * 2**30, "", "tmpfs"),
    peers=PeerFacts(
        key_there=True,
        key_good=True,
        members={"bp-a": "10.0.0.1:9878", "bp-b": "10.0.0.2:9878"},
        reached={"bp-b": True},
    ),
    files=FileFacts({"the configuration": "/etc/nodeos-failover/config.toml"}, "root", denied={}),
    gate=GateFacts(),
    channels=(ChannelFact("ops"),),
)


def nodeos(**other: Any) -> Facts:
    """Return WELL with another nodeos."""
    return replace(WELL, nodeos=replace(NODEOS, **other))


def etcd(**other: Any) -> Facts:
    """Return WELL with another cluster."""
    return replace(WELL, etcd=replace(ETCD, **other))


def server(**other: Any) -> Facts:
    """Return WELL with one other etcd server."""
    return etcd(servers=(replace(SERVERS[0], **other), *SERVERS[1:]))


def group(*members: Member, **other: Any) -> Facts:
    """Return WELL with other members."""
    return replace(WELL, group=GroupFacts(GroupView(5, members=members, **other)))


def agent(**other: Any) -> Facts:
    """Return WELL with another agent."""
    return replace(WELL, agent=replace(WELL.agent, **other))


def host(**other: Any) -> Facts:
    """Return WELL on another host."""
    return replace(WELL, host=replace(WELL.host, **other))
