"""What one agent knows and is as a whole, and what the composed step may ask for beside the core's actions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from agent.core.alerts import rules
from agent.core.alerts.kinds import KINDS
from agent.core.alerts.notice import Notice, rank
from agent.core.blocks import follow, history, ledger, sightings
from agent.core.blocks.schedule import ProducerWindows, windows_of
from agent.core.blocks.terms import Terms
from agent.core.blocks.tripwire import Tripwire
from agent.core.election.hold_down import Flaps
from agent.core.election.policy import Policy
from agent.core.health import checks
from agent.core.leadership import events
from agent.core.leadership.actions import Action
from agent.core.leadership.state import Phase, State
from agent.core.leadership.timing import Timing
from agent.core.model import records
from agent.core.model.archive import Fields, Window
from agent.core.model.belonging import Belonging, clash, process_text
from agent.core.model.chain import ChainInfo, ProcessId
from agent.core.model.operator import Drain
from agent.core.model.records import Member
from agent.core.model.slots import date
from agent.core.model.store import Ms


@dataclass(frozen=True, slots=True)
class EtcdSeen:
    """etcd answered, or did not: `error` says why not. The session asks it, or the `reader` of the group's keys.

    Neither speaks for the other: a role may let an agent write what it cannot read.
    """

    error: str = ""
    reader: bool = False


READER = "reader"
"""The name of the reader among `Node.etcd_faults`; the other is the session."""


@dataclass(frozen=True, slots=True)
class EtcdFault:
    """What one of the two has from etcd instead of an answer, and since when."""

    since: Ms
    error: str


@dataclass(frozen=True, slots=True)
class Reconfigured:
    """The configuration was read again: what may change while the agent runs, as it shall be from now on."""

    settings: LiveSettings
    timing: Timing


@dataclass(frozen=True, slots=True)
class LookedBack:
    """What the chain had of our producer before this agent started, in ms since 1970 (R18).

    since  every slot of ours from this date on was looked at
    own    the date of the newest block of ours among them, 0: there is none
    head   up to where; None: to the first head that is seen after it
    """

    since: Ms
    own: Ms = 0
    head: ChainInfo | None = None


@dataclass(frozen=True, slots=True)
class Publish:
    """Write how this member is, on its session lease."""

    member: Member


@dataclass(frozen=True, slots=True)
class Notify:
    """Send a notice to the alert channels."""

    notice: Notice


@dataclass(frozen=True, slots=True)
class RecordChange:
    """Write `history/<epoch>`: who leads since then, and why. Fields that are not known yet are left out."""

    epoch: int
    fields: Fields


@dataclass(frozen=True, slots=True)
class RefuseWish:
    """Take a wish to hand over out of etcd, if it still is the one of this mod revision, and write why."""

    revision: int
    fields: Mapping[str, str | int]


@dataclass(frozen=True, slots=True)
class RecordWindow:
    """Write `ledger/<slot>`, unless another member has."""

    window: Window


HOOKS = ("before_promote", "after_promote", "before_demote", "after_demote")
"""When each is run: see `hooks`."""
RESULTS = ("ok", "failed", "timeout", "error")
"""Exit code 0; another, or a signal; killed at its deadline; not started at all."""
FINALIZER = "finalizer"
"""The hook, beside those, that makes the own key the active one."""


@dataclass(frozen=True, slots=True)
class RunHook:
    """Run a hook, `within` ms in all. `before`, `to`: who led before, and who leads then; empty: not known."""

    hook: str
    epoch: int
    reason: str
    before: str
    to: str
    within: Ms


@dataclass(frozen=True, slots=True)
class HookDone:
    """A hook came back, after `took` ms. `detail`: how it ended, and the end of what it said."""

    hook: str
    epoch: int
    result: str
    took: Ms
    detail: str = ""


NodeEvent = events.Event | checks.Probe | EtcdSeen | Reconfigured | LookedBack | follow.BlocksRead | HookDone
NodeAction = Action | Publish | Notify | RecordChange | RefuseWish | RecordWindow | follow.ReadBlocks | RunHook


@dataclass(frozen=True, slots=True)
class BlockWatch:
    """What is known of the blocks of our producer (see `watch`).

    own, last_own  the newest blocks of our producer on our own chain, as we tell of them, and the slot of the last
    own_blocks     more of the same: slot → id
    unwritten      windows that were counted, and when it is our turn to write each
    """

    chain: follow.Following = field(default_factory=follow.Following)
    sightings: sightings.Sightings = field(default_factory=sightings.Sightings)
    own: tuple[str, ...] = ()
    last_own: int | None = None
    own_blocks: Mapping[int, str] = field(default_factory=dict)
    terms: Terms = ()
    ledger: ledger.Ledger = field(default_factory=ledger.Ledger)
    unwritten: tuple[tuple[Ms, Window], ...] = ()
    trip: Tripwire = field(default_factory=Tripwire)


@dataclass(frozen=True, slots=True)
class FinalizerSettings:
    """Our account among the finalizers, and the BLS key of our nodeos; empty: not told.

    command  whether there is one that makes the key the active one, `within` ms in all
    """

    account: str = ""
    key: str = ""
    command: bool = False
    within: Ms = 0


@dataclass(frozen=True, slots=True)
class FinalityWatch:
    """What was seen and done in one tenure, by its epoch.

    unpaused  nodeos was seen not to be paused since its resume
    idle      since when another key than ours is the active one
    running   the command runs; `tries` were begun, and none is before `again`
    excused   why nodeos is paused, while that moves no leader, for people; `cause`: the same in a word
    """

    epoch: int = 0
    unpaused: bool = False
    idle: Ms | None = None
    running: bool = False
    tries: int = 0
    again: Ms = 0
    excused: str = ""
    cause: str = ""


@dataclass(frozen=True, slots=True)
class HookLog:
    """The hooks of one tenure: what came of them, and the record of the history that it goes into.

    ahead     the epoch before whose planned end before_demote was run
    stopping  the epoch that is being stopped
    """

    epoch: int = 0
    text: str = ""
    record: Fields | None = None
    ahead: int = 0
    stopping: int = 0


@dataclass(frozen=True, slots=True)
class LiveSettings:
    """What is set about this agent, beside the identity of its leadership.

    alert_level  from which severity on it has a channel for alerts; empty: it has none
    compared  what others may compare, as words `name=value`
    hooks  the hooks that are set; each has `hook_ms` in all
    observes  it only tells what it would do: leadership is not started
    host   the boot of this host and our pid namespace: what makes a pid unique; empty: not known
    """

    group: str
    limits: checks.Limits
    priority: int = 100
    drained: bool = False
    version: str = ""
    url: str = ""
    alert_level: str = ""
    compared: str = ""
    policy: Policy = field(default_factory=Policy)
    hooks: frozenset[str] = frozenset()
    hook_ms: Ms = 5000
    host: str = ""
    finalizer: FinalizerSettings = field(default_factory=FinalizerSettings)
    observes: bool = False


@dataclass(frozen=True, slots=True)
class WouldDo:
    """What an agent that only observes would do, why, and since when (see `observe`)."""

    what: str
    why: str
    since: Ms


@dataclass(frozen=True, slots=True)
class Plan:
    """What a leader is about to do with its lead.

    cause, why, to    what `events.Eligibility` hands on once it is time
    at                when: ms of CLOCK_BOOTTIME
    text              the same for people, with the time of day
    """

    cause: str
    why: str
    at: Ms
    to: str = ""
    text: str = ""


@dataclass(frozen=True, slots=True)
class Assessment:
    """What one agent has made up its mind about, beside health.

    flaps          its own faults, and how long it is held down for them; `flaps_text` says so
    insisted       what was wrong with it when operators made it lead all the same: no reason to hand over
    better         the node of better priority that is well, and since when
    refused        the mod revision of the last wish that was refused, and its `answer`, shown until `answer_until`
    unseen         the date (ms since 1970) from which on no block of the tenure that leads was seen on anybody's chain;
                   None while nothing is judged
    vain           why it leads in vain, empty while it does not
    anew           when it began anew, and until when it does not again
    resumes        when a take-over of it came to nothing, and until when it tries no other
    """

    flaps: Flaps = field(default_factory=Flaps)
    flaps_text: str = ""
    insisted: frozenset[str] = frozenset()
    better: str = ""
    better_since: Ms = 0
    refused: int = 0
    answer: str = ""
    answer_until: Ms = 0
    unseen: Ms | None = None
    vain: str = ""
    anew: Flaps = field(default_factory=Flaps)
    resumes: Flaps = field(default_factory=Flaps)
    plan: Plan | None = None


@dataclass(frozen=True, slots=True)
class GroupReports:
    """What stands in the group's keys beside what leadership rests on, which is in `leadership.seen` alone.

    members              one that operators drained is drained, even if its own report does not tell it yet
    problems             a line for each value that could not be read
    switchover_revision  the mod revision of the wish to hand over, 0 while there is none
    """

    members: tuple[Member, ...] = ()
    problems: tuple[str, ...] = ()
    drains: Mapping[str, Drain] = field(default_factory=dict)
    switchover_revision: int = 0
    ledger: tuple[Window, ...] = ()


@dataclass(frozen=True, slots=True)
class Node:
    """The state of one agent.

    view_at       when the group was read last; members whose reports stand still are not in `reports`
    back_at       when it was read again after it could not be for a while
    heard         of each member the mod revision of its report, and when it was first seen
    etcd_faults   what session and reader have from etcd instead of answers
    read_at       when the reader was last seen to read the group
    lease_gone_since  since when there is no session lease
    store_since   since when the store is known
    gated_process  the nodeos process that was seen to sign through the gate last
    own_block_at  when a block of our producer, from any node, last came
    entered       when each phase of leadership was last entered, by its name
    proof         the record of our tenure, and what is known of its blocks
    logged_at, alerted_at  when each warning was last given out, and sent to people
    past          what the chain had before this agent started, as far as it was looked at
    due           when what does not belong to leadership is to be looked at again, at the latest
    wake          when to step again at the latest
    unpaused_at   when nodeos was last found producing though this node did not lead
    nodeos_paused  whether it said so when it was asked last; None: it gave no answer yet
    would         what it would do, while it only observes
    """

    settings: LiveSettings
    leadership: State
    health: checks.Health
    reports: GroupReports = field(default_factory=GroupReports)
    view_at: Ms = 0
    back_at: Ms = 0
    heard: Mapping[str, tuple[int, Ms]] = field(default_factory=dict)
    published: Member | None = None
    published_at: Ms = 0
    alerts: rules.Open = field(default_factory=rules.Open)
    etcd_faults: Mapping[str, EtcdFault] = field(default_factory=dict)
    read_at: Ms | None = None
    lease_gone_since: Ms | None = None
    gated_process: ProcessId | None = None
    store_since: Ms | None = None
    own_block_at: Ms = 0
    entered: Mapping[str, Ms] = field(default_factory=dict)
    proof: history.Proof | None = None
    watch: BlockWatch = field(default_factory=BlockWatch)
    hook_log: HookLog = field(default_factory=HookLog)
    logged_at: Mapping[str, Ms] = field(default_factory=dict)
    alerted_at: Mapping[str, Ms] = field(default_factory=dict)
    due: Ms = 0
    wake: Ms = 0
    assessment: Assessment = field(default_factory=Assessment)
    unpaused_at: Ms | None = None
    finality: FinalityWatch = field(default_factory=FinalityWatch)
    past: LookedBack | None = None
    nodeos_paused: bool | None = None
    would: WouldDo | None = None

    @property
    def leading_since(self) -> Ms | None:
        """Since when this node leads; None: it does not."""
        return self.leadership.phase_since if self.leadership.leads else None

    @property
    def etcd_down_since(self) -> Ms | None:
        """Since when session or reader have no answer from etcd; None: both have."""
        return min((fault.since for fault in self.etcd_faults.values()), default=None)

    @property
    def etcd_error(self) -> str:
        """What they have instead, for people."""
        return "; ".join(sorted({fault.error for fault in self.etcd_faults.values()}))

    @property
    def drained(self) -> bool:
        """Whether this node is drained: by its configuration, or by operators."""
        return self.settings.drained or self.leadership.identity.node in self.reports.drains

    @property
    def members(self) -> tuple[Member, ...]:
        """How every agent that belongs to our group reports to be, ourselves among them."""
        return tuple(each for each, why in self._compared() if not why)

    @property
    def strangers(self) -> tuple[str, ...]:
        """Why members do not belong to one group with us, a line for each: nothing that they report counts."""
        return tuple(why for _, why in self._compared() if why)

    def _compared(self) -> Iterator[tuple[Member, str]]:
        """Yield each report with why it is a stranger's, empty when it is not."""
        mine = belonging_of(self)
        for each in self.reports.members:
            ours = each.node == self.leadership.identity.node
            yield each, "" if ours else clash(mine, each.belonging, each.node)


