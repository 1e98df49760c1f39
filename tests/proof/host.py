"""What may happen inside one host next: the agent's own steps, its lanes, nodeos, the guard, and their faults.

Only what concerns one host lives here; `moves` adds the store and the world around. A move without a fault may
happen at any time; one that is `urgent` must happen before time goes on, unless a fault is spent on letting it wait.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

from agent.core.leadership import actions as do
from agent.core.leadership import events as ev
from agent.core.leadership.machine import step
from agent.core.leadership.state import Identity, Phase, Production, State
from agent.core.leadership.timing import GateMode, PeersMode, Timing
from agent.core.leadership.transitions import ACTIVE
from agent.core.model.chain import ProcessId
from agent.core.model.copying import replace
from agent.core.model.peers import Beat
from agent.core.model.store import Ms
from tests.proof.gate import SignGate
from tests.proof.world import KEYS, PRODUCER, Ask, Host, Letter, Nodeos, Request, Save, Wish, wish

FOREVER: Ms = 1_000_000


@dataclass(frozen=True, slots=True)
class Rules:
    """What is assumed of the world. `guard`: a guard fences nodeos when its agent is dead or frozen.

    `stall`: how long an agent may be frozen when no guard stands by. `ranks`: by name, 0 campaigns first.
    `eager`: what an agent asks of its own host is answered before anything else happens in the world, but for faults.
    `live`: so many nodeos produce before any agent is there; none begins to later, and all see its blocks (R18).
    `lasting`: who is cut off, or hears no peers, stays so. `off`: members that have their peers switched off.
    `gate`: nodeos signs through a gate, in its first state; None: there is none. `kill`: SIGKILL ends a process.
    """

    timing: Timing
    ranks: dict[str, int]
    guard: bool = True
    stall: Ms = 1
    term: Ms = 0
    retry: Ms = 1
    backoff: Ms = 2
    eager: bool = False
    gate: SignGate | None = None
    kill: bool = True
    live: int = 0
    lasting: bool = False
    off: str = ""

    def setup(self, name: str, life: int) -> Identity:
        """Return the setup of an agent's start number `life`: the same object for the same."""
        return _setup(self, name, life)

    def __hash__(self) -> int:
        return id(self)  # a dict is in it


class _Setup(Identity):
    """A setup that is quick to hash: it is part of every state."""

    __slots__ = ()

    def __hash__(self) -> int:
        return hash(self.instance)


@cache
def _setup(rules: Rules, name: str, life: int) -> Identity:
    return _Setup(
        node=name,
        instance=f"{name}{life}",
        keys=KEYS,
        producer=PRODUCER,
        timing=replace(rules.timing, peers=PeersMode.OFF) if name in rules.off else rules.timing,
        boot_id="boot",
        agent_pid=0,
        term=rules.term,
        retry=rules.retry,
        head_poll=1,
        backoff=rules.backoff,
        patience=2,
        host_id=name,
    )


May = Callable[[str, str], bool]
"""Whether a fault of this class with this label may happen: what may not is not even computed."""


class Move(NamedTuple):
    """One thing that may happen inside a host. `fault`: the class that it is paid from, nothing if it is no fault."""

    label: str
    fault: str
    host: Host
    ghosts: tuple[Wish, ...] = ()


class Fed(NamedTuple):
    """A host after its agent took an event, and what the agent said."""

    host: Host
    said: tuple[str, ...]


def process(nodeos: Nodeos) -> ProcessId | None:
    """Return the nodeos process as an agent sees it."""
    return ProcessId(nodeos.pid, 0) if nodeos.pid else None


