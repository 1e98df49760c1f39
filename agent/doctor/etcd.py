"""What speaks against the etcd cluster, and against our rights in it. Facts in, findings out."""

from __future__ import annotations

import re
import statistics
from collections.abc import Iterator

from agent.config.model import Config
from agent.core.leadership.timing import seconds
from agent.doctor.finding import Finding, fault, ok, skipped, unknown, warn
from agent.doctor.gather_etcd import EtcdFacts
from agent.etcd.info import EtcdServer

MENDED = {(3, 4): 42, (3, 5): 28, (3, 6): 9}
"""The first patch version whose linearizable reads are fresh after a pause (etcd issue 20418); the same releases ask
for credentials on a keepalive (CVE-2026-33413)."""
CORRUPTS = {(3, 5): 3}
"""Before this patch version members may come apart when one is killed (etcd's own announcement of March 2022)."""
FSYNC_WARN_S, FSYNC_FAULT_S = 0.010, 0.5
"""etcd's hardware guide wants the 99th percentile of an fsync below 10 ms; at half a second elections begin."""
FULL_WARN, FULL_FAULT = 0.5, 0.8
"""Of the quota. When it is full nobody can confirm or take over."""
LIVES_ON = 500_000
"""Revisions kept from which on a store without compaction is called one: three days of one group."""
EXPIRES_WARN, EXPIRES_FAULT = 30, 7
"""Days."""
_METRICS = "let etcd serve /metrics on its client URLs (it does by default)"


def check(facts: EtcdFacts, config: Config) -> list[Finding]:
    """Return everything about etcd."""
    up = [each for each in facts.servers if not each.error]
    if not up:
        why = "; ".join(f"{each.endpoint}: {each.error}" for each in facts.servers) or facts.error
        remedy = "start it, and check etcd.endpoints, certificates and the way there"
        return [fault("etcd", why, remedy), *certificates(facts, config)]
    return [
        one_cluster(up) or endpoints(facts),
        version(up),
        quorum(facts, up),
        alarms(up),
        quota(up),
        compaction(facts, up),
        round_trip(facts, config),
        fsync(up, config),
        election(facts, config),
        rights(facts, config),
        *certificates(facts, config),
    ]


def endpoints(facts: EtcdFacts) -> Finding:
    """Every endpoint answers, and every member is one."""
    down = [each for each in facts.servers if each.error]
    if down:
        why = "; ".join(f"{each.endpoint}: {each.error}" for each in down)
        return fault("etcd", why, "mend it, or take it out of etcd.endpoints: one more fault may cost the quorum")
    seen = f"all {len(facts.servers)} answer"
    told = {each.member for each in facts.servers}
    if len(told) < len(facts.servers):
        remedy = "if they are members that never joined (etcd's default settings), join them: each has a leader"
        return warn("etcd", f"{len(facts.servers)} endpoints tell {len(told)} member ids between them", remedy)
    if facts.members and len(facts.members) > len(told):
        remedy = "name every member in etcd.endpoints: the agent turns to another when one fails"
        return warn("etcd", f"{seen}, the cluster has {len(facts.members)} members", remedy)
    return ok("etcd", seen)


def one_cluster(up: list[EtcdServer]) -> Finding | None:
    """Endpoints of two clusters are two groups: each may have a leader of its own (P1). None: they are of one."""
    clusters = {each.cluster: each.endpoint for each in reversed(up) if each.cluster}
    if len(clusters) < 2:
        return None
    named = ", ".join(f"{endpoint} has the cluster id {cluster:x}" for cluster, endpoint in sorted(clusters.items()))
    remedy = "name the endpoints of one cluster in etcd.endpoints, the same on every host"
    return fault("etcd", f"the endpoints belong to {len(clusters)} clusters, each with a leader: {named}", remedy)


def _number(text: str) -> tuple[int, int, int] | None:
    found = re.match(r"v?(\d+)\.(\d+)\.(\d+)", text)
    return (int(found[1]), int(found[2]), int(found[3])) if found else None


