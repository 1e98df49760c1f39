"""The one place that builds adapters: a configuration in, a running agent out. No decision lives here."""

from __future__ import annotations

import gc
import logging
import os
import signal
import sys
import threading
import zlib
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from agent import __version__
from agent.alerts.dispatcher import change_channels, make_dispatcher, make_pulses
from agent.config.model import Config
from agent.config.secrets import secret_texts
from agent.config.shared import nodeos_options, settings_of
from agent.core.election.policy import Policy, Urgency
from agent.core.health import checks as health
from agent.core.health.hysteresis import Thresholds
from agent.core.leadership.events import Restarting, Shutdown, Started, StoreSeen
from agent.core.leadership.state import Identity, State
from agent.core.leadership.transitions import ACTIVE
from agent.core.model import records
from agent.core.model.chain import ProcessId
from agent.core.model.copying import replace
from agent.core.model.keys import keys
from agent.core.model.records import GroupView
from agent.core.model.runtime_record import RuntimeRecord
from agent.core.model.store import Ms, Snapshot
from agent.core.node import step
from agent.core.node.state import FINALIZER, EtcdSeen, FinalizerSettings, LiveSettings, Reconfigured, member_of
from agent.errors import FailoverError, FenceError, NotOursError, StoreError
from agent.etcd.follower import SILENCE_S, PrefixFollower
from agent.etcd.info import learn_cluster
from agent.etcd.store import EtcdStore
from agent.gate.client import FileGate
from agent.guard import stop
from agent.guard.plan import fence_plan, guard_fields
from agent.guard.spawn import GuardProcess
from agent.host.clock import SystemClock
from agent.host.logs import change_logs, close_logs, open_logs
from agent.host.page import Page
from agent.host.page_file import PageFile
from agent.host.paths import Files, save_plan, save_refusal
from agent.host.process import hold
from agent.host.systemd import Notifier
from agent.host.tenure_file import open_file
from agent.host.watchdog import open_watchdog
from agent.nodeos.client import HttpNodeos
from agent.nodeos.fence import ProcessFence
from agent.runtime import probes
from agent.runtime.credentials import access, etcd_options
from agent.runtime.effects import Adapters, Effects
from agent.runtime.hooks import Hooks
from agent.runtime.joining import JoiningFindings, JoiningLook
from agent.runtime.lanes import InTurn, Repeater
from agent.runtime.liveness import GuardPipe, Liveness
from agent.runtime.loop import Fatal, Loop
from agent.runtime.peering import ETCD_LEADER_S, EtcdLeaderWatch, Peering, read_host_id
from agent.runtime.reload import Reload
from agent.runtime.session import Session
from agent.telemetry.families import nothing_dropped
from agent.telemetry.gate_watch import GateReading, GateWatch
from agent.telemetry.gauges import ConfigGauges, expiry_of
from agent.telemetry.metrics import Metrics
from agent.telemetry.pages import AgentPages

if TYPE_CHECKING:
    from agent.telemetry.http_server import HttpServer

log = logging.getLogger(__name__)

INFO_S = 1.0
"""How often nodeos's head is read, and the guard is seen to be alive."""
PEERS, SLOW = 2, 5
"""How often connections are counted, and schedule and run-time file are looked at, in turns of `INFO_S`."""
PEERS_S = 2.0
SLOW_S = SLOW * INFO_S
GATE_S = 0.5
"""How often the signing gate is asked how it is."""
CLOSE_S = 2.0
CONFIRMED_S = 1.0
"""How long a restarted leader's first confirmation goes before everything that nobody waits for."""
LOOK_S = 0.01
"""Between two looks whether it has come."""
LATE_MS: Ms = 1000
"""A report of ours is told by the watch so soon."""
FOLLOW_AGAIN_S = 1.0
"""Pause after a defect in the follower: it may come again at once."""


