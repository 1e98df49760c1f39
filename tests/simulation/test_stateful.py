"""Rules drawn at random over whole agents, real loop, effects and session: whatever comes, the invariants hold."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from agent.core.model import records
from agent.core.model.store import Delete, Put, Txn
from tests.simulation.simulation import KEYS, Broken, Host, World, configuration
from tests.simulation.surroundings import CALLS
from tests.support.memory_store import MemoryStore

NAMES = ("bp-a", "bp-b", "bp-c")
HOST = st.sampled_from(NAMES)
SPAN = st.sampled_from((50, 200, 500, 1000, 2000, 4000, 5000, 7000, 12_000))
WORDS = st.sampled_from(("bp-a", "bp-b", "bp-c", "bp-nobody", "none", "{", ""))
CALM = 30_000
"""ms: E, the seat kept for who was named, the end of a lease, the rise of the health checks; and half as much again."""
QUIET = 6_000
ENDS = 9_000


class Agents(RuleBasedStateMachine):
    """Two or three agents on simulated time, and everything that may happen to them."""

    gate = peers = "off"

    @initialize(count=st.sampled_from((2, 3)))
    def begin(self, count: int) -> None:
        """Start all agents."""
        self.world = World(NAMES[:count], self.gate, self.peers)
        self.store = MemoryStore(self.world.etcd)
        for host in self.world.hosts.values():
            host.start()
        self.world.run(1500)

    def host(self, name: str) -> Host:
        """Return a host; of two hosts the third is the first."""
        return self.world.hosts.get(name) or self.world.hosts["bp-a"]

    def _do(self, name: str, what: str) -> Host:
        host = self.host(name)
        self.world.tell(f"{host.name}: {what}")
        return host

    def _pass(self, span: int) -> None:
        try:
            self.world.run(span)
        except Broken as error:
            story = "\n".join(self.world.story)
            raise AssertionError(f"{error} at {self.world.now}\n{story}") from None

    # --- time ---

    @rule(span=SPAN)
    def time_passes(self, span: int) -> None:
        """Let time pass."""
        self._pass(span)

    # --- the way to etcd ---

    @rule(name=HOST, out=st.booleans(), into=st.booleans(), span=SPAN)
    def cut(self, name: str, out: bool, into: bool, span: int) -> None:
        """Cut a host from etcd, or heal it."""
        host = self._do(name, f"cut out={out} in={into}")
        host.around.cut_out, host.around.cut_in = out, into
        self._pass(span)

    @rule(name=HOST, delay=st.sampled_from((1, 100, 400, 600, 1500)), span=SPAN)
    def delay(self, name: str, delay: int, span: int) -> None:
        """Let the way to etcd be slow."""
        self._do(name, f"etcd {delay} ms away").around.delay = delay
        self._pass(span)

    @rule(name=HOST, fates=st.lists(st.sampled_from(("lost", "unanswered", "late")), min_size=1, max_size=4))
    def lose(self, name: str, fates: list[str]) -> None:
        """Lose transactions, or their answers; or apply them when nobody waits for them any more."""
        self._do(name, f"next transactions: {fates}").around.answers = fates
        self._pass(1200)

    @rule(name=HOST)
    def lease_ends_early(self, name: str) -> None:
        """Let the session lease be gone."""
        agent = self._do(name, "loses its lease").agent
        if agent is not None and agent.session._lease:
            self.store.revoke(agent.session._lease, 1.0)
        self._pass(200)

    # --- nodeos ---

    @rule(name=HOST, span=SPAN)
    def nodeos_dies(self, name: str, span: int) -> None:
        """Kill nodeos; it comes back paused."""
        host = self._do(name, "nodeos dies")
        host.nodeos.kill()
        host.see_process()
        self._pass(span)
        self._start(host)

    @rule(name=HOST)
    def nodeos_starts_unpaused(self, name: str) -> None:
        """Restart nodeos without pause-on-startup: what it signs is nobody's doing, until it is paused."""
        host = self._do(name, "nodeos starts UNPAUSED")
        host.nodeos.kill()
        host.see_process()
        self._pass(50)
        self._start(host, paused=False)
        self._pass(1500)

    def _start(self, host: Host, *, paused: bool = True) -> None:
        if not host.nodeos.pid:
            host.nodeos.start(paused=paused)

    @rule(name=HOST, span=SPAN)
    def nodeos_freezes(self, name: str, span: int) -> None:
        """SIGSTOP and SIGCONT."""
        host = self._do(name, f"nodeos freezes for {span}")
        host.nodeos.frozen = host.nodeos.pid != 0
        self._pass(span)
        if host.nodeos.frozen:
            host.nodeos.thaw()

    @rule(name=HOST, slow=st.sampled_from((1, 50, 250, 350, 900, 1500, 3000)), span=SPAN)
    def nodeos_is_slow(self, name: str, slow: int, span: int) -> None:
        """Let nodeos answer late, or after nobody waits any more."""
        self._do(name, f"nodeos takes {slow} ms").nodeos.slow = slow
        self._pass(span)

    @rule(name=HOST, refuses=st.booleans())
    def nodeos_refuses(self, name: str, refuses: bool) -> None:
        """Let nodeos answer pause and resume with an error."""
        self._do(name, f"nodeos refuses: {refuses}").nodeos.refuses = CALLS if refuses else ()
        self._pass(500)

    # --- the agent ---

    @rule(name=HOST, span=SPAN)
    def agent_dies(self, name: str, span: int) -> None:
        """SIGKILL, and a start from the run-time file after a while."""
        host = self._do(name, f"the agent dies for {span}")
        host.kill()
        self._pass(span)
        self._revive(host)

    @rule(name=HOST, span=SPAN)
    def agent_freezes(self, name: str, span: int) -> None:
        """SIGSTOP and SIGCONT."""
        host = self._do(name, f"the agent freezes for {span}")
        host.frozen = host.agent is not None
        self._pass(span)
        host.thaw()

    @rule(name=HOST, span=SPAN)
    def agent_ends(self, name: str, span: int) -> None:
        """SIGTERM: once it has ended its nodeos is proven stopped. It is started again after a while."""
        host = self._do(name, "the agent is asked to end")
        if host.agent is not None:
            host.agent.shut_down()
        self._pass(span)
        if host.agent is not None and host.agent.loop.snapshot.node.leadership.leaving:
            self._pass(ENDS)
        self._revive(host)

    @rule(name=HOST, validity=st.sampled_from((4.1, 6.0, 9.0)), priority=st.sampled_from((1, 100, 200)))
    def configuration_changes(self, name: str, validity: float, priority: int) -> None:
        """SIGHUP with another file: what the loop stands on stays as it is until the agent is started again."""
        host = self._do(name, f"SIGHUP: validity {validity}, priority {priority}")
        host.config = configuration(name, validity, priority, self.gate)
        if host.agent is not None and not host.frozen:
            host.agent.reload()
        self._pass(500)

    def _revive(self, host: Host) -> None:
        if host.agent is None:
            host.start()

    @rule(
        name=HOST,
        lane=st.sampled_from(("file", "transactions", "resume", "pause", "fence", "gate")),
        ms=SPAN,
        span=SPAN,
    )
    def lane_is_late(self, name: str, lane: str, ms: int, span: int) -> None:
        """Let a thread of the agent come late to what it is asked: a slow disk, a process held up."""
        host = self._do(name, f"lane {lane} comes {ms} ms late")
        if lane not in ("pause", "fence"):  # those two are within A by assumption: G is the slack for them
            host.lane_delay = {lane: ms}
        self._pass(span)
        host.lane_delay = {}

    @rule(name=HOST, fails=st.booleans(), span=SPAN)
    def file_fails(self, name: str, fails: bool, span: int) -> None:
        """Let no write of the run-time file succeed."""
        self._do(name, f"the run-time file fails: {fails}").around.file_error = "no space left" if fails else ""
        self._pass(span)

    @rule(name=HOST, peers=st.sampled_from((0, 3)))
    def health(self, name: str, peers: int) -> None:
        """Let a node be unhealthy, or healthy again."""
        self._do(name, f"{peers} peers").around.peers = peers
        self._pass(2500)

    # --- operators ---

    @rule(key=st.sampled_from(("leader", "override", "maintenance", "switchover")), word=WORDS, span=SPAN)
    def word(self, key: str, word: str, span: int) -> None:
        """Put a key, with or without sense."""
        value = f'{{"to": "{word}", "when": "now", "by": "me"}}' if key == "switchover" and word != "{" else word
        self.world.tell(f"an operator puts {key} {value!r}")
        self._write(Put(getattr(KEYS, key), value.encode()))
        self._pass(span)

    @rule(key=st.sampled_from(("leader", "override", "maintenance", "switchover")))
    def word_ends(self, key: str) -> None:
        """Delete a key."""
        self.world.tell(f"an operator deletes {key}")
        self._write(Delete(getattr(KEYS, key)))
        self._pass(500)

    @precondition(lambda self: self._holder_dead())
    @rule()
    def heartbeat_deleted(self) -> None:
        """Delete the heartbeat of a host that is dead: the only unsafe word, told truly."""
        self.world.tell("an operator deletes heartbeat")
        self._write(Delete(KEYS.heartbeat))
        self._pass(500)

    def _holder_dead(self) -> bool:
        found = self.world.etcd.keys.get(KEYS.heartbeat)
        if found is None:
            return False
        host = self.world.hosts[records.read_heartbeat(found.value).node]
        open_page = host.gate is not None and host.gate.may_sign()
        return host.agent is None and not host.nodeos.pid and not open_page

    def _write(self, write: Put | Delete) -> None:
        self.store.txn(Txn((), (write,)), 1.0)

    # --- what holds ---

    @invariant()
    def one_at_most(self) -> None:
        """P1 holds between rules as well."""
        if hasattr(self, "world"):
            self.world.check()

    def teardown(self) -> None:
        """After all faults have ended: somebody produces (P2), nothing changes (P3), all end with nodeos stopped."""
        if not hasattr(self, "world"):
            return
        self.world.tell("all is healed")
        for host in self.world.hosts.values():
            self._heal(host)
        self.world.links.heal()
        for key in (KEYS.override, KEYS.maintenance, KEYS.switchover):
            self._write(Delete(key))
        self._pass(CALM)
        assert self.world.signing, self._told("P2: nobody produces though all is healed")
        epoch = self.world.etcd.epoch
        self._pass(QUIET)
        assert self.world.etcd.epoch == epoch, self._told("P3: the leader changed for nothing")
        for host in self.world.hosts.values():
            if host.agent is not None:
                host.agent.shut_down()
        self._pass(ENDS)
        for host in self.world.hosts.values():
            assert host.agent is None, self._told(f"the agent of {host.name} does not end")
            assert not host.signs(), self._told(f"{host.name} signs after the end")

    def _told(self, text: str) -> str:
        return "\n".join([text, *self.world.story])

    def _heal(self, host: Host) -> None:
        around, nodeos = host.around, host.nodeos
        around.cut_out = around.cut_in = False
        around.file_error, around.delay, around.peers, around.answers = "", 1, 3, []
        nodeos.slow, nodeos.refuses = around.quick, ()
        if host.gate is not None:
            host.gate.hangs = False
        if not nodeos.pid:
            self._start(host)
        self._revive(host)


