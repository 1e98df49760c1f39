"""Every check of doctor: what is well, and each way of not being well, with a word of what is seen."""

from __future__ import annotations

from dataclasses import replace

import pytest

from agent.config.model import Config
from agent.core.model.chain import Peers, Producer, Schedule
from agent.core.model.records import GroupView, HeartbeatKey
from agent.doctor import group as group_checks
from agent.doctor.agent import AgentFacts, ChannelFact
from agent.doctor.examine import Facts, _facts, findings
from agent.doctor.finding import Grade, data, summary
from agent.doctor.gather_nodeos import NodeosFacts
from agent.doctor.group import GroupFacts
from agent.etcd.info import EtcdServer
from agent.nodeos.config_ini import Options
from tests.doctor.parts import (
    CHAIN,
    ETCD,
    INFO,
    KEY,
    SERVERS,
    STATUS,
    UNIT,
    WELL,
    agent,
    config,
    etcd,
    group,
    host,
    member,
    nodeos,
    server,
)

OK, WARN, FAULT, UNKNOWN, SKIPPED = Grade
INI = ("/etc/nodeos/config.ini",)


def test_what_is_well_is_told_so() -> None:
    """A node, a group, a host and an etcd that are well have no finding that asks for anything."""
    found = findings(WELL, config())
    asking = [each for each in found if each.verdict not in (OK, SKIPPED)]
    assert asking == []
    assert data(found)["faults"] == 0
    assert len({each.name for each in found}) == len(found)
    assert summary(found).startswith(f"{len(found) - 4} ok")


def spring(text: str) -> Facts:
    """Return WELL with another version of nodeos."""
    return nodeos(info=replace(INFO, server_version=text))


def scheduled(*keys: str) -> Schedule:
    """Return a schedule with these keys."""
    return Schedule(1, (Producer("eosio", keys),))


OTHER = "EOS7MRyAjQq8ud7hVNYcfnVPJqcVpscN5So8BhtHuGYqET5GDW5CV"


def signing(way: str) -> Options:
    """Return the options of a nodeos that signs this way."""
    return Options({"signature-provider": (KEY,), "signers": (f"{KEY}={way}",)}, INI)