def feed(host: Host, event: ev.Event) -> Fed:
    """Let the agent take an event, and start what it asks for."""
    assert host.core is not None
    core, actions = step(host.core, event, host.clock)
    host = replace(host, core=core)
    said: list[str] = []
    for action in actions:
        match action:
            case do.Announce(key, source, target, reason):
                said.append(f"{source} -> {target} ({key}: {reason})")
            case do.Warn(key, text):
                said.append(f"warns {key}: {text}")
            case do.Exit():
                host = dead(host)
                said.append("exits")
            case do.Transact(number, kind, txn, within):
                assert host.request is None
                host = replace(host, request=Request(number, wish(host.name, kind, txn), host.clock + within))
                said.append(f"sends {kind}")
            case do.SendBeat(beat, nodes):
                host = replace(host, outbox=(*host.outbox, *(Letter(node, beat) for node in nodes)))
            case do.SendPromise(promise, node):
                host = replace(host, outbox=(*host.outbox, Letter(node, promise)))
            case do.OpenGate(_epoch, until):
                assert host.gate is not None
                host = replace(host, gate=host.gate.opened(until))
                said.append("opens the gate")
            case do.SaveRuntime(version, record):
                host = replace(host, saves=(*host.saves, Save(version, record, host.clock + rules_save(core.identity))))
            case _:
                host, word = _ask(host, action)
                said.append(word)
    return Fed(host, tuple(said))


def rules_save(identity: Identity) -> Ms:
    """Return how long a slow disk may take: as long as a request to etcd."""
    return identity.timing.request


def _ask(host: Host, action: do.Action) -> tuple[Host, str]:
    match action:
        case do.PauseNodeos(call, within):
            kind = "pause"
        case do.ResumeNodeos(call, within):
            kind = "resume"
        case do.ReadHead(call, within):
            kind = "head"
        case do.FenceNodeos(call, _term, within):
            kind = "fence"
        case do.CloseGate(call, within, _by):
            kind = "close"
        case _:
            raise AssertionError(action)
    return replace(host, asks=(*host.asks, Ask(kind, call, host.clock + within))), f"asks for {kind}"


def dead(host: Host) -> Host:
    """End the agent's process: what it asked of others may still happen."""
    queued = [each.kind for each in host.asks if each.kind in ("pause", "resume") and not each.acted]
    nodeos = host.nodeos
    if nodeos.pid:
        nodeos = replace(nodeos, queued=tuple(sorted({*nodeos.queued, *queued})))
    return replace(
        host,
        core=None,
        nodeos=nodeos,
        saves=(),
        asks=(),
        request=None,
        news="",
        stalled=False,
        stalled_for=0,
        inbox=tuple(each for each in host.inbox if each.slow),
        beside=False,
    )


def ended(host: Host) -> Host:
    """End the nodeos process: with it goes what it was asked; what has not been sent yet may reach the next one."""
    asks = tuple(replace(each, acted=True) if each.slow else each for each in host.asks)
    return replace(host, nodeos=host.nodeos.gone(), asks=asks, gate=host.gate.out() if host.gate else None)


def told(label: str, fed: Fed, fault: str = "", ghosts: tuple[Wish, ...] = ()) -> Move:
    """Return a move with what the agent said in its label."""
    return Move(f"{label}; " + "; ".join(fed.said) if fed.said else label, fault, fed.host, ghosts)


# --- urgency ---------------------------------------------------------------------------------------------------------


def urgent(host: Host, rules: Rules) -> str:
    """Return what must happen before time may go on, nothing if it may."""
    if rules.guard and _guard_due(host) and host.file is not None and host.clock >= host.file.stop_by + rules.stall:
        return "guard"
    gate = host.gate
    if gate is not None and gate.under_way == "leaving" and host.clock >= gate.since + rules.timing.slack:
        return "signature"
    if host.core is None:
        return ""
    if host.stalled:
        return "stalled" if not rules.guard and host.stalled_for >= rules.stall else ""
    if any(not letter.slow for letter in host.inbox):
        return "letter"
    if host.core.wake is not None and host.core.wake <= host.clock:
        return "wake"
    if any(not save.slow or host.clock >= save.due for save in host.saves[:1]):
        return "save"
    if any(_ask_urgent(host, ask) for ask in host.asks):
        return "ask"
    if rules.eager and host.core.process != process(host.nodeos):
        return "probe"
    request = host.request
    if request is not None and (host.clock >= request.due or not (request.slow or host.cut)):
        return "request"
    if rules.live and host.core.lease is None and not host.cut:
        return "lease"
    return "news" if host.news == "new" and not host.cut else ""