def version(up: list[EtcdServer]) -> Finding:
    """Faults that are known are named, with the version that mends them."""
    seen = ", ".join(sorted({each.version for each in up}))
    found = [_number(each.version) for each in up]
    numbers = [each for each in found if each is not None]
    if len(numbers) < len(found):
        return unknown("etcd_version", f"{seen!r} is no version", "run 3.5.28, 3.6.9 or later")
    if any(each[:2] in CORRUPTS and each[2] < CORRUPTS[each[:2]] for each in numbers):
        return fault("etcd_version", f"{seen}: members may come apart when one is killed", "run 3.5.28, 3.6.9 or later")
    if any(each[:2] < (3, 4) for each in numbers):
        return fault("etcd_version", f"{seen} is out of support", "run 3.5.28, 3.6.9 or later")
    if any(each[2] < MENDED.get(each[:2], 0) for each in numbers):
        why = f"{seen}: stale reads after a pause (issue 20418), keepalive without credentials (CVE-2026-33413)"
        return warn("etcd_version", why, "run 3.5.28, 3.6.9 or later")
    if len(set(numbers)) > 1:
        return warn("etcd_version", f"several versions: {seen}", "finish the upgrade")
    return ok("etcd_version", seen)


def quorum(facts: EtcdFacts, up: list[EtcdServer]) -> Finding:
    """Want an odd number of members, three or more, and one leader, seen by all."""
    if any(each.learner for each in up):
        named = ", ".join(each.endpoint for each in up if each.learner)
        return fault("etcd_quorum", f"{named} is a learner, which refuses our requests", "promote it, or leave it out")
    if any(not each.leader for each in up):
        named = ", ".join(each.endpoint for each in up if not each.leader)
        return fault("etcd_quorum", f"{named} sees no leader", "see its log and the way between the members")
    if facts.members is None:
        return unknown("etcd_quorum", facts.members_error or "the members could not be listed", "see etcd's log")
    voters = sum(not each.learner for each in facts.members)
    if voters == 1:
        return warn("etcd_quorum", "one member: when it is down nobody can lead", "run three or five on separate hosts")
    if voters % 2 == 0:
        return warn("etcd_quorum", f"{voters} members stand no more faults than {voters - 1}", "add one, or remove one")
    return ok("etcd_quorum", f"{voters} members, {voters // 2} may fail")


def alarms(up: list[EtcdServer]) -> Finding:
    """NOSPACE stops every write, CORRUPT is worse."""
    found = sorted({alarm for each in up for alarm in each.alarms})
    if not found:
        return ok("etcd_alarms", "none")
    remedy = "compact, defragment, then etcdctl alarm disarm; CORRUPT: replace that member"
    return fault("etcd_alarms", ", ".join(found), remedy)


def quota(up: list[EtcdServer]) -> Finding:
    """See that the database has room: at the quota nobody can confirm."""
    fullest = max(up, key=lambda each: each.db_size / each.quota if each.quota else 0)
    if not fullest.quota:
        return unknown("etcd_quota", f"{_mib(fullest.db_size)} used, the quota is not told", _METRICS)
    share = fullest.db_size / fullest.quota
    seen = f"{_mib(fullest.db_size)} of {_mib(fullest.quota)} ({share:.0%})"
    remedy = "set --auto-compaction-retention, compact and defragment, or raise --quota-backend-bytes"
    if share > FULL_FAULT:
        return fault("etcd_quota", seen, remedy)
    return warn("etcd_quota", seen, remedy) if share > FULL_WARN else ok("etcd_quota", seen)


def _mib(size: int) -> str:
    return f"{size / 2**20:.1f} MiB"


def compaction(facts: EtcdFacts, up: list[EtcdServer]) -> Finding:
    """Two writes a second and group make 170,000 revisions a day."""
    told = [each.compacted for each in up if each.compacted is not None]
    remedy = "start etcd with --auto-compaction-mode=periodic --auto-compaction-retention=1h"
    if not told:
        why = next((each.metrics_error for each in up if each.metrics_error), "etcd does not tell what it compacted")
        return unknown("etcd_compaction", why, _METRICS)
    kept = facts.revision - max(told)
    seen = f"{kept} revisions are kept"
    if kept > LIVES_ON:
        return fault("etcd_compaction", seen, remedy)
    if max(told) <= 0:
        return unknown("etcd_compaction", f"{seen}, none was ever compacted", f"if it is not set yet: {remedy}")
    return ok("etcd_compaction", seen)


def round_trip(facts: EtcdFacts, config: Config) -> Finding:
    """See that a confirmation is over long before the next one; half the reads within half a request's deadline."""
    if not facts.round_trips_s:
        return fault("etcd_round_trip", facts.error or "no read came back", "see etcd's log and the way there")
    typical, worst = statistics.median(facts.round_trips_s), max(facts.round_trips_s)
    seen = f"median {1000 * typical:.1f} ms, longest {1000 * worst:.1f} ms of {len(facts.round_trips_s)} reads"
    timing = config.timing
    remedy = f"use members nearby, or raise timing.validity (E {timing.validity:g} s) and timing.request"
    if typical > config.spans.request / 2000:
        return fault("etcd_round_trip", seen, remedy)
    return warn("etcd_round_trip", seen, remedy) if worst > timing.renew / 2 else ok("etcd_round_trip", seen)