class Gated(Agents):
    """The same with a signing gate that is required, and with what may happen to it."""

    gate = "required"

    @rule(name=HOST, ms=SPAN, span=SPAN)
    def signature_is_slow(self, name: str, ms: int, span: int) -> None:
        """Let keosd take its time with a signature."""
        host = self._do(name, f"a signature takes {ms} ms")
        assert host.gate is not None
        host.gate.ask(ms)
        self._pass(span)

    @rule(name=HOST, hangs=st.booleans(), span=SPAN)
    def gate_hangs(self, name: str, hangs: bool, span: int) -> None:
        """Let the gate give no proof and no answer; what it was permitted it may sign all the same."""
        host = self._do(name, f"the gate hangs: {hangs}")
        assert host.gate is not None
        host.gate.hangs = hangs
        self._pass(span)

    @rule(name=HOST, span=SPAN)
    def resumed_by_hand(self, name: str, span: int) -> None:
        """Let somebody resume nodeos by hand."""
        host = self._do(name, "nodeos is resumed by hand")
        if host.nodeos.pid and host.nodeos.paused_flag:
            host.nodeos.act("resume")
            host.nodeos.rogue = self.gate == "on"  # until the agent's next look it signs, by whoever resumed it
        self._pass(span)


class GateOn(Gated):
    """The same with a gate that is on: it is asked, and all else holds as without one."""

    gate = "on"