def _ask_urgent(host: Host, ask: Ask) -> bool:
    if ask.kind == "close":
        return host.clock >= ask.due or not ask.slow
    if host.clock >= ask.due or (host.nodeos.pid == 0 and not ask.slow):
        return True
    return not ask.slow and not host.nodeos.frozen


def _guard_due(host: Host) -> bool:
    file = host.file
    return (
        file is not None
        and file.state in ("held", "stopping")
        and host.clock >= file.stop_by
        and file.process == process(host.nodeos)
        and (not host.nodeos.paused or file.resume_open)
    )


def elapse(host: Host, span: Ms = 1) -> Host:
    """Let time pass on this host."""
    longer = host.stalled_for + span if host.stalled else 0
    return replace(host, clock=host.clock + span, stalled_for=longer)


# --- moves -----------------------------------------------------------------------------------------------------------


def core_peered(host: Host) -> bool:
    """Whether this host has an agent that counts and gives promises."""
    return host.core is not None and host.core.peered


def moves(host: Host, rules: Rules, may: May) -> Iterator[Move]:
    """Yield everything that may happen inside this host now, but for time and the store."""
    yield from _nodeos_moves(host, rules, may)
    if host.gate is not None:
        yield from _gate_moves(host, host.gate, may)
    if rules.guard and _guard_due(host):
        yield from _guard_moves(host, rules)
    if host.core is None:
        yield restarted(host, rules)
        return
    yield from _process_faults(host, rules, may)
    if core_peered(host):
        yield from _peer_moves(host, rules, may)
    if host.cut and not rules.lasting:
        yield Move("reaches etcd again", "", replace(host, cut=False))
    elif not host.cut and may("net", "is cut off from etcd"):
        yield Move("is cut off from etcd", "net", replace(host, cut=True))
    if host.stalled:
        return
    core = host.core
    if core.wake is not None and core.wake <= host.clock:
        yield told("wakes", feed(host, ev.Tick()))
    yield from _letter_moves(host, may)
    yield from _save_moves(host, may)
    for ask in host.asks:
        yield from _ask_moves(host, ask, rules, may)
    yield from _request_moves(host, may)
    yield from _probe_moves(host)


def post(host: Host, letters: tuple[Letter, ...]) -> Host:
    """Put letters into a host's inbox; of a leader's beats that nobody reads, the newest two stay."""
    if host.deaf or host.core is None:
        return host
    inbox = {*host.inbox, *letters}
    for owner in {each.said.instance for each in letters if isinstance(each.said, Beat)}:
        beats = [
            each for each in inbox if isinstance(each.said, Beat) and each.said.instance == owner and not each.slow
        ]
        inbox -= set(sorted(beats, key=lambda each: each.said.number)[:-2])
    return replace(host, inbox=tuple(sorted(inbox, key=repr)))


def _letter_moves(host: Host, may: May) -> Iterator[Move]:
    """Yield what may happen to beats and promises on their way to this host."""
    for letter in host.inbox:
        rest = replace(host, inbox=tuple(each for each in host.inbox if each != letter))
        beat = isinstance(letter.said, Beat)
        what = f"a {'beat' if beat else 'promise'} of {letter.said.node}"
        said = letter.said
        if isinstance(said, Beat):
            said = replace(said, to=f"{host.name}{host.life}")  # one for a process before would get no promise
        came = letter.came or host.clock
        event = ev.BeatReceived(said, came) if isinstance(said, Beat) else ev.PromiseReceived(said, came)
        heard = feed(rest, event)
        yield told(f"hears {what}" + (", late" if letter.slow else ""), heard)
        if letter.slow:
            continue
        late = replace(letter, slow=True)
        if may("wire", f"{what} is lost"):
            yield Move(f"{what} is lost", "wire", rest)
        if may("wire", f"{what} is late"):
            yield Move(f"{what} is late", "wire", post(rest, (late,)))
        if may("wire", f"{what} is read late"):
            yield Move(f"{what} is read late", "wire", post(rest, (replace(late, came=host.clock),)))
        if may("wire", f"{what} comes twice"):
            twice = replace(heard.host, inbox=tuple(sorted({*heard.host.inbox, late}, key=repr)))
            yield told(f"{what} comes twice", Fed(twice, heard.said), "wire")


