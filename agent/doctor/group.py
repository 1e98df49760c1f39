"""What speaks against the group, as its keys tell."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from agent import __version__
from agent.config.model import Config
from agent.core.blocks.sightings import strays
from agent.core.model.belonging import clashes
from agent.core.model.keys import keys
from agent.core.model.records import GroupView, Member, read_group
from agent.doctor.finding import Finding, fault, ok, skipped, unknown, warn
from agent.doctor.gather_etcd import options
from agent.errors import StoreError
from agent.etcd.store import EtcdStore

MUST_AGREE = ("producer", "chain")
"""Settings in which members cannot differ and serve one group."""
FINALIZER = "finalizer"
MOST_S = 4.0


@dataclass(frozen=True, slots=True)
class GroupFacts:
    """The keys of the group, and when they were read."""

    view: GroupView | None = None
    error: str = ""


def gather(config: Config, within_s: float) -> GroupFacts:
    """Read the group within `within_s` seconds."""
    store, names = EtcdStore(options(config)), keys(config.etcd.prefix, config.group)
    try:
        return GroupFacts(read_group(names, store.range(names.root, min(MOST_S, within_s))))
    except StoreError as error:
        return GroupFacts(error=str(error))
    finally:
        store.close()


def check(facts: GroupFacts, config: Config, status: Mapping[str, object] | None) -> list[Finding]:
    """Return everything about the group; `status` is what the agent beside us says, None when it does not run."""
    if facts.view is None:
        return [unknown("group", facts.error or "it was not read", "see etcd")]
    return [
        members(facts.view, config),
        belonging(facts.view),
        signing_keys(facts.view),
        signers(facts.view),
        values(facts.view),
        versions(facts.view, status),
        *settings(facts.view),
        finalizers(facts.view),
    ]


def members(view: GroupView, config: Config) -> Finding:
    """Two or more, healthy, with us among them."""
    found = {each.node: each for each in view.members}
    if config.node not in found:
        return fault("members", f"{config.node} is not among the members ({_names(found)})", "start the agent")
    if len(found) < 2:
        return fault("members", f"{config.node} is alone: nobody takes over", "start the other agents of the group")
    sick = [f"{node}: {'; '.join(each.reasons) or each.role}" for node, each in found.items() if not each.healthy]
    if sick:
        return warn("members", "; ".join(sick), "mend it: an unhealthy node does not take over")
    return ok("members", f"{len(found)} healthy: {_names(found)}")


def _names(found: Mapping[str, Member]) -> str:
    return ", ".join(sorted(found)) or "none"


def belonging(view: GroupView) -> Finding:
    """All serve one producer on one chain, each with a nodeos of its own."""
    if why := clashes({each.node: each.belonging for each in view.members}):
        return fault("belonging", "; ".join(why), "correct `producer`, `group` or `nodeos.url` where it is wrong")
    chains = ", ".join(sorted({each.chain for each in view.members if each.chain})) or "not told yet"
    return ok("belonging", f"one producer, one chain ({chains}), a nodeos of its own for each")


def signers(view: GroupView) -> Finding:
    """Nobody signs for our producer but the leader, as far as the members' chains tell."""
    if why := strays(view.members, led=view.heartbeat is not None):
        remedy = "start the agent beside that nodeos, or stop it: look on every host that ever had the key"
        return fault("signers", "; ".join(why), remedy)
    return ok("signers", "by the members' chains nobody signs but the leader")


def signing_keys(view: GroupView) -> Finding:
    """Each can sign with the key that the schedule names; an account may have several."""
    told = {each.node: each.key for each in view.members if each.key}
    if not told:
        return skipped("signing_keys", "no member has nodeos.producer_key set")
    if len(set(told.values())) > 1:
        seen = ", ".join(f"{node} {key}" for node, key in sorted(told.items()))
        return warn("signing_keys", seen, "see that the account's authority has all of them, or set one key for all")
    return ok("signing_keys", f"{', '.join(sorted(told))} sign with {next(iter(told.values()))}")


def values(view: GroupView) -> Finding:
    """Every key can be read."""
    if view.problems:
        return fault("keys", "; ".join(view.problems), "put a right value, or delete the key")
    return ok("keys", "every key can be read")


def versions(view: GroupView, status: Mapping[str, object] | None) -> Finding:
    """All agents are of one version, and of this command's."""
    found = Counter(each.version for each in view.members)
    if len(found) > 1:
        of = {
            version: sorted(each.node for each in view.members if each.version == version) for version in sorted(found)
        }
        each_of = "; ".join(f"{version}: {', '.join(nodes)}" for version, nodes in of.items())
        return warn("agent_versions", each_of, "upgrade all to one version, one after another")
    mine = status.get("version") if status else None
    if mine and mine != __version__:
        return warn("agent_versions", f"the agent runs {mine}, this is {__version__}", "restart the agent")
    return ok("agent_versions", ", ".join(found) or "no agent")


def pairs(member: Member) -> dict[str, str]:
    """Return what a member tells of its configuration: words `name=value`."""
    words = (word.partition("=") for word in member.settings.split())
    return {name: value for name, equals, value in words if equals}


def settings(view: GroupView) -> Iterator[Finding]:
    """See that the members' configurations agree in what concerns the group."""
    told = {each.node: pairs(each) for each in view.members if each.settings}
    if len(told) < 2:
        yield skipped("agent_configs", "fewer than two members tell of theirs")
        return
    names = sorted({name for found in told.values() for name in found} - {FINALIZER})
    differ = [name for name in names if len({found.get(name, "") for found in told.values()}) > 1]
    if not differ:
        yield ok("agent_configs", f"{len(told)} members agree in {', '.join(names)}")
        return
    each_of = {
        name: [f"{node} {found.get(name) or 'nothing'}" for node, found in sorted(told.items())] for name in differ
    }
    seen = "; ".join(f"{name}: {', '.join(words)}" for name, words in each_of.items())
    if set(differ) & set(MUST_AGREE):
        yield fault("agent_configs", seen, "correct the configuration that is wrong: they do not serve one producer")
    else:
        yield warn("agent_configs", seen, "give all members of the group the same [timing], [health] and peers.mode")


def finalizers(view: GroupView) -> Finding:
    """With Savanna each host needs a BLS key of its own: one that two share may finalize two forks."""
    holders: dict[str, list[str]] = {}
    for member in view.members:
        for each in filter(None, pairs(member).get(FINALIZER, "").split(",")):
            holders.setdefault(each, []).append(member.node)
    shared = [", ".join(sorted(nodes)) for nodes in holders.values() if len(nodes) > 1]
    if shared:
        remedy = "make one for each host (spring-util bls create key), regfinkey, and [finalizer] with actfinkey"
        return fault("finalizer_keys", f"{'; '.join(shared)} sign votes with one BLS key", remedy)
    if not holders:
        return skipped("finalizer_keys", "no member tells of a BLS key (before Savanna there is none)")
    return ok("finalizer_keys", f"{len(holders)} BLS keys, none of them shared")
