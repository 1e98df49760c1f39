"""What speaks against the nodeos beside us, and our part in finality (Savanna): keys, policy, time-out for votes."""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import urlsplit

from agent.config.model import Config
from agent.core.health.checks import clock_offset
from agent.doctor.finding import Finding, fault, ok, skipped, unknown, warn
from agent.doctor.gather_nodeos import NodeosFacts
from agent.gate.wire import SIGN
from agent.nodeos.finder import REMEDY

_VERSION = re.compile(r"v?(\d+)\.(\d+)")
FEW_PEERS = 3
"""Fewer peers than this and a single fault cuts a producer off."""
BLOCK_S = 0.5
"""So long the block in flight takes at most, whatever the version: with an offset per round it has less than a slot."""
P2P_PORT = "9876"
"""Where nodeos listens for its peers, unless p2p-listen-endpoint says otherwise."""
CHANGE_S = 4.0
"""A key is active 2 s after it was pushed (seen); a second goes by until the push, and one is to spare."""
DEFAULT_MS = 6000
"""nodeos's own production-pause-vote-timeout-ms."""


def unseen_options(name: str, facts: NodeosFacts) -> Finding | None:
    """Return why nodeos's options cannot be judged, None when they can."""
    if facts.options.sources:
        return None
    remedy = "set nodeos.config_file to its config.ini, or run doctor as nodeos's user"
    return unknown(
        name, facts.options_error or "nodeos's options could not be seen: no config.ini could be read", remedy
    )


def check(facts: NodeosFacts, config: Config, status: Mapping[str, object] | None) -> list[Finding]:
    """Return everything about nodeos; `status` is what the agent beside it says, None when it does not run."""
    if facts.info is None:
        remedy = "start it, and check nodeos.url; after a crash it may be replaying"
        return [fault("nodeos", facts.info_error or "it was not asked", remedy), *_without_api(facts, config, status)]
    return [
        ok("nodeos", f"answers at {config.nodeos.url}, head {facts.info.head_num}"),
        version(facts),
        block_margin(config),
        plugins(facts),
        chain(facts, config),
        head(facts, config),
        clock(facts, config),
        peers(facts, config),
        key(facts, config),
        signer(facts, config),
        *finality(facts, config),
        *_without_api(facts, config, status),
    ]


def _without_api(facts: NodeosFacts, config: Config, status: Mapping[str, object] | None) -> list[Finding]:
    return [
        process(facts, config),
        pause_on_startup(facts, status),
        stale_production(facts),
        producer_api(facts, config),
    ]


def process(facts: NodeosFacts, config: Config) -> Finding:
    """See that nodeos is known as a process: else it is never ended, and its end proves nothing."""
    name, through = "nodeos_process", [f"{name} (pid {pid})" for name, pid in facts.listening if pid != facts.pid]
    if facts.pid is not None:
        bound = ", ".join(facts.bound or ("no TCP port",))
        seen = f"pid {facts.pid} runs {config.fence.executable} and listens on {bound}"
        if not through:
            return ok(name, seen)
        remedy = "let nodeos.url name nodeos itself; a forwarder to another nodeos would have the wrong one ended"
        return warn(name, f"{seen}, but requests go to {', '.join(through)}", remedy)
    seen = facts.process_error.removesuffix(f": {REMEDY}") or "it was not looked for"
    if facts.info is None:
        return unknown(name, seen, REMEDY)
    if config.health.process.enabled:
        return fault(name, f"{seen}; so this node cannot lead (check `process`), and nodeos is not ended", REMEDY)
    return warn(name, f"{seen}; so nodeos is not ended, and only a pause that it answers proves a stop", REMEDY)


def parsed(text: str) -> tuple[int, int] | None:
    """Return major and minor version of a server_version_string."""
    found = _VERSION.search(text)
    return (int(found[1]), int(found[2])) if found else None


def version(facts: NodeosFacts) -> Finding:
    """Leap 3.1 to Spring 1.3 are known. EOSIO counted from 1.0 to 2.1, Leap from 3.1 to 5.0, Spring from 1.0 again."""
    assert facts.info is not None
    name, known, text = "nodeos_version", "Leap 3.1 to 5.0 or Spring 1.0 to 1.3", facts.info.server_version
    found = parsed(text)
    if found is None:
        return unknown(name, f"{text!r} is no version", f"see that it is {known}")
    if found <= (1, 3):
        return ok(name, f"Spring {text}")
    if (3, 1) <= found < (6, 0):
        return ok(name, f"Leap {text}")
    seen = f"{text}, EOSIO or a Spring after 1.3" if found[0] in (1, 2) else f"{text} was never tried"
    return warn(name, seen, f"run {known}")