def _peer_moves(host: Host, rules: Rules, may: May) -> Iterator[Move]:
    """Yield how the network between the members breaks and mends, and what is told of etcd's leader."""
    core = host.core
    assert core is not None
    if host.deaf and not rules.lasting:
        yield Move("hears its peers again", "", replace(host, deaf=False))
    elif not host.deaf and may("wire", "hears no peers"):
        yield Move("hears no peers", "wire", replace(host, deaf=True))
    if host.stalled or core.phase is not Phase.LEADING:
        return
    if not host.beside and may("wire", "etcd's leader moves beside its peers"):
        others = tuple(name for name in rules.ranks if name != host.name)
        fed = feed(replace(host, beside=True), ev.EtcdLeaderBeside(others))
        yield told("etcd's leader moves beside its peers", fed, "wire")
    elif host.beside:
        yield told("etcd's leader moves away", feed(replace(host, beside=False), ev.EtcdLeaderBeside(())))
    if not core.restarting_since and may("word", "the agent is to be replaced"):
        yield told("the agent is to be replaced", feed(host, ev.Restarting()), "word")


def _gate_moves(host: Host, gate: SignGate, may: May) -> Iterator[Move]:
    """Yield what may happen in the gate; a signature that is asked for and given at once is no move: it might be."""
    now = host.clock
    if gate.under_way == "forwarded":
        answered = gate.answered(now)
        word = "it leaves" if answered.under_way else "it is refused"
        yield Move(f"a slow signature is there, {word}", "", replace(host, gate=answered))
    elif gate.under_way == "leaving":
        yield Move("a slow signature is out", "", replace(host, gate=gate.out()))
    elif host.nodeos.pid and gate.passes(now) and may("gate", "a signature is slow"):
        yield Move("a signature is slow", "gate", replace(host, gate=gate.asked()))
    if gate.until > now and not gate.torn and may("gate", "the page is read while it is written"):
        yield Move("the page is read while it is written", "gate", replace(host, gate=replace(gate, torn=True)))
    if may("process", "the host starts anew"):
        yield _rebooted(host, gate)


def _rebooted(host: Host, gate: SignGate) -> Move:
    """Start the host anew: all is gone but the page, on a disk by mistake, with times that mean nothing any more."""
    ghosts = (host.request.wish,) if host.request and host.request.answer is None else ()
    page = replace(gate.out(), until=0, torn=False, old_boot=gate.old_boot or gate.until > host.clock)
    pid = 1 + max([host.nodeos.pid, *_pids(host)])
    fresh = replace(dead(host), nodeos=Nodeos(pid=pid), file=None, gate=page, cut=False)
    return Move("the host starts anew", "process", fresh, ghosts)


def _close_moves(host: Host, rest: Host, ask: Ask, may: May) -> Iterator[Move]:
    assert host.gate is not None
    shut = replace(rest, gate=host.gate.closed())
    if host.clock >= ask.due:
        yield told("the closing is not proven", feed(rest, ev.GateDone(ask.number, closed=False, why="no answer")))
        return
    if host.gate.idle:
        yield told("the gate is closed", feed(shut, ev.GateDone(ask.number, closed=True)))
    elif not ask.slow:
        yield Move("the gate closes, a request is under way", "", _mark(shut, replace(ask, slow=True)))
    if not ask.slow and may("gate", "the closing hangs"):
        yield Move("the closing hangs", "gate", _mark(rest, replace(ask, slow=True)))


