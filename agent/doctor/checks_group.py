"""What speaks against the group, the agent, its supervision and its alert channels. Facts in, findings out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping

from agent import __version__
from agent.config.model import Config
from agent.core.blocks.sightings import strays
from agent.core.model.belonging import clashes
from agent.core.model.records import GroupView, Member
from agent.doctor.facts import AgentFacts, ChannelFact, GroupFacts
from agent.doctor.finding import Finding, fault, ok, skipped, unknown, warn

MUST_AGREE = ("producer", "chain")
"""Settings in which members cannot differ and serve one group."""
FINALIZER = "finalizer"


def group(facts: GroupFacts, config: Config, status: Mapping[str, object] | None) -> list[Finding]:
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
        each_of = "; ".join(f"{version}: {_of(view, version)}" for version in sorted(found))
        return warn("agent_versions", each_of, "upgrade all to one version, one after another")
    mine = status.get("version") if status else None
    if mine and mine != __version__:
        return warn("agent_versions", f"the agent runs {mine}, this is {__version__}", "restart the agent")
    return ok("agent_versions", ", ".join(found) or "no agent")


def _of(view: GroupView, version: str) -> str:
    return ", ".join(sorted(each.node for each in view.members if each.version == version))


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
    seen = "; ".join(f"{name}: {_each(told, name)}" for name in differ)
    if set(differ) & set(MUST_AGREE):
        yield fault("agent_configs", seen, "correct the configuration that is wrong: they do not serve one producer")
    else:
        yield warn("agent_configs", seen, "give all members of the group the same [timing], [health] and peers.mode")


def _each(told: Mapping[str, Mapping[str, str]], name: str) -> str:
    return ", ".join(f"{node} {found.get(name) or 'nothing'}" for node, found in sorted(told.items()))


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


def agent(facts: AgentFacts) -> list[Finding]:
    """Return how the agent beside us is kept running."""
    if facts.status is None:
        return [fault("agent", facts.error or "it does not answer", "start it: systemctl start nodeos-failover")]
    phase, alerts = facts.status.get("phase", "?"), facts.status.get("open_alerts") or []
    seen = f"{phase}, pid {facts.pid or '?'}"
    told = ", ".join(str(each) for each in alerts) if isinstance(alerts, list) else ""
    first = warn("agent", f"{seen}; open alerts: {told}", "see its log and the runbook") if told else ok("agent", seen)
    guarded = facts.status.get("guard_pid")
    guard = (
        ok("guard", f"pid {guarded}")
        if guarded
        else fault("guard", "there is none", "see the agent's log: nothing stops nodeos should the agent die")
    )
    return [first, guard, supervision(facts)]


def supervision(facts: AgentFacts) -> Finding:
    """Something starts the agent again, sees that it decides, and fences when it is gone."""
    name = "supervision"
    if facts.supervised == "systemd":
        missing = list(_missing(facts.settings))
        remedy = f"use deploy/systemd, or set it in {facts.unit} (systemctl edit)"
        if missing:
            return fault(name, f"{facts.unit} lacks {', '.join(missing)}", remedy)
        return ok(name, f"{facts.unit}: watchdog, restart, and a fence when it is gone")
    if facts.supervised == "guard":
        return ok(name, "a parent guard starts it again, and fences when it is gone")
    if facts.supervised == "container":
        remedy = "see that it is always restarted, and that its command is `guard -- run`"
        return unknown(name, "it runs in a container, which cannot be looked at from here", remedy)
    if not facts.pid:
        return unknown(name, "the agent's process could not be seen", "run doctor as root or the agent's user")
    remedy = "run it under systemd (deploy/systemd), or as `nodeos-failover guard -- run`"
    return warn(name, "nothing starts the agent again when it dies", remedy)


def _missing(found: Mapping[str, str]) -> Iterator[str]:
    if found.get("Type") not in ("notify", "notify-reload"):
        yield "Type=notify"
    if found.get("WatchdogUSec", "0") in ("", "0", "infinity"):
        yield "WatchdogSec"
    if "fence" not in found.get("ExecStopPost", ""):
        yield "ExecStopPost=… fence --local"
    if found.get("Restart") != "always":
        yield "Restart=always"


def alerts(found: tuple[ChannelFact, ...], config: Config) -> Finding:
    """Somebody is told, and the way there is open."""
    if not config.alerts:
        return warn("alert_channels", "nobody is told of anything", "add an [[alerts]] channel, and run `alerts test`")
    failed = [f"{each.name}: {each.error}" for each in found if each.error]
    if failed:
        return fault("alert_channels", "; ".join(failed), "correct the channel's URL, or open the way to it")
    if len(found) < len(config.alerts):
        return unknown("alert_channels", f"{len(found)} of {len(config.alerts)} were tried", "run doctor again")
    if untried := [each.name for each in found if each.untried]:
        remedy = f"run: nodeos-failover alerts test --channel {untried[0]}"
        return unknown("alert_channels", f"{', '.join(untried)}: only a delivery would tell", remedy)
    if not config.runbooks.startswith(("http://", "https://")):
        remedy = "set runbooks to the address of your copy of grafana/runbooks.md"
        return warn("alert_channels", f"alerts link to {config.runbooks}, which nobody can open from there", remedy)
    return ok("alert_channels", f"{', '.join(each.name for each in found)}: reachable; `alerts test` delivers one")