def fsync(up: list[EtcdServer], config: Config) -> Finding:
    """Judge the disk: a slow one makes elections, and each costs some of E."""
    told = [each.fsync_s for each in up if each.fsync_s is not None]
    if not told:
        return unknown("etcd_fsync", "etcd does not tell how fast its disk is", _METRICS)
    seen = f"99 % of fsyncs take at most {1000 * max(told):.0f} ms"
    remedy = "give etcd a disk of its own (SSD, NVMe)"
    if max(told) > min(FSYNC_FAULT_S, config.timing.renew):
        return fault("etcd_fsync", f"{seen}; a confirmation is due every {config.timing.renew:g} s", remedy)
    return warn("etcd_fsync", seen, remedy) if max(told) > FSYNC_WARN_S else ok("etcd_fsync", seen)


def election(facts: EtcdFacts, config: Config) -> Finding:
    """E >= A + 2 election time-outs + 2R holds only for the time-out that etcd really has."""
    if facts.least_ttl_s is None:
        return unknown("etcd_election", facts.error or "no lease was granted", "let our user write, see etcd_rights")
    low, high = election_between(facts.least_ttl_s)
    told = config.spans.election
    seen = f"etcd's election time-out is between {low:.1f} and {high:.1f} s, timing.election says {seconds(told)}"
    if low >= told / 1000:
        return fault("etcd_election", seen, "set timing.election to etcd's --election-timeout; E may have to grow")
    return ok("etcd_election", seen)


def election_between(least_ttl_s: int) -> tuple[float, float]:
    """Return the two values in seconds between which etcd's election time-out lies, by the least lease that it grants.

    etcd grants no lease below ceil(1.5 election time-outs), in whole seconds, the ticks rounded down.
    """
    return (least_ttl_s - 1) / 1.5, (least_ttl_s + 0.1) / 1.5


def rights(facts: EtcdFacts, config: Config) -> Finding:
    """Our user may read the group and write what the agent writes, and no more."""
    if facts.refused is None:
        return unknown("etcd_rights", facts.error or "they could not be tried", "see etcd's log")
    if facts.refused:
        named = ", ".join(facts.refused)
        return fault("etcd_rights", f"we may not write {named}", "grant them: deploy/etcd/access.sh does")
    if facts.unread:
        return fault("etcd_rights", f"we may not read the group: {facts.unread}", "grant read on its whole prefix")
    if not facts.too_much:
        return ok("etcd_rights", "we may write what the agent writes, and nothing else")
    who = "anybody" if not config.etcd.user and not config.etcd.cert_file else "our user"
    remedy = "turn authentication on, and give each agent a user of its own: deploy/etcd/access.sh"
    return warn("etcd_rights", f"{who} may write {', '.join(facts.too_much)}", remedy)


def certificates(facts: EtcdFacts, config: Config) -> Iterator[Finding]:
    """None of them runs out soon: ours, the authorities', and those that the members show."""
    shown = {each.endpoint: each.certificate_days for each in facts.servers if each.certificate_days is not None}
    days = {**facts.certificates, **shown}
    if not days:
        if config.etcd.tls:
            yield unknown("certificates", "none could be read", "check etcd.ca_file and etcd.cert_file")
        else:
            remedy = "use TLS with client certificates: deploy/etcd/certificates.sh"
            yield (
                warn("certificates", "etcd is reached in plain text", remedy)
                if _remote(config)
                else skipped("certificates", "etcd is on this host, in plain text")
            )
        return
    first = min(days, key=lambda name: days[name])
    seen = f"the first to run out is {first}, in {days[first]:.0f} days"
    remedy = "renew it: deploy/etcd/certificates.sh; the agent reads its own anew for each connection"
    if days[first] < EXPIRES_FAULT:
        yield fault("certificates", seen if days[first] > 0 else f"{first} has run out", remedy)
    else:
        yield warn("certificates", seen, remedy) if days[first] < EXPIRES_WARN else ok("certificates", seen)


def _remote(config: Config) -> bool:
    near = ("127.", "::1", "localhost")
    return bool(config.etcd.discovery_srv) or any(not host.startswith(near) for host, _port in config.etcd.targets)