class Peered(Agents):
    """The same with peers, whose promises count for as long as etcd is away, and with what their network may do."""

    peers = "failsafe"

    @rule(name=HOST, other=HOST, cut=st.booleans(), span=SPAN)
    def one_way_cut(self, name: str, other: str, cut: bool, span: int) -> None:
        """Cut the way from one member to another, or heal it."""
        source, to = self._do(name, f"cut from {other}: {cut}"), self.host(other)
        pair = {(to.name, source.name)}
        cuts = self.world.links.cuts
        self.world.links.cuts = cuts | pair if cut else cuts - pair
        self._pass(span)

    @rule(loss=st.sampled_from((0.0, 0.3, 0.9)), twice=st.sampled_from((0.0, 0.5)), delay=st.sampled_from((1, 200)))
    def bad_network(self, loss: float, twice: float, delay: int) -> None:
        """Lose datagrams, let them come twice, or late."""
        links = self.world.links
        self.world.tell(f"loss {loss}, twice {twice}, delay {delay}")
        links.loss, links.twice, links.delay = loss, twice, delay
        self._pass(1000)

    @rule(span=SPAN)
    def replayed(self, span: int) -> None:
        """Send again what was recorded."""
        self.world.tell("a stranger sends again what it recorded")
        self.world.links.replay()
        self._pass(span)

    @rule(span=SPAN)
    def forged(self, span: int) -> None:
        """Send what one makes up who reads the datagrams, and has no key."""
        self.world.tell("a stranger forges what it recorded")
        self.world.links.forge()
        self._pass(span)

    @rule(away=st.booleans(), span=st.sampled_from((1000, 5000, 20_000, 60_000)))
    def etcd_away(self, away: bool, span: int) -> None:
        """Let etcd be away from all, or be back."""
        self.world.tell(f"etcd is away: {away}")
        for host in self.world.hosts.values():
            host.around.cut_out = host.around.cut_in = away
        self._pass(span)

    @rule(name=HOST, span=SPAN)
    def planned_restart(self, name: str, span: int) -> None:
        """Let an agent be replaced by its next process."""
        host = self._do(name, "is to be replaced")
        if host.agent is not None:
            host.agent.replaced()
        self._pass(span)