UNPAUSED = replace(nodeos(options=Options()), agent=replace(WELL.agent, status={**STATUS, "found_unpaused_s": 90.2}))
PRODUCER_RW = Options(
    {"http-category-address": ("chain_ro,127.0.0.1:8888", "producer_rw,0.0.0.0:8899")}, ("config.ini",)
)
UNSEEN = nodeos(pid=None, process_error="conmon (pid 7) listens")
NODEOS_CASES = [
    (replace(WELL, nodeos=NodeosFacts()), "nodeos", FAULT, "not asked"),
    (spring("v1.2.2"), "nodeos_version", OK, "Spring v1.2.2"),
    (spring("v5.0.2"), "nodeos_version", OK, "Leap v5.0.2"),
    (spring("v3.0.1"), "nodeos_version", WARN, "never tried"),
    (spring("v2.1.0"), "nodeos_version", WARN, "EOSIO"),
    (spring("master"), "nodeos_version", UNKNOWN, "no version"),
    (spring("v1.2.2"), "block_margin", OK, "takes 0.5 s at most"),
    (nodeos(paused=None, producer_missing=True), "plugins", FAULT, "no producer API"),
    (nodeos(paused=None, paused_error="hangs"), "plugins", FAULT, "hangs"),
    (nodeos(peers=None, net_missing=True), "plugins", WARN, "no net API"),
    (nodeos(info=replace(INFO, chain_id="b" * 64)), "chain", FAULT, "b" * 64),
    (nodeos(asked_ms=110_000), "head", WARN, "10.0 s old"),
    (nodeos(asked_ms=93_000), "clock_chain", FAULT, "s behind"),
    (nodeos(peers=Peers(5, 0)), "peers", FAULT, "0 connected of 5"),
    (nodeos(peers=Peers(5, 2)), "peers", WARN, "2 connected"),
    (nodeos(peers=None, net_missing=True), "peers", SKIPPED, "no net API"),
    (nodeos(peers=None, peers_error="hangs"), "peers", UNKNOWN, "hangs"),
    (nodeos(schedule=None, schedule_error="hangs"), "schedule_key", UNKNOWN, "hangs"),
    (nodeos(schedule=Schedule(1, ())), "schedule_key", WARN, "not in the schedule"),
    (nodeos(schedule=scheduled(OTHER)), "schedule_key", FAULT, f"wants {OTHER}, not {KEY}"),
    (nodeos(options=Options({"signature-provider": (OTHER,)}, INI)), "schedule_key", FAULT, "no such key"),
    (nodeos(options=Options({}, INI)), "signature_provider", FAULT, "not set in /etc/nodeos/config.ini"),
    (nodeos(options=signing("KEOSD:http://127.0.0.1:8900")), "signature_provider", FAULT, "has no path"),
    (nodeos(options=signing("KEOSD:http://127.0.0.1:8900/")), "signature_provider", FAULT, "has no path"),
    (nodeos(options=signing("KEOSD:http://127.0.0.1:8900/v1/wallet/sign_digest")), "signature_provider", OK, "1 set"),
    (nodeos(options=signing("KEOSD:unix:///run/keosd.sock")), "signature_provider", FAULT, "hangs"),
    (nodeos(options=signing("KEY")), "signature_provider", OK, "1 set"),
    (nodeos(options=Options(), options_error="no permission"), "signature_provider", UNKNOWN, "no permission"),
    (nodeos(options=Options({}, INI)), "pause_on_startup", FAULT, "not set in /etc/nodeos/config.ini"),
    (nodeos(options=Options({"pause-on-startup": ("false",)}, INI)), "pause_on_startup", FAULT, "not set"),
    (nodeos(options=Options(), options_error="no permission"), "pause_on_startup", UNKNOWN, "no permission"),
    (UNPAUSED, "pause_on_startup", FAULT, "90 s ago nodeos was found unpaused"),
    (nodeos(options=Options({"enable-stale-production": ("true",)}, INI)), "stale_production", FAULT, "is on"),
    (nodeos(options=Options()), "stale_production", UNKNOWN, "no config.ini"),
    (nodeos(), "nodeos_process", OK, "pid 41 runs nodeos"),
    (nodeos(listening=(("lighttpd", 7),)), "nodeos_process", WARN, "requests go to lighttpd (pid 7)"),
    (nodeos(pid=None, process_error="conmon (pid 7) listens"), "nodeos_process", FAULT, "conmon (pid 7) listens"),
    (replace(UNSEEN, nodeos=replace(UNSEEN.nodeos, info=None)), "nodeos_process", UNKNOWN, "conmon"),
    (nodeos(reached=("10.0.0.5:8888",)), "producer_api_private", FAULT, "10.0.0.5:8888"),
    (nodeos(bound=("0.0.0.0:8888",)), "producer_api_private", WARN, "0.0.0.0:8888"),
    (nodeos(bound=("0.0.0.0:19876", "127.0.0.1:8888")), "producer_api_private", OK, "listens on 127.0.0.1:8888 only"),
    (
        nodeos(options=PRODUCER_RW, bound=("0.0.0.0:19876", "0.0.0.0:8899")),
        "producer_api_private",
        WARN,
        "listens on 0.0.0.0:8899;",
    ),
    (nodeos(options=Options(), bound=("0.0.0.0:9876",)), "producer_api_private", OK, "http://127.0.0.1:8888 only"),
    (nodeos(options=Options(), bound=("0.0.0.0:9000",)), "producer_api_private", WARN, "0.0.0.0:9000"),
    (nodeos(bound=None), "producer_api_private", UNKNOWN, "could not be seen"),
    (nodeos(bound=()), "producer_api_private", OK, "http://127.0.0.1:8888 only"),
]
ETCD_CASES = [
    (etcd(servers=(EtcdServer("http://e:1", "refused"),)), "etcd", FAULT, "http://e:1: refused"),
    (server(error="refused"), "etcd", FAULT, "10.0.0.1:2379: refused"),
    (etcd(servers=SERVERS[:2]), "etcd", WARN, "the cluster has 3 members"),
    (server(cluster=0xC2), "etcd", FAULT, "10.0.0.1:2379 has the cluster id c2"),
    (server(cluster=0), "etcd", OK, "all 3 answer"),
    (server(member=2), "etcd", WARN, "3 endpoints tell 2 member ids"),
    (server(version="3.5.1"), "etcd_version", FAULT, "come apart"),
    (server(version="3.3.25"), "etcd_version", FAULT, "out of support"),
    (server(version="3.5.27"), "etcd_version", WARN, "stale reads"),
    (server(version="3.6.8"), "etcd_version", WARN, "CVE-2026-33413"),
    (server(version="3.4.41"), "etcd_version", WARN, "stale reads"),
    (server(version="3.6.9"), "etcd_version", WARN, "several versions"),
    (server(version="main"), "etcd_version", UNKNOWN, "no version"),
    (server(learner=True), "etcd_quorum", FAULT, "is a learner"),
    (server(leader=0), "etcd_quorum", FAULT, "sees no leader"),
    (etcd(members=ETCD.members[:1] if ETCD.members else None), "etcd_quorum", WARN, "one member"),
    (etcd(members=ETCD.members[:2] if ETCD.members else None), "etcd_quorum", WARN, "2 members"),
    (etcd(members=None, members_error="no permission"), "etcd_quorum", UNKNOWN, "no permission"),
    (server(alarms=("NOSPACE",)), "etcd_alarms", FAULT, "NOSPACE"),
    (server(db_size=1900 * 2**20), "etcd_quota", FAULT, "93%"),
    (server(db_size=1100 * 2**20), "etcd_quota", WARN, "54%"),
    (etcd(servers=tuple(replace(each, quota=None) for each in SERVERS)), "etcd_quota", UNKNOWN, "not told"),
    (etcd(revision=1_000_000), "etcd_compaction", FAULT, "910000 revisions are kept"),
    (
        etcd(servers=tuple(replace(each, compacted=-1) for each in SERVERS)),
        "etcd_compaction",
        UNKNOWN,
        "ever compacted",
    ),
    (etcd(servers=tuple(replace(each, compacted=None) for each in SERVERS)), "etcd_compaction", UNKNOWN, "tell"),
    (etcd(round_trips_s=(0.01, 0.3, 0.01)), "etcd_round_trip", WARN, "longest 300.0 ms"),
    (etcd(round_trips_s=(0.6, 0.7, 0.6)), "etcd_round_trip", FAULT, "median 600.0 ms"),
    (etcd(round_trips_s=(), error="no answer"), "etcd_round_trip", FAULT, "no answer"),
    (server(fsync_s=0.064), "etcd_fsync", WARN, "64 ms"),
    (server(fsync_s=1.0), "etcd_fsync", FAULT, "1000 ms"),
    (etcd(servers=tuple(replace(each, fsync_s=None) for each in SERVERS)), "etcd_fsync", UNKNOWN, "does not tell"),
    (etcd(least_ttl_s=15), "etcd_election", FAULT, "between 9.3 and 10.1 s"),
    (etcd(least_ttl_s=3), "etcd_election", FAULT, "between 1.3 and 2.1 s"),
    (etcd(least_ttl_s=1), "etcd_election", OK, "between 0.0 and 0.7 s"),
    (etcd(least_ttl_s=None, error="refused"), "etcd_election", UNKNOWN, "refused"),
    (etcd(refused=("heartbeat",)), "etcd_rights", FAULT, "may not write heartbeat"),
    (etcd(too_much=("override",)), "etcd_rights", WARN, "anybody may write override"),
    (etcd(unread="permission denied"), "etcd_rights", FAULT, "may not read the group: permission denied"),
    (etcd(refused=None, error="no answer"), "etcd_rights", UNKNOWN, "no answer"),
    (etcd(certificates={"etcd.cert_file": 3.0}), "certificates", FAULT, "etcd.cert_file, in 3 days"),
    (etcd(certificates={"etcd.cert_file": -3.0}), "certificates", FAULT, "has run out"),
    (server(certificate_days=20.0), "certificates", WARN, "10.0.0.1:2379, in 20 days"),
    (etcd(certificates={"etcd.ca_file": 900.0}), "certificates", OK, "etcd.ca_file"),
]
UNWELL = member("bp-b", healthy=False, reasons=("peers: 0 peers",))
BLS = "producer=eosio finalizer=1a2b,3c4d"
GROUP_CASES = [
    (replace(WELL, group=GroupFacts(error="no answer")), "group", UNKNOWN, "no answer"),
    (group(member("bp-b")), "members", FAULT, "bp-a is not among the members (bp-b)"),
    (group(member("bp-a")), "members", FAULT, "bp-a is alone"),
    (group(member("bp-a"), UNWELL), "members", WARN, "bp-b: peers: 0 peers"),
    (group(member("bp-a"), member("bp-b"), problems=("override: not JSON",)), "keys", FAULT, "override: not JSON"),
    (group(member("bp-a"), member("bp-b", version="0.0.9")), "agent_versions", WARN, "0.0.9: bp-b"),
    (agent(status={**STATUS, "version": "0.0.9"}), "agent_versions", WARN, "the agent runs 0.0.9"),
    (group(member("bp-a"), member("bp-b", settings="producer=other")), "agent_configs", FAULT, "bp-b other"),
    (
        group(member("bp-a"), member("bp-b", settings="producer=eosio chain=aaaaaaaa timing=3/0.5 health=12345678")),
        "agent_configs",
        WARN,
        "timing: bp-a 6/0.5, bp-b 3/0.5",
    ),
    (group(member("bp-a"), member("bp-b", settings="")), "agent_configs", SKIPPED, "fewer than two"),
    (group(member("bp-a", settings=BLS), member("bp-b", settings=BLS)), "finalizer_keys", FAULT, "bp-a, bp-b sign"),
    (group(member("bp-a", settings=BLS), member("bp-b")), "finalizer_keys", OK, "2 BLS keys"),
]
AGENT_CASES = [
    (replace(WELL, agent=AgentFacts(error="refused")), "agent", FAULT, "refused"),
    (agent(status={**STATUS, "open_alerts": ["no_standby"]}), "agent", WARN, "no_standby"),
    (agent(status={**STATUS, "guard_pid": None}), "guard", FAULT, "there is none"),
    (agent(settings={**UNIT, "WatchdogUSec": "0"}), "supervision", FAULT, "lacks WatchdogSec"),
    (agent(settings={**UNIT, "ExecStopPost": ""}), "supervision", FAULT, "lacks ExecStopPost"),
    (agent(settings={}), "supervision", FAULT, "lacks Type=notify, WatchdogSec, ExecStopPost"),
    (agent(supervised=""), "supervision", WARN, "nothing starts the agent again"),
    (agent(supervised="", pid=None), "supervision", UNKNOWN, "could not be seen"),
    (agent(supervised="guard"), "supervision", OK, "a parent guard"),
    (agent(supervised="container"), "supervision", UNKNOWN, "container"),
    (replace(WELL, channels=(ChannelFact("ops", "no connection"),)), "alert_channels", FAULT, "ops: no connection"),
    (replace(WELL, channels=(ChannelFact("ops", untried=True),)), "alert_channels", UNKNOWN, "only a delivery"),
    (replace(WELL, channels=()), "alert_channels", UNKNOWN, "0 of 1"),
    (host(synchronised=False), "clock_ntp", WARN, "not synchronised"),
    (host(synchronised=None, clock_failure="adjtimex: no"), "clock_ntp", UNKNOWN, "adjtimex"),
    (host(disk_free=2**30), "disk", FAULT, "1.0 GiB (0 %) free"),
    (host(disk_free=40 * 2**30), "disk", WARN, "40.0 GiB (20 %) free"),
    (host(disk_free=None, disk_error="no permission"), "disk", UNKNOWN, "no permission"),
    (host(runtime_fs="ext4"), "runtime_dir", WARN, "is on ext4"),
    (host(runtime_fs=""), "runtime_dir", UNKNOWN, "could not be looked at"),
    (replace(WELL, late=("host",)), "gathering", UNKNOWN, "host did not answer in time"),
]
CASES = [*NODEOS_CASES, *ETCD_CASES, *GROUP_CASES, *AGENT_CASES]