def block_margin(config: Config) -> Finding:
    """See that the block in flight has time: how far ahead of its date it is signed does not matter."""
    seen = f"timing.block is {config.timing.block:g} s, a block in flight takes {BLOCK_S:g} s at most"
    if config.timing.block >= BLOCK_S:
        return ok("block_margin", seen)
    return warn("block_margin", seen, f"set timing.block to {BLOCK_S:g} or more")


def plugins(facts: NodeosFacts) -> Finding:
    """Want the producer API; without the net API peers cannot be counted."""
    if facts.producer_missing:
        remedy = "add plugin = eosio::producer_api_plugin to config.ini, or set nodeos.producer_url to its listener"
        return fault("plugins", "nodeos has no producer API where we ask", remedy)
    if facts.paused is None:
        return fault("plugins", facts.paused_error or "the producer API was not asked", "see nodeos's log")
    if facts.net_missing:
        remedy = "add plugin = eosio::net_api_plugin to config.ini: an isolated producer looks healthy without it"
        return warn("plugins", "no net API, so peers are not counted", remedy)
    return ok("plugins", f"chain, producer and net API answer; production is {'paused' if facts.paused else 'on'}")


def chain(facts: NodeosFacts, config: Config) -> Finding:
    """See that the chain is the right one, and pinned."""
    assert facts.info is not None
    found, wanted = facts.info.chain_id, config.nodeos.chain_id
    if not wanted:
        return warn("chain", f"{found[:16]}…, and nothing says that it is the right one", "set nodeos.chain_id")
    if found != wanted:
        return fault("chain", f"nodeos is on {found}", f"nodeos.chain_id says {wanted}: correct one of them")
    return ok("chain", f"{found[:16]}…")


def head(facts: NodeosFacts, config: Config) -> Finding:
    """See that the head is recent."""
    assert facts.info is not None
    age = (facts.asked_ms - facts.info.head_time) / 1000
    if age > config.health.head_age.max:
        remedy = "see whether it is syncing, has peers, or the whole chain stands still"
        return warn("head", f"block {facts.info.head_num} is {age:.1f} s old", remedy)
    return ok("head", f"block {facts.info.head_num} is {age:.1f} s old, irreversible {facts.info.lib_num}")


def clock(facts: NodeosFacts, config: Config) -> Finding:
    """Compare clocks: a head too far in the future means that ours is behind the producers'."""
    assert facts.info is not None
    behind = -clock_offset(facts.info, facts.asked_ms) / 1000
    if behind > config.health.clock_offset.max:
        seen = f"our clock is {behind:.2f} s behind the chain's"
        return fault("clock_chain", seen, "run chrony or another NTP client")
    return ok("clock_chain", "not behind the chain's clock")


def peers(facts: NodeosFacts, config: Config) -> Finding:
    """Enough peers to survive the loss of one."""
    if facts.peers is None:
        if facts.net_missing:
            return skipped("peers", "nodeos has no net API")
        return unknown("peers", facts.peers_error or "not asked", "see nodeos's log")
    seen = f"{facts.peers.connected} connected of {facts.peers.configured} known"
    if facts.peers.connected < max(1, config.health.peers.min):
        return fault("peers", seen, "add p2p-peer-address lines, and see that the port is not blocked")
    if facts.peers.connected < FEW_PEERS:
        return warn("peers", seen, "add p2p-peer-address lines: with so few, one fault isolates the node")
    return ok("peers", seen)


def key(facts: NodeosFacts, config: Config) -> Finding:
    """See that the key in the schedule is one that this node signs with."""
    if facts.schedule is None:
        return unknown("schedule_key", facts.schedule_error or "not asked", "see that chain_api_plugin is loaded")
    ours = next((each for each in facts.schedule.producers if each.name == config.producer), None)
    if ours is None:
        remedy = "nothing, if that is meant; else check `producer`, votes and regproducer"
        return warn("schedule_key", f"{config.producer} is not in the schedule", remedy)
    wanted, has = config.nodeos.producer_key, facts.options.values.get("signature-provider", ())
    if wanted and wanted not in ours.keys:
        remedy = "correct nodeos.producer_key and signature-provider, or the key on chain (regproducer)"
        return fault("schedule_key", f"the schedule wants {', '.join(ours.keys)}, not {wanted}", remedy)
    comparable = {_kind(each) for each in has} & {_kind(each) for each in ours.keys}
    if comparable and not set(has) & set(ours.keys):
        remedy = "add the signature-provider of that key to config.ini, and restart nodeos"
        return fault("schedule_key", f"the schedule wants {', '.join(ours.keys)}, nodeos has no such key", remedy)
    if not wanted:
        seen = f"{config.producer} is scheduled with {', '.join(ours.keys)}"
        return warn("schedule_key", seen, "set nodeos.producer_key")
    return ok("schedule_key", f"{config.producer} is scheduled with {wanted}")


