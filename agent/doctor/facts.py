"""What was gathered, as data. A fact that could not be had is None, and its error says why. No secret stands here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from agent.core.model.chain import ChainInfo, Peers, Schedule
from agent.core.model.finality import Finality
from agent.core.model.records import GroupView
from agent.nodeos.config_ini import Options
from agent.ports import GateStatus

if TYPE_CHECKING:
    from agent.etcd.info import MemberInfo  # it comes with grpc


@dataclass(frozen=True, slots=True)
class NodeosFacts:
    """The node beside us. `asked_ms`: our clock when it told its head, ms since 1970.

    producer_missing, net_missing  whether nodeos says that it has no such API
    safety      whether finalizers/safety.dat is in the data directory; None: it could not be seen
    pid         of the process that is nodeos for sure; None: `process_error` says why none is known
    listening   the programs that listen at nodeos.url, each with its pid
    bound       the addresses that it listens on; None: they could not be seen
    reached     the addresses of this host, beyond loopback, at which the producer API answered
    """

    info: ChainInfo | None = None
    info_error: str = ""
    asked_ms: int = 0
    paused: bool | None = None
    paused_error: str = ""
    producer_missing: bool = False
    peers: Peers | None = None
    peers_error: str = ""
    net_missing: bool = False
    schedule: Schedule | None = None
    schedule_error: str = ""
    finality: Finality | None = None
    finality_error: str = ""
    safety: bool | None = None
    options: Options = field(default_factory=Options)
    options_error: str = ""
    pid: int | None = None
    process_error: str = ""
    listening: tuple[tuple[str, int], ...] = ()
    bound: tuple[str, ...] | None = None
    reached: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class EtcdServer:
    """One endpoint. `error`: why it did not answer. Sizes in bytes, `fsync_s` the 99th percentile of its disk.

    cluster  the id of the cluster that it belongs to; 0: not told
    """

    endpoint: str
    error: str = ""
    version: str = ""
    cluster: int = 0
    member: int = 0
    leader: int = 0
    learner: bool = False
    alarms: tuple[str, ...] = ()
    db_size: int = 0
    quota: int | None = None
    fsync_s: float | None = None
    compacted: int | None = None
    metrics_error: str = ""
    certificate_days: float | None = None


@dataclass(frozen=True, slots=True)
class EtcdFacts:
    """The cluster. `round_trips_s`: how long linearizable reads took; `least_ttl_s`: the smallest lease that it grants.

    refused   what our user may not write though the agent must
    too_much  what it may write though the agent need not
    unread    why it cannot read the group as a whole
    certificates  days until each file of ours runs out, by setting
    """

    servers: tuple[EtcdServer, ...] = ()
    members: tuple[MemberInfo, ...] | None = None
    members_error: str = ""
    revision: int = 0
    round_trips_s: tuple[float, ...] = ()
    error: str = ""
    least_ttl_s: int | None = None
    refused: tuple[str, ...] | None = None
    too_much: tuple[str, ...] = ()
    unread: str = ""
    certificates: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class GroupFacts:
    """The keys of the group, and when they were read."""

    view: GroupView | None = None
    error: str = ""


@dataclass(frozen=True, slots=True)
class AgentFacts:
    """The agent beside us, if it runs. `status` is its own; `unit` its systemd unit, `settings` what systemd says.

    supervised  what keeps it running: `systemd`, `container`, `guard` (the parent process), or nothing
    """

    status: Mapping[str, object] | None = None
    error: str = ""
    pid: int | None = None
    supervised: str = ""
    unit: str = ""
    settings: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class HostFacts:
    """The host. `synchronised` is the kernel's word about its clock; `clock_error_s` the error that it estimates."""

    synchronised: bool | None = None
    clock_error_s: float = 0.0
    clock_failure: str = ""
    disk_free: int | None = None
    disk_total: int = 0
    disk_error: str = ""
    runtime_fs: str = ""


@dataclass(frozen=True, slots=True)
class GateFacts:
    """The signing gate: what it says, and user and mode of its permit page and the directory around it.

    `agent_user` is the number of the user that gate.agent_user names, -1: there is none.
    """

    status: GateStatus | None = None
    error: str = ""
    page: tuple[int, int] | None = None
    directory: tuple[int, int] | None = None
    page_error: str = ""
    agent_user: int = -1


@dataclass(frozen=True, slots=True)
class ChannelFact:
    """One alert channel: whether something accepts connections where it points, and in TLS if it shall."""

    name: str
    error: str = ""
    untried: bool = False  # its address is the business of a library


@dataclass(frozen=True, slots=True)
class FileFacts:
    """The files that the agent reads, by setting, and why `user` cannot read them; None: nobody looked, see `error`.

    unit    the unit whose user that is; empty: it is the caller
    unseen  the user that the agent runs as, when the caller is another one and may not look as that user
    """

    files: Mapping[str, str] = field(default_factory=dict)
    user: str = ""
    unit: str = ""
    denied: Mapping[str, str] | None = None
    error: str = ""
    unseen: str = ""


@dataclass(frozen=True, slots=True)
class PeerFacts:
    """What the peers rest on.

    key_there, key_good  whether the group has a key, and whether it is one
    members     each member's address for datagrams, empty where it tells none
    reached     whether a probe came back from each that was tried
    beside      members on the host of etcd's leader
    no_host_id  why this host has no id that it keeps; empty: it has one
    """

    key_there: bool = False
    key_good: bool = False
    members: Mapping[str, str] = field(default_factory=dict)
    reached: Mapping[str, bool] = field(default_factory=dict)
    beside: tuple[str, ...] = ()
    no_host_id: str = ""
    error: str = ""


@dataclass(frozen=True, slots=True)
class Facts:
    """Everything. `late` names what was not gathered in time."""

    nodeos: NodeosFacts = NodeosFacts()
    etcd: EtcdFacts = EtcdFacts()
    group: GroupFacts = GroupFacts()
    agent: AgentFacts = AgentFacts()
    host: HostFacts = HostFacts()
    gate: GateFacts = GateFacts()
    files: FileFacts = FileFacts()
    peers: PeerFacts = field(default_factory=PeerFacts)
    channels: tuple[ChannelFact, ...] = ()
    late: tuple[str, ...] = ()