@pytest.mark.parametrize(
    ("facts", "name", "verdict", "seen"), CASES, ids=[f"{name}-{seen[:30]}" for _facts, name, _verdict, seen in CASES]
)
def test_each_fault_is_found_and_has_a_remedy(facts: Facts, name: str, verdict: Grade, seen: str) -> None:
    """One fact that is spoilt gives one finding, with what was seen and, unless all is well, what to do."""
    found = next(each for each in findings(facts, config()) if each.name == name)
    assert found.verdict is verdict, found
    assert seen in found.seen
    assert found.remedy or verdict in (OK, SKIPPED)


@pytest.mark.parametrize(
    ("settings", "name", "verdict", "seen"),
    [
        ({"nodeos": {"chain_id": None}}, "chain", WARN, "nothing says that it is the right one"),
        ({"nodeos": {"producer_key": None}}, "schedule_key", WARN, "is scheduled with EOS6MR"),
        ({"nodeos": {"data_dir": None}}, "disk", SKIPPED, "data_dir is not set"),
        ({"alerts": []}, "alert_channels", WARN, "nobody is told"),
        ({"runbooks": "grafana/runbooks.md"}, "alert_channels", WARN, "which nobody can open"),
        (
            {"timing": {"validity": 3.1, "election": 0.5}},
            "etcd_election",
            FAULT,
            "0.7 and 1.4 s, timing.election says 0.5 s",
        ),
        ({"timing": {"election": 3.0, "validity": 10.0, "lease_ttl": 20}}, "etcd_election", OK, "says 3 s"),
        ({"etcd": {"endpoints": ["http://10.0.0.1:2379"]}}, "certificates", WARN, "plain text"),
        ({}, "certificates", SKIPPED, "on this host"),
    ],
)
def test_what_is_not_set_is_told(settings: dict[str, object], name: str, verdict: Grade, seen: str) -> None:
    """The same facts under another configuration."""
    found = next(each for each in findings(WELL, config(**settings)) if each.name == name)
    assert (found.verdict, seen in found.seen) == (verdict, True), found


def test_facts_that_nobody_gathered_are_no_defect() -> None:
    """Whatever could not be had, every check says something."""
    nothing = _facts({}, ())
    found = findings(nothing, config())
    assert {"nodeos", "etcd", "group", "agent"} <= {each.name for each in found if each.verdict in (FAULT, UNKNOWN)}
    assert isinstance(config(), Config)
    assert CHAIN


def test_a_nodeos_that_signs_without_an_agent_is_a_fault() -> None:
    """R18: blocks while nobody has ever led, and two blocks for one slot, are told with the remedy."""
    live = [member("bp-a", asked_ms=1_000_000, own_ms=999_000), member("bp-b", asked_ms=1_000_000)]
    found = group_checks.signers(GroupView(1, members=tuple(live)))
    assert found.verdict is FAULT
    assert "on the chain of bp-a" in found.seen
    assert group_checks.signers(GroupView(1, members=tuple(live), heartbeat=HeartbeatKey(None, 1))).verdict is OK
    twice = (member("bp-a", own=("7:aa", "8:ab")), member("bp-b", own=("7:bb", "8:ab")))
    found = group_checks.signers(GroupView(1, members=twice, heartbeat=HeartbeatKey(None, 1)))
    assert "signed twice, the last of them 7" in found.seen