def signer(facts: NodeosFacts, config: Config) -> Finding:
    """See that nodeos has a way to sign, and that one by keosd names the path that keosd signs at."""
    name, known = "signature_provider", config.nodeos.producer_key or "PUBLIC_KEY"
    if unseen := unseen_options(name, facts):
        return unseen
    signers = facts.options.values.get("signers", ())
    if not facts.options.values.get("signature-provider"):
        remedy = f"set signature-provider = {known}=KEOSD:http://127.0.0.1:8900{SIGN} (or KEY:…), and restart nodeos"
        seen = f"not set in {', '.join(facts.options.sources)}: it signs with a key that everybody knows, or not at all"
        return fault(name, seen, remedy)
    for each in signers:
        key, _, way = each.partition("=")
        if way.startswith("KEOSD:unix:"):
            seen = f"{way} is a Unix socket: at the first signature the main thread of nodeos hangs, and stays so"
            return fault(name, seen, f"let keosd listen on a port, and set {key}=KEOSD:http://127.0.0.1:8900{SIGN}")
        if way.startswith("KEOSD:") and urlsplit(way.removeprefix("KEOSD:")).path in ("", "/"):
            return fault(name, f"{way} has no path: keosd signs nothing there", f"set {key}={way.rstrip('/')}{SIGN}")
    return ok(name, f"{len(facts.options.values['signature-provider'])} set in {', '.join(facts.options.sources)}")


def _kind(key: str) -> str:
    """Return in which form a key is written: the same key looks different in another one."""
    return "EOS" if key.startswith("EOS") else key[:6]


def pause_on_startup(facts: NodeosFacts, status: Mapping[str, object] | None) -> Finding:
    """Pausing is not kept over a restart of nodeos."""
    name, remedy = "pause_on_startup", "set pause-on-startup = true in config.ini"
    ago = status.get("found_unpaused_s") if status else None
    if not facts.options.sources and isinstance(ago, int | float):
        seen = f"{ago:.0f} s ago nodeos was found unpaused though it did not lead: a restart, or somebody's resume"
        return fault(name, seen, remedy)
    if unseen := unseen_options(name, facts):
        return unseen
    if facts.options.on("pause-on-startup"):
        return ok(name, f"set in {', '.join(facts.options.sources)}")
    seen = f"not set in {', '.join(facts.options.sources)}: a restart produces until the agent sees it"
    return fault(name, seen, remedy)


def stale_production(facts: NodeosFacts) -> Finding:
    """Refuse the option that starts a dead chain: it forks a living one when this node is behind."""
    if unseen := unseen_options("stale_production", facts):
        return unseen
    if facts.options.on("enable-stale-production"):
        remedy = "remove enable-stale-production (and -e): it lets a node that is behind produce on an old head"
        return fault("stale_production", "enable-stale-production is on", remedy)
    return ok("stale_production", "enable-stale-production is off")


def producer_api(facts: NodeosFacts, config: Config) -> Finding:
    """Whoever reaches the producer API can produce, pause, and stop the node."""
    name = "producer_api_private"
    remedy = "let http-server-address listen on 127.0.0.1, or give producer_rw a socket of its own; and close the port"
    if facts.reached:
        return fault(name, f"pause and resume answer at {', '.join(facts.reached)}: other hosts may reach them", remedy)
    if facts.bound is None:
        return unknown(name, "who listens could not be seen", "run doctor as root or nodeos's user")
    http = [each for each in facts.bound if _is_http(each, facts, config)]
    where = [each for each in http if not each.startswith(("127.", "[::1]", "/", "unix:"))]
    if where:
        return warn(name, f"nodeos listens on {', '.join(where)}; the producer API did not answer there", remedy)
    return ok(name, f"nodeos listens on {', '.join(http) or config.nodeos.url} only")


def _is_http(address: str, facts: NodeosFacts, config: Config) -> bool:
    """Tell whether an address is one of nodeos's for HTTP: every node listens for its peers, too (port 9876)."""
    options = facts.options.values
    named = (config.nodeos.url, config.nodeos.producer_url or "", *options.get("http-server-address", ()))
    ports = {each.rstrip("/").rpartition(":")[2] for each in (*named, *options.get("http-category-address", ()))}
    port = address.rpartition(":")[2]
    return port in ports if facts.options.sources else port != P2P_PORT


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