def _nodeos_moves(host: Host, rules: Rules, may: May) -> Iterator[Move]:
    nodeos = host.nodeos
    if nodeos.pid == 0:
        pid = 1 + max([0, *_pids(host)])
        yield Move("nodeos starts, paused", "", replace(host, nodeos=Nodeos(pid=pid)))
        if not rules.live and may("config", "nodeos starts UNPAUSED"):
            rogue = Nodeos(pid=pid, paused=False, rogue=True)
            yield Move("nodeos starts UNPAUSED", "config", replace(host, nodeos=rogue))
        return
    if nodeos.frozen:
        yield Move("nodeos thaws", "", replace(host, nodeos=replace(nodeos, frozen=False)))
    else:
        if may("control", "nodeos freezes"):
            yield Move("nodeos freezes", "control", replace(host, nodeos=replace(nodeos, frozen=True)))
        for kind in nodeos.queued:
            left = replace(nodeos, queued=tuple(each for each in nodeos.queued if each != kind))
            left = left.resume() if kind == "resume" else left.pause(host.clock, rules.timing.block)
            yield Move(f"a late {kind} acts", "", replace(host, nodeos=left))
    if may("process", "nodeos dies"):
        yield Move("nodeos dies", "process", ended(host))


def _pids(host: Host) -> Iterator[int]:
    for each in (
        host.core.process if host.core else None,
        host.file.process if host.file else None,
        *(save.record.process for save in host.saves if save.record),
    ):
        if each is not None:
            yield each.pid


def _guard_moves(host: Host, rules: Rules) -> Iterator[Move]:
    assert host.file is not None
    nodeos = host.nodeos
    if host.file.resume_open or nodeos.frozen:
        yield Move("the guard ends nodeos", "", ended(host))
    else:
        yield Move("the guard pauses nodeos", "", replace(host, nodeos=nodeos.pause(host.clock, rules.timing.block)))


def restarted(host: Host, rules: Rules) -> Move:
    """Return the start of the agent, with the run-time file that is there."""
    core = State(rules.setup(host.name, host.life + 1))
    fresh = replace(host, core=core, life=host.life + 1, news="new")
    claims = host.nodeos.rogue and host.nodeos.signs(host.clock)
    begun = feed(sees(fresh, host.strange), ev.Started(host.file, process(host.nodeos), claims))
    fed = feed(begun.host, standing(host.name, rules))
    return told("the agent starts", Fed(fed.host, begun.said + fed.said))


WINDOW: Ms = 3
"""After so long without a block of a nodeos without an agent an absent heartbeat may be taken (R18)."""


def sees(host: Host, strange: bool) -> Host:
    """Let a host see whether blocks come that no leader signs.

    What its agent makes of it is `core.node.ungoverned`'s.
    """
    host = replace(host, strange=strange)
    core = host.core
    if not strange or core is None or host.stalled:
        return host
    led = core.seen.heartbeat is not None or core.seen.last_holder is not None
    return host if led else feed(host, ev.Ungoverned(host.clock + WINDOW)).host


def doubts(core: State | None) -> bool:
    """Tell whether an agent asks its chain about what it did not see come (R20)."""
    return core is not None and core.seen.at_first and (core.released or core.unsure)


def reads_chain(host: Host, newer: bool) -> Fed:
    """Let an agent see whether its chain has blocks newer than what stood in the store at first sight (R20)."""
    core = host.core
    if core is None or host.stalled or not doubts(core):
        return Fed(host, ())
    until = host.clock + WINDOW if newer and core.unsure else core.clear_at
    if (until, newer) == (core.clear_at, core.seen.newer):
        return Fed(host, ())
    return feed(host, ev.Ungoverned(until, newer))


def standing(name: str, rules: Rules, handover: str = "") -> ev.Eligibility:
    """Return a node's standing."""
    return ev.Eligibility(eligible=not handover, can_produce=True, rank=rules.ranks[name], why="", handover=handover)