class PeeredByLease(Peered):
    """The same where promises count while the leader's own lease may live."""

    peers = "lease"


class PeeredGated(Gated, Peered):
    """The same with a gate that is required."""

    peers = "lease"


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """Log nothing: a million lines that nobody reads. A reload sets the level of our logger: undo that."""
    level = logging.getLogger("agent").level
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)
    logging.getLogger("agent").setLevel(level)


COMMON = settings(
    deadline=None, database=None, suppress_health_check=list(HealthCheck), print_blob=False, report_multiple_bugs=False
)


@pytest.mark.timeout(300)  # takes 25 s on an idle machine, with gates 5 and 10
@pytest.mark.parametrize(
    ("agents", "examples", "steps"),
    [(Agents, 25, 20), (Gated, 5, 20), (GateOn, 5, 20), (Peered, 6, 15), (PeeredByLease, 6, 15), (PeeredGated, 6, 15)],
)
def test_agents_keep_the_invariants(agents: type[Agents], examples: int, steps: int) -> None:
    """Whatever comes in whatever order: P1, R5, growing epochs, a proven stop at the end; the same draws every time.

    With a gate P1 holds over signatures; with one that is required no pause, kill or guard helps. With peers it holds
    whatever becomes of etcd and of the network between the members (R13, R15, R16).
    """
    chosen = settings(COMMON, derandomize=True, max_examples=examples, stateful_step_count=steps)
    run_state_machine_as_test(agents, settings=chosen)