def wall_of(node: Node, now: Ms) -> Ms | None:
    """Return the time of day (ms since 1970) at `now`, None before nodeos was asked for the first time."""
    found = node.health
    return found.info_wall + now - found.info_at if found.info_wall else None


def own_windows(node: Node) -> ProducerWindows | None:
    """Return the windows of our producer; None when it is not scheduled, or no schedule is known."""
    return windows_of(node.health.schedule, node.leadership.identity.producer)


def own_ms(node: Node) -> Ms:
    """Return the date of the newest block of our producer on our chain, 0 while none was seen."""
    info, last = node.health.info, node.watch.last_own
    head = info.head_time if info is not None and info.head_producer == node.leadership.identity.producer else 0
    return max(head, date(last) if last is not None else 0)


def belonging_of(node: Node) -> Belonging:
    """Return what this member serves, as far as it is known."""
    profile, info, state = node.settings, node.health.info, node.leadership
    return Belonging(
        state.identity.producer,
        info.chain_id if info else profile.limits.chain_id,
        profile.limits.producer_key,
        process_text(profile.host, state.process),
    )


def member_of(node: Node, now: Ms) -> Member:
    """Return how this member is, as it is published."""
    state, info, profile = node.leadership, node.health.info, node.settings
    ready = state.phase is not Phase.STARTING and state.lease is not None
    mind, serves = node.assessment, belonging_of(node)
    return Member(
        node=state.identity.node,
        instance=state.identity.instance,
        role=state.phase.value,
        healthy=ready and node.health.ok,
        able=node.health.can_produce,
        reasons=node.health.reasons,
        head=info.head_num if info else 0,
        lib=info.lib_num if info else 0,
        head_age_ms=node.health.info_wall - info.head_time if info else 0,
        priority=profile.priority,
        drained=node.drained,
        version=profile.version,
        nodeos=info.server_version if info else "",
        url=profile.url,
        asked_ms=node.health.info_wall if info else 0,
        own_ms=own_ms(node),
        held_down_ms=mind.flaps.left(now),
        doubtful=node.health.doubtful,
        plan=mind.plan.text if mind.plan else node.finality.excused or (mind.answer if now < mind.answer_until else ""),
        told=tuple(sorted(_group_keys(node)))[: records.REASONS],
        tells=profile.alert_level,
        settings=profile.compared,
        own=node.watch.own,
        chain=serves.chain,
        producer=serves.producer,
        key=serves.key,
        process=serves.process,
        host_id=state.identity.host_id,
    )


def _group_keys(node: Node) -> Iterator[str]:
    """Yield the keys of alerts that this member has told; odd ones would cost more bytes than others read."""
    least = node.settings.alert_level
    for key, notice in node.alerts.notices.items():
        told = least and rank(notice.severity) >= rank(least) and KINDS[notice.event].whole_group
        if told and key.isascii() and len(key) <= records.TOLD:
            yield key