def _process_faults(host: Host, rules: Rules, may: May) -> Iterator[Move]:
    core = host.core
    assert core is not None
    if host.stalled:
        yield Move("the agent thaws", "", sees(replace(host, stalled=False, stalled_for=0), host.strange))
    elif may("process", "the agent freezes"):
        yield Move("the agent freezes", "process", replace(host, stalled=True))
    if (rules.guard or rules.gate) and may("process", "the agent dies"):
        ghosts = (host.request.wish,) if host.request and host.request.answer is None else ()
        yield Move("the agent dies", "process", dead(host), ghosts)
    if not core.leaving and not host.stalled and may("word", "the agent is asked to end"):
        yield told("the agent is asked to end", feed(host, ev.Shutdown()), "word")
    if not host.stalled:
        if core.eligibility.handover:
            yield told("it is healthy again", feed(host, standing(host.name, rules)))
        elif may("word", "it is unhealthy"):
            yield told("it is unhealthy and another is better", feed(host, standing(host.name, rules, "sick")), "word")
        if core.phase is Phase.LEADING and may("word", "it signs nothing"):
            yield told("it signs nothing and begins anew", _anew(host, rules), "word")


def _anew(host: Host, rules: Rules) -> Fed:
    """Let a leader begin anew; it is as good as before as soon as it has begun to stop."""
    well = standing(host.name, rules)
    begun = feed(host, replace(well, handover="it signs nothing", cause="begins_anew", to=host.name))
    fed = feed(begun.host, well)
    return Fed(fed.host, begun.said + fed.said)


def _save_moves(host: Host, may: May) -> Iterator[Move]:
    if not host.saves:
        return
    first, rest = host.saves[0], host.saves[1:]
    what = first.record.state if first.record else "nothing"
    done = replace(host, saves=rest, file=first.record)
    yield told(f"the run-time file says {what}", feed(done, ev.RuntimeSaved(first.version, ok=True)))
    if first.slow:
        return
    if may("disk", "the disk is slow"):
        yield Move("the disk is slow", "disk", replace(host, saves=(replace(first, slow=True), *rest)))
    if may("disk", "the run-time file cannot be written"):
        failed = feed(replace(host, saves=rest), ev.RuntimeSaved(first.version, ok=False, why="disk full"))
        yield told("the run-time file cannot be written", failed, "disk")


def _ask_moves(host: Host, ask: Ask, rules: Rules, may: May) -> Iterator[Move]:
    rest = replace(host, asks=tuple(each for each in host.asks if each is not ask))
    if ask.kind == "fence":
        yield from _fence_moves(host, rest, ask, rules, may)
        return
    if ask.kind == "close":
        yield from _close_moves(host, rest, ask, may)
        return
    if host.nodeos.pid == 0:
        lost = ev.Call.TIMEOUT if ask.slow else ev.Call.UNREACHABLE
        yield told(f"{ask.kind} finds nobody", feed(rest, _answer(ask, lost)))
        return
    if ask.kind == "resume" and not ask.slow and host.clock >= ask.due:
        yield told("resume comes too late to be sent", feed(rest, _answer(ask, ev.Call.UNREACHABLE)))
        return
    free = not host.nodeos.frozen
    late = host.clock >= ask.due
    if late:
        yield _timed_out(rest, ask)
        return
    if free and not ask.acted:
        acted = replace(rest, nodeos=_act(rest, ask, rules))
        yield told(f"{ask.kind} is answered", feed(acted, _answer(ask, ev.Call.OK)))
        if ask.slow and ask.kind != "head":
            yield Move(f"{ask.kind} acts, unanswered", "", _mark(acted, replace(ask, acted=True)))
    if not ask.slow:
        fault = "" if host.nodeos.frozen else "control"
        if not fault or may(fault, f"{ask.kind} hangs"):
            yield Move(f"{ask.kind} hangs", fault, _mark(rest, replace(ask, slow=True)))
        if free and ask.kind != "head" and may("control", f"{ask.kind} is refused"):
            # also a pause that is answered and yet not seen to be done: the agent reads `paused` back
            yield told(f"{ask.kind} is refused", feed(rest, _answer(ask, ev.Call.ERROR)), "control")


def _mark(host: Host, ask: Ask) -> Host:
    return replace(host, asks=(*host.asks, ask))


def _act(host: Host, ask: Ask, rules: Rules) -> Nodeos:
    if ask.kind == "pause":
        return host.nodeos.pause(host.clock, rules.timing.block)
    return host.nodeos.resume() if ask.kind == "resume" else host.nodeos