def run(config: Config, reread: Callable[[], Config] | None = None) -> None:
    """Run the agent until SIGTERM or SIGINT. Raises FailoverError when it cannot go on.

    `reread` reads the configuration again, on SIGHUP.
    """
    gc.freeze()  # what was imported stays; a full collection took 280 ms of a busy machine to walk through it
    gc.enable()
    fields = {"group": config.group, "node": config.node}
    open_logs(config.log.format, config.log.level, fields, secret_texts(config))
    agent = None
    try:
        agent = Agent(config, reread)
        agent.run()
    finally:
        close_logs()
    if agent.promoted:
        agent.pulse.bequeath()
        # nothing is held, and everything begins anew under the same pid: a supervisor sees one start and one reload
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])  # noqa: S606 - our own command, as it was given


def limits(config: Config) -> health.Limits:
    """Return the thresholds of the checks; only those that are enabled and can be made have a gate."""
    checks, nodeos = config.health, config.nodeos
    gates = {
        name: Thresholds(getattr(check, "rise", 1), getattr(check, "fall", 1))
        for name, check in checks.values().items()
        if check.enabled
        and (name != "can_lead" or config.mode == "lead")  # what takes part in nothing has no lease, and needs none
        and (name != "disk_space" or nodeos.data_dir)
        and (name != "gate" or config.gate.mode != "off")
    }
    return health.Limits(
        gates,
        config.producer,
        nodeos.producer_key or "",
        nodeos.chain_id or "",
        round(checks.head_age.max * 1000),
        round(checks.lib_progress.max * 1000),
        checks.peers.min,
        checks.disk_space.min_free_bytes,
        checks.disk_space.min_free_percent,
        round(checks.clock_offset.max * 1000),
        round(checks.can_lead.max * 1000),
    )


def policy(config: Config) -> Policy:
    """Return what is set about who leads and when."""
    election = config.election.in_ms()
    for name in ("priority", "nofailover"):  # these are told by the member's own report
        del election[name]
    return Policy(urgency=Urgency(**config.urgency.in_ms()), **election)


def finalizer(config: Config) -> FinalizerSettings:
    """Return what is set about this host's BLS key."""
    given = config.finalizer
    account = given.account or config.producer
    return FinalizerSettings(account, given.public_key or "", bool(given.command), round(given.timeout * 1000))


def hooks_of(config: Config) -> Hooks:
    """Return the programs of the operator's: the hooks, and what makes our finalizer key the active one."""
    given = config.finalizer
    commands = config.hooks.commands | ({FINALIZER: given.command} if given.command else {})
    return Hooks(commands, config.group, config.node, {FINALIZER: given.words(config.producer)})


def open_gate(config: Config, page: PageFile, clock: SystemClock) -> FileGate | None:
    """Return our hand on the signing gate, None when there is none."""
    if config.gate.mode == "off":
        return None
    return FileGate(page, config.gate.control, clock.boot)


def host_of(clock: SystemClock) -> str:
    """Return what makes a pid unique: this boot of the host, and the pid namespace that we look from."""
    try:
        space = Path("/proc/self/ns/pid").stat().st_ino
    except OSError:
        return ""
    return f"{clock.boot_id()}.{space}"


def beat(config: Config) -> Ms:
    """Return where in R this node confirms: its name decides, so that groups on one etcd spread by themselves."""
    return zlib.crc32(f"{config.group}/{config.node}".encode()) % config.spans.renew


