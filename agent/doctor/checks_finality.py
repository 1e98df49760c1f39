"""What speaks against our part in finality (Savanna): keys, policy, the time-out for votes. Facts in, findings out."""

from __future__ import annotations

from agent.config.model import Config
from agent.doctor.facts import NodeosFacts
from agent.doctor.finding import Finding, fault, ok, skipped, unknown, unseen_options, warn

CHANGE_S = 4.0
"""A key is active 2 s after it was pushed (seen); a second goes by until the push, and one is to spare."""
DEFAULT_MS = 6000
"""nodeos's own production-pause-vote-timeout-ms."""


def finality(facts: NodeosFacts, config: Config) -> list[Finding]:
    """Return everything about votes and keys, one line where no finalizers decide."""
    if facts.finality is None or not facts.finality.known:
        why = facts.finality_error or "before Savanna there are none"
        return [skipped("finalizer_policy", f"no finalizers are known: {why}")]
    return [policy(facts, config), own_key(facts, config), vote_timeout(facts, config), safety(facts)]


def policy(facts: NodeosFacts, config: Config) -> Finding:
    """See whose key votes for our account."""
    name, found = "finalizer_policy", facts.finality
    assert found is not None
    account, ours = config.finalizer.account or config.producer, config.finalizer.public_key
    active = found.active_key(account)
    if not active:
        return warn(name, f"{account} is not in the policy", "nothing, if that is meant; else regfinkey and actfinkey")
    if not ours:
        remedy = "set finalizer.public_key and finalizer.command, or another leader pauses itself after 6 s"
        return warn(name, f"{account} votes with {active}, and no take-over changes that", remedy)
    if active == ours:
        return ok(name, f"{account} votes with the key of this host")
    if not config.finalizer.command:
        return warn(name, f"{account} votes with {active}, not with our key", "set finalizer.command")
    return ok(name, f"{account} votes with {active}; ours becomes active when this node leads")


def own_key(facts: NodeosFacts, config: Config) -> Finding:
    """See that nodeos has the key that is made active."""
    name, ours = "finalizer_key", config.finalizer.public_key
    has = [each for each in facts.options.values.get("signature-provider", ()) if each.startswith("PUB_BLS_")]
    if not ours:
        return skipped(name, "finalizer.public_key is not set")
    if unseen := unseen_options(name, facts):
        return unseen
    if ours not in has:
        remedy = f"add signature-provider = {ours}=KEY:…, or correct finalizer.public_key"
        return fault(name, f"nodeos has {', '.join(has) or 'no BLS key'}, not finalizer.public_key", remedy)
    return ok(name, "nodeos has it")


def vote_timeout(facts: NodeosFacts, config: Config) -> Finding:
    """See that the key can change before nodeos pauses itself for want of votes."""
    name, option = "vote_timeout", "production-pause-vote-timeout-ms"
    if unseen := unseen_options(name, facts):
        return unseen
    found = facts.options.number(option, DEFAULT_MS)
    if not found:
        return warn(name, f"{option} is 0: a leader without votes signs on", f"remove it: {DEFAULT_MS} is the default")
    if config.finalizer.command and found < CHANGE_S * 1000:
        seen = f"{option} is {found}, a key becomes active after some {CHANGE_S:g} s"
        return warn(name, seen, f"set {option} = {DEFAULT_MS}")
    return ok(name, f"{option} is {found}")


def safety(facts: NodeosFacts) -> Finding:
    """See that nodeos remembers what it voted for."""
    name = "finalizer_safety"
    if facts.safety is None:
        return unknown(name, "safety.dat was not looked for", "set nodeos.data_dir, and run doctor as nodeos's user")
    if not facts.safety:
        remedy = "never copy one from another host or an older day; without any, make a new BLS key for this host"
        return warn(name, "there is no finalizers/safety.dat: nodeos forgot what it voted for", remedy)
    return ok(name, "finalizers/safety.dat is there")