def _answer(ask: Ask, result: ev.Call) -> ev.Event:
    if ask.kind == "pause":
        return ev.PauseDone(ask.number, result)
    if ask.kind == "resume":
        return ev.ResumeDone(ask.number, result)
    return ev.HeadRead(ask.number, 1 if result is ev.Call.OK else None, "id", 0, PRODUCER)


def _timed_out(rest: Host, ask: Ask) -> Move:
    if ask.kind != "head" and not ask.acted:
        queued = tuple(sorted({*rest.nodeos.queued, ask.kind}))
        rest = replace(rest, nodeos=replace(rest.nodeos, queued=queued))
    return told(f"{ask.kind} had no answer", feed(rest, _answer(ask, ev.Call.TIMEOUT)))


def _fence_moves(host: Host, rest: Host, ask: Ask, rules: Rules, may: May) -> Iterator[Move]:
    if not rules.kill:
        yield told("the fence ends nothing", feed(rest, ev.FenceDone(ask.number, gone=False)))
        return
    killed = ended(rest)
    yield told("the fence ends nodeos", feed(killed, ev.FenceDone(ask.number, gone=True)))
    if not ask.slow and host.clock < ask.due and host.nodeos.pid:
        fault = "" if host.nodeos.frozen else "control"
        if not fault or may(fault, "the fence takes its time"):
            yield Move("the fence takes its time", fault, _mark(rest, replace(ask, slow=True)))


def _request_moves(host: Host, may: May) -> Iterator[Move]:
    """Yield what may happen to a request without the store: its answer arrives, or its time is over."""
    request = host.request
    if request is None:
        return
    rest = replace(host, request=None)
    kind = request.wish.kind
    if host.clock >= request.due:
        ghosts = () if request.answer else (request.wish,)
        yield told(f"{kind} had no answer", feed(rest, ev.Unknown(request.number, "no answer in time")), "", ghosts)
    elif request.answer is not None and not host.cut:
        yield told(f"{kind} is answered late", feed(rest, request.answer))
    elif request.answer is None and not request.slow and not host.cut:
        if may("net", f"{kind} is slow"):
            yield Move(f"{kind} is slow", "net", replace(host, request=replace(request, slow=True)))
        if not may("net", f"etcd rejects {kind}"):
            return
        refused = feed(rest, ev.Rejected(request.number, lease_gone=False, why="no space"))
        yield told(f"etcd rejects {kind}", refused, "net")


def _probe_moves(host: Host) -> Iterator[Move]:
    core, nodeos = host.core, host.nodeos
    assert core is not None
    if core.process != process(nodeos):
        yield told("the agent sees the process", feed(host, ev.ProcessSeen(process(nodeos))))
    elif (to := _switchover_due(core)) is not None:
        asked = replace(core.eligibility, handover="asked for", cause="switchover", to=to)
        yield told("the switchover is due", feed(host, asked))
    elif _signed_through(host, core):
        yield told("the agent sees that the gate signs", feed(host, ev.GateSigned(host.clock)))
    elif nodeos.pid and not nodeos.frozen:
        wrong = Production.PRODUCING if nodeos.paused else Production.STOPPED
        if core.production is wrong:
            yield told("the agent sees `paused`", feed(host, ev.PausedSeen(host.clock, nodeos.paused)))


def _signed_through(host: Host, core: State) -> bool:
    """Whether the agent may now find that nodeos signs through the gate, and it matters to it."""
    gate, tenure = host.gate, core.tenure
    if gate is None or gate.keyed or tenure is None or tenure.gated or core.identity.timing.gate is not GateMode.ON:
        return False
    return core.phase is Phase.LEADING and host.signs()


def _switchover_due(core: State) -> str | None:
    """Return whom a wish is for that the leader may grant now, and has not begun to; None when there is none."""
    wish = core.seen.switchover
    free = wish is not None and wish.to != core.identity.node and core.phase in ACTIVE and not core.eligibility.handover
    return wish.to if wish is not None and free else None