@pytest.mark.slow
@pytest.mark.timeout(3600)  # takes 20 minutes
@pytest.mark.parametrize("agents", [Agents, Gated, GateOn, Peered, PeeredByLease, PeeredGated])
def test_agents_keep_the_invariants_for_long(agents: type[Agents]) -> None:
    """The same with other draws each time, and many more of them."""
    chosen = settings(COMMON, max_examples=1000, stateful_step_count=40)
    run_state_machine_as_test(agents, settings=chosen)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_candidate_in_a_hurry_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """The search can fail: a candidate that waits for half of E makes two producers (R8)."""
    monkeypatch.setattr("agent.core.leadership.state.standstill", lambda validity: validity // 2)
    chosen = settings(COMMON, derandomize=True, max_examples=100, stateful_step_count=20)
    with pytest.raises(AssertionError, match=r"P1: .* may both sign"):
        run_state_machine_as_test(Agents, settings=chosen)


@pytest.fixture
def world() -> World:
    """Return two hosts of which the first leads."""
    found = World(("bp-a", "bp-b"))
    for host in found.hosts.values():
        host.start()
    found.run(10_000)
    assert found.hosts["bp-a"].leads
    assert found.hosts["bp-a"].nodeos.signs(found.now)
    return found


def beat(epoch: int, *, released: bool) -> Put:
    """Return a heartbeat of bp-a as a write."""
    return Put(KEYS.heartbeat, records.write(records.Heartbeat(epoch, "bp-a", "i", 1, 6000, released, None, "test")))


def test_restored_store_is_noticed_by_who_only_reads(world: World) -> None:
    """P2, R20: who takes over nothing, for there is maintenance, sees all the same that the store has gone back."""
    store = MemoryStore(world.etcd)
    store.txn(Txn((), (Put(KEYS.maintenance, b"a restore"),)), 1.0)
    world.run(1000)
    world.hosts["bp-a"].kill()
    world.hosts["bp-a"].nodeos.kill()
    world.etcd.restore(world.etcd.save(), cluster=8)
    world.run(5000)
    store.txn(Txn((), (Delete(KEYS.maintenance),)), 1.0)
    world.run(20_000)
    assert world.hosts["bp-b"].leads


def test_two_that_may_sign_are_seen(world: World) -> None:
    """P1 is judged by the truth about the nodes, not by what agents believe."""
    world.hosts["bp-b"].nodeos.act("resume")
    with pytest.raises(Broken, match="P1: bp-a and bp-b may both sign"):
        world.check()


def test_release_before_the_proof_is_seen(world: World) -> None:
    """R5 is judged in the moment of the write: while the block in flight may be signed it is too early."""
    world.hosts["bp-a"].nodeos.act("pause")
    with pytest.raises(Broken, match="R5: bp-a released"):
        MemoryStore(world.etcd).txn(Txn((), (beat(1, released=True),)), 1.0)


def test_epoch_used_again_is_seen(world: World) -> None:
    """A take-over with an epoch that was taken before is seen (R8)."""
    writes = (Put(KEYS.leader, b"bp-a"), beat(1, released=False))
    with pytest.raises(Broken, match="R8: bp-a takes epoch 1 after 1"):
        MemoryStore(world.etcd).txn(Txn((), writes), 1.0)


def test_end_of_an_agent_that_left_nodeos_running_is_seen(world: World) -> None:
    """An agent that ends while its nodeos may sign is seen (R3)."""
    agent = world.hosts["bp-a"].agent
    assert agent is not None
    with pytest.raises(Broken, match="R3: the agent of bp-a has ended"):
        agent._ended()