class Agent:
    """One agent with all its adapters. `run` blocks until it ends."""

    peers: Peering | None = None
    http: HttpServer | None = None
    later: threading.Thread | None = None
    observes = False
    """It takes part in nothing: only what looks is started."""
    promoted = False
    """It was told to lead while it observed: the same command is to be run once more."""

    def __init__(self, config: Config, reread: Callable[[], Config] | None = None) -> None:
        self.config = config
        self.observes = config.mode == "observe"
        self.timing = config.spans
        self.clock = SystemClock()
        self.host = host_of(self.clock)
        self.names = keys(config.etcd.prefix, config.group)
        self.etcd = etcd_options(config.etcd, self.names.root, self.timing.renew / 1000)
        self.file = open_file(config.runtime.dir, config.group, config.node, self.clock.boot_id())
        self._leave_plan()
        self.record = self._former()
        self.etcd.cluster.known = self._known_cluster()
        self.alerts = make_dispatcher(config, self.clock)
        self.gate = None if self.observes else open_gate(config, self.file.page, self.clock)
        self.gate_watch = GateWatch(self.gate, self.clock, probes.gate) if self.gate else None
        self.shown = ConfigGauges(
            (config.group, config.node), self.clock, config.runbooks, partial(expiry_of, config.etcd.cert_file)
        )
        self.host_id, self.no_host_id = read_host_id(config)
        if config.peers.on and not self.observes:
            self.peers = Peering(config, self.names, self.clock.boot, self._emit)
            self.peers.no_host_id = self.no_host_id
        self.metrics = Metrics(
            config.group,
            config.node,
            self.clock,
            lambda: self.loop.snapshot,
            self.alerts.stats,
            lambda: self.follower.restarts,
            lambda: self.loop.waiting,
            self._gate_seen(),
            self.shown,
            lambda: self.peers.lane.dropped if self.peers is not None else nothing_dropped(),
        )
        self.fence = ProcessFence(fence_plan(config), self._known())
        self.nodeos = HttpNodeos(
            config.nodeos.url, config.nodeos.producer_url, self.metrics.nodeos_request, self.fence.astray
        )
        self.guard = GuardProcess(self.file.path)
        self.over = threading.Event()
        state = State(self._setup())
        begun = step.begin(self._profile(config), state, self.alerts.still_open)
        notifier, dog = Notifier(os.environ), config.watchdog
        self.pulse = Liveness(
            self.clock,
            notifier,
            GuardPipe(os.environ),
            open_watchdog("off" if self.observes else dog.mode, dog.device, dog.timeout),
        )
        self.reload = Reload(
            config,
            reread or (lambda: config),
            notifier,
            self._reconfigure,
            self._reloaded,
            Files(self.file.path).reload,
        )
        self.store = self._store()  # of the confirmations
        self.loop = Loop(begun, self.clock, self._effects, self.pulse)
        self.follower = PrefixFollower(
            self._store(),
            self.names.root,
            self._etcd_failed,
            self.timing.request / 1000,
            self._silence_s,
            self._etcd_read,
        )
        self.keys: Snapshot | None = None
        self.pages = AgentPages(
            lambda: self.loop.snapshot,
            self.metrics,
            self.clock,
            lambda: self.guard.pid,
            lambda: self.keys,
            self.peers.told if self.peers is not None else dict,
        )
        if not self._has_tenure():
            self._open_http()

    def _open_http(self) -> None:
        """Listen. ConfigError when that cannot be."""
        if self.config.http.address:
            from agent.telemetry.http_server import HttpServer  # a restarted leader has no time for this import

            self.http = HttpServer(self.config.http.address, self.pages, access(self.config))

    def _emit(self, event: object) -> None:
        self.loop.emit(event)

    def _gate_seen(self) -> tuple[Callable[[], GateReading], Callable[[], Page]] | None:
        gate, watch = self.gate, self.gate_watch
        return None if gate is None or watch is None else (lambda: watch.seen, lambda: gate.page)

    def _profile(self, config: Config) -> LiveSettings:
        return LiveSettings(
            config.group,
            limits(config),
            config.election.priority,
            config.election.nofailover,
            __version__,
            config.http.listen,
            self.alerts.least,
            compared=settings_of(config),
            policy=policy(config),
            hooks=frozenset(config.hooks.commands),
            hook_ms=round(config.hooks.timeout * 1000),
            host=self.host,
            finalizer=finalizer(config),
            observes=config.mode == "observe",
        )

    def _reconfigure(self, old: Config, new: Config) -> None:
        """Go on under a configuration that was read again; on the thread of the reload (see `runtime.reload`)."""
        if new.mode != old.mode:
            self.promoted = True
            return
        fields = {"group": new.group, "node": new.node}
        new_access = access(new)
        change_channels(self.alerts, old, new, self.pages.well, CLOSE_S)
        change_logs(new.log.format, new.log.level, fields, [*secret_texts(old), *secret_texts(new)])
        if self.http is not None:
            self.http.admit(new_access)
        self.shown.runbooks = new.runbooks
        self.loop.emit(Reconfigured(self._profile(new), new.spans))

    def _reloaded(self, usable: bool) -> None:
        self.shown.reloaded(ok=usable)
        if self.promoted:
            self.loop.emit(Shutdown())
        self.pulse.again()

    def _setup(self) -> Identity:
        return Identity(
            node=self.config.node,
            instance=os.urandom(8).hex(),
            keys=self.names,
            producer=self.config.producer,
            timing=self.timing,
            boot_id=self.clock.boot_id(),
            agent_pid=os.getpid(),
            term=round(self.config.fence.term_grace * 1000),
            renew_phase=beat(self.config),
            host_id=self.host_id,
        )

    def _store(self, kept: Callable[[int, Ms], None] = lambda _ttl, _at: None) -> EtcdStore:
        """Return a connection of its own for one thread; `kept` hears of a lease."""
        return EtcdStore(self.etcd, self.metrics.etcd_request, kept)

    def _leave_plan(self) -> None:
        try:
            if self.observes:
                save_refusal(self.file.path, 'mode is "observe"')
            else:
                save_plan(self.file.path, guard_fields(self.config))
        except OSError as error:
            log.warning("the plan for a fence cannot be written, it will read the configuration: %s", error)

    def _effects(self, loop: Loop) -> Effects:
        config = self.config
        instances = {loop.snapshot.node.leadership.identity.instance}
        if self.record is not None:
            instances.add(self.record.instance)
        self.session = Session(
            self._store(self.metrics.lease_kept),
            self.names,
            config.node,
            frozenset(instances),
            self.timing.lease_ttl,
            self.timing.request / 1000,
            loop.emit,
            lambda error: loop.emit(Fatal(error)),
            self.clock.wall,
            self.peers.address if self.peers is not None else lambda: "",
        )
        out = Adapters(
            self.store,
            self.nodeos,
            self.fence,
            self.file,
            self.clock,
            self.names,
            self.alerts.tell,
            guard_fields(config),
            hooks_of(config),
            self.gate,
            self.peers,
        )
        self.effects = Effects(out, self.session, self.metrics, loop.emit, observes=self.observes)
        return self.effects

    # --- running ---

    def run(self) -> None:
        """Run until the core says that nothing is held any more."""
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT):
            signal.signal(number, lambda *_: self.loop.emit(Shutdown()))
        signal.signal(signal.SIGUSR1, lambda *_: None)  # it means nothing, and would end us
        signal.signal(signal.SIGUSR2, lambda *_: self.loop.emit(Restarting()))
        signal.signal(signal.SIGHUP, lambda *_: self.reload.begin())
        self.reload.begin_note()
        log.info("starting", extra={"version": __version__, "producer": self.config.producer})
        if unread := nodeos_options(self.config)[1]:
            log.warning("%s; going on without it", unread)
        process = self._process()
        found = JoiningFindings() if self._has_tenure() and not self.observes else self._look(process)
        repeaters = self._repeaters()
        try:
            self._begin(process, found, repeaters)
            self.loop.run()
        except NotOursError as error:
            self._leave_refusal(error)
            raise
        finally:
            self._close(repeaters)

    def _former(self) -> RuntimeRecord | None:
        """Return the record of the agent before us. If it led with another nodeos than ours that one is stopped."""
        record = self.file.load()
        if record is None or self.observes:
            return record
        how = stop.stop_other(self.file.path, self.clock.boot_id(), stop.means_of(guard_fields(self.config)))
        if not how:
            return record
        log.warning("the agent before led with another nodeos than ours, which is stopped now: %s", how)
        self.file.remove()
        return replace(record, state="stopped", heartbeat_revision=0, process=None)

    def _known(self) -> ProcessId | None:
        """Return the nodeos that the agent before us led with; None: there was none, or it was never found."""
        found = self.record.process if self.record and self.record.boot_id == self.clock.boot_id() else None
        return found if found != probes.NOBODY_KNOWS else None

    def _has_tenure(self) -> bool:
        """Tell whether the run-time file speaks of a tenure of this boot: then there is no time for a look."""
        record = self.record
        return record is not None and record.boot_id == self.clock.boot_id() and record.heartbeat_revision > 0

    def _known_cluster(self) -> int:
        """Return the cluster of a tenure that may go on; 0: most endpoints tell it, or the first that answers (R20)."""
        record = self.record
        goes_on = record is not None and self._has_tenure() and self.clock.boot() < record.valid_until
        return record.cluster if record is not None and goes_on else 0

    def _may_adopt(self) -> bool:
        """Tell whether this node may lead, and nodeos's own configuration, where it can be read, has the producer."""
        config = self.config
        if config.election.nofailover:
            return False
        given, _ = nodeos_options(config)
        names = [value for name, value in given if name == "producer-name"]
        return not names or config.producer in names

    def _look(self, process: ProcessId | None) -> JoiningFindings:
        """Look before the first pause (`agent.runtime.joining`). NotOursError: nothing was touched."""
        config, began = self.config, self.loop.snapshot.node
        known = replace(began, leadership=replace(began.leadership, process=process))
        learn_cluster(self.etcd)
        store = self._store()
        try:
            look = JoiningLook(store, self.nodeos, self.names, config.node, self.over.wait)
            if not self.observes:
                look.belongs(member_of(known, self.clock.boot()))
            return look.back(config.producer, self.clock.wall())
        except NotOursError as error:
            log.critical("%s", error)
            self._leave_refusal(error)
            raise
        except Exception:
            log.exception("a defect in the look before the first pause; going on")  # the pause is the safe thing to do
            return JoiningFindings()
        finally:
            store.close()

    def _leave_refusal(self, error: NotOursError) -> None:
        """Tell the supervisor's fence that this nodeos is not ours to stop."""
        try:
            save_refusal(self.file.path, str(error))
        except OSError as failed:
            log.warning("the refusal cannot be written, a supervisor will pause nodeos: %s", failed)

    def _begin(self, process: ProcessId | None, found: JoiningFindings, repeaters: list[Repeater]) -> None:
        """Start every thread. When one cannot be, and a tenure of the process before may go on, nodeos is stopped."""
        try:
            if found.past is not None:
                self.loop.emit(found.past)
            if not self.observes:
                self._join(process, found)
            threading.Thread(target=self._follow, name="follower", daemon=True).start()
            for repeater in repeaters:
                repeater.start()
            if self._has_tenure():
                self.later = threading.Thread(target=self._serve_later, name="later", daemon=True)
                self.later.start()
            else:
                self._serve()
        except BaseException:
            if self.record is not None:
                self.effects.halt(self.loop.snapshot.node.leadership)
            raise

    def _serve(self) -> None:
        """Begin what only people and their programs wait for."""
        if self.http is not None:
            self.http.start()
        if not self.observes:
            self.alerts.beat(make_pulses(self.config, self.pages.well))

    def _serve_later(self) -> None:
        """Do so after the first confirmation of a leader that was restarted, which has no time to lose."""
        end = self.clock.boot() + CONFIRMED_S * 1000
        while not self._confirmed() and self.clock.boot() < end and not self.over.wait(LOOK_S):
            pass
        try:
            self._open_http()
            if not self.over.is_set():
                self._serve()
        except FailoverError as error:
            self.loop.emit(Fatal(error))

    def _confirmed(self) -> bool:
        """Tell whether this process has confirmed a tenure of the one before, or has ceased to lead."""
        state = self.loop.snapshot.node.leadership
        before = self.record.heartbeat_revision if self.record else 0
        return state.tenure is None or state.tenure.heartbeat_revision > before

    def _join(self, process: ProcessId | None, found: JoiningFindings) -> None:
        """Begin to take part: what follows may pause nodeos, and lead. An agent that observes never comes here."""
        self.guard.ensure()
        self.loop.emit(Started(self.record, process, found.claims and self._may_adopt()))
        if self.peers is not None:
            self.peers.lane.start()
        self.session.start(self.record.lease or None if self.record else None)

    def _process(self) -> ProcessId | None:
        """Find nodeos. One that the process before led with, and that lives, is not looked for: that takes 0.1 s."""
        known = self._known() if self._has_tenure() else None
        try:
            held = (hold(known) if known is not None else None) or self.fence.find()
        except FenceError as error:
            log.warning("the nodeos process cannot be found: %s", error)
            return probes.NOBODY_KNOWS
        if held is None:
            return None
        held.close()
        return held.id

    def _close(self, repeaters: list[Repeater]) -> None:
        self.over.set()
        if self.later is not None:
            self.later.join(CLOSE_S)
        self.follower.stop()
        for repeater in repeaters:
            repeater.close()
        if self.http is not None:
            self.http.close()
        self.effects.close(CLOSE_S)
        self.session.close(CLOSE_S, holding=self.loop.holding)
        if self.peers is not None:
            self.peers.lane.close()
        self.alerts.close(CLOSE_S)
        self.guard.close()
        self.file.close()
        self.pulse.close(self.loop.snapshot)
        log.info("ended")

    def _follow(self) -> None:
        while not self.over.is_set():
            try:
                for snapshot in self.follower.snapshots():
                    self.keys = snapshot
                    view = records.read_group(self.names, snapshot)
                    self.loop.emit(StoreSeen(view))
                    self._meet(view, snapshot)
            except Exception:
                log.exception("a defect in the follower; going on")  # a node that sees nothing could never lead again
                self.over.wait(FOLLOW_AGAIN_S)
            else:
                return

    def _meet(self, view: GroupView, snapshot: Snapshot) -> None:
        """Note whom the group has, and where; make its key if there is none."""
        if self.peers is not None:
            self.peers.learn(view, snapshot)
            if (txn := self.peers.missing()) is not None:
                self.session.once(txn)

    def _silence_s(self) -> float:
        """Return for how long the watch of the group may be silent: our own report comes by it, too."""
        last = self.loop.snapshot.node.published
        return SILENCE_S if last is None else max(SILENCE_S, (last.every_ms + LATE_MS) / 1000)

    def _etcd_failed(self, error: StoreError) -> None:
        self.loop.emit(EtcdSeen(str(error), reader=True))

    def _etcd_read(self) -> None:
        self.loop.emit(EtcdSeen(reader=True))

    def _repeaters(self) -> list[Repeater]:
        config, nodeos, clock = self.config, self.nodeos, self.clock
        main = config.health.main_thread
        watch = probes.ProcessWatch(self.fence, self.over.wait)
        chain = (
            (1, partial(probes.FinalityLook(nodeos).look, INFO_S)),
            (PEERS, partial(probes.peers, nodeos, PEERS_S)),
            (SLOW, partial(probes.schedule, nodeos, PEERS_S)),
        )
        thread = probes.MainThreadLook(nodeos, clock, self.gate_watch, self.loop.emit, self.over.wait)
        looks: list[tuple[str, float, Callable[[], object | None]]] = [
            ("process", 0.0, watch.look),
            ("main-thread", main.interval, partial(thread.look, main.timeout)),
            ("info", INFO_S, partial(probes.info, nodeos, clock, INFO_S)),
            ("chain", INFO_S, InTurn(self._emit, *chain)),
        ]
        if not self.observes:
            own = ((1, self._see_guard), (SLOW, partial(probes.runtime_file, self.file)))
            looks.append(("guard", INFO_S, InTurn(self._emit, *own)))
        if self.gate_watch is not None:
            looks.append(("gate", GATE_S, self.gate_watch.look))
        if self.peers is not None:
            etcd = EtcdStore(self.etcd)  # a connection of its own
            leader = EtcdLeaderWatch(
                etcd, self.peers, config.node, clock.boot, lambda: self.store.term, config.peers.move_etcd_leader
            )
            looks.append(("etcd-leader", ETCD_LEADER_S, lambda: leader.look(self._leads())))
        if config.nodeos.data_dir is not None:
            looks.append(("disk", SLOW_S, partial(probes.disk, config.nodeos.data_dir)))
        return [Repeater(name, period, work, self.loop.emit) for name, period, work in looks]

    def _leads(self) -> bool:
        return self.loop.snapshot.node.leadership.phase in ACTIVE

    def _see_guard(self) -> None:
        try:
            self.guard.ensure()
        except OSError:
            log.exception("the guard cannot be started: nothing stops nodeos should this agent die")
