"""The whole configuration, composed of its sections, and the list of all settings."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal

from agent.config.alerts import AlertChannel
from agent.config.base import ACCOUNT, ACCOUNT_FORM, Name
from agent.config.gate import GateSection
from agent.config.health import HealthSection
from agent.config.protocol import ElectionSection, PeersSection, TimingSection, UrgencySection, WatchdogSection
from agent.config.section import Field, Section, Setting, is_list, relation, section_of
from agent.config.sections import (
    EtcdSection,
    FenceSection,
    FinalizerSection,
    HooksSection,
    HttpSection,
    LogSection,
    NodeosSection,
    RuntimeSection,
)
from agent.core.leadership.timing import GateMode, Timing
from agent.core.model.operator import NOBODY


def _node(text: str) -> str:
    if text == NOBODY:
        raise ValueError(f"{NOBODY!r} means nobody in an override: choose another name")
    return text


class Config(Section):
    """Everything that can be set. Built by `agent.config.load`; building it directly reads no environment."""

    group: Name = Field(description="name of the group: the nodes that share one producer", examples=["eos-mainnet"])
    node: Annotated[Name, _node] = Field(description="name of this node, unique in its group", examples=["bp-a"])
    producer: str = Field(
        pattern=ACCOUNT, form=ACCOUNT_FORM, description="the producer account", examples=["myproducer11"]
    )
    mode: Literal["lead", "observe"] = Field(
        default="lead", description="observe: touch nothing, and tell what would be done; a reload may make it lead"
    )
    nodeos: NodeosSection = Field(description="the node beside this agent")
    etcd: EtcdSection = Field(description="where the group meets")
    gate: GateSection = Field(default=GateSection(), description="what signs only while this node may lead")
    peers: PeersSection = Field(default=PeersSection(), description="the members as each other's witnesses")
    timing: TimingSection = Field(default=TimingSection(), description="the spans of the protocol")
    health: HealthSection = Field(default=HealthSection(), description="what makes a node fit to lead")
    fence: FenceSection = Field(default=FenceSection(), description="how nodeos is found, should it have to be killed")
    election: ElectionSection = Field(default=ElectionSection(), description="who goes first")
    urgency: UrgencySection = Field(default=UrgencySection(), description="how fast a leader acts, by its schedule")
    hooks: HooksSection = Field(default=HooksSection(), description="what is run when this node is promoted or demoted")
    finalizer: FinalizerSection = Field(default=FinalizerSection(), description="the BLS key of this host (Savanna)")
    http: HttpSection = Field(default=HttpSection(), description="metrics, probes and status")
    log: LogSection = Field(default=LogSection(), description="what goes to stderr")
    runtime: RuntimeSection = Field(default=RuntimeSection(), description="what survives a restart of the agent")
    watchdog: WatchdogSection = Field(default=WatchdogSection(), description="what resets a host that hangs")
    runbooks: str = Field(
        default="grafana/runbooks.md", description="where runbooks.md can be read; alerts link to its headings"
    )
    alerts: tuple[AlertChannel, ...] = Field(default=(), description="channels for alerts")

    @property
    def spans(self) -> Timing:
        """The spans of the protocol, in whole milliseconds, and what the gate means for them."""
        return self.peers.spans(self.timing.spans(GateMode(self.gate.mode)), self.watchdog.reset)

    @relation
    def _channels_differ(self) -> Iterator[str]:
        names = [channel.name for channel in self.alerts]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            yield f"alerts: several channels are named {', '.join(twice)}: give each its own name"

    @relation
    def _spans_fit(self) -> Iterator[str]:
        yield from self.spans.problems()

    @relation
    def _watchdog_fits(self) -> Iterator[str]:
        yield from self.watchdog.problems(self.spans)

    @relation
    def _gate_fits(self) -> Iterator[str]:
        if self.gate.mode != "off":
            yield from self.gate.problems(self.nodeos.producer_key)

    @relation
    def _can_be_ended(self) -> Iterator[str]:
        unended = self.spans.gated or self.fence.method == "none" or self.fence.command
        if not self.health.process.enabled and not unended:
            yield (
                "health.process.enabled is false, so a nodeos may lead that cannot be ended: leave it on, set "
                'fence.command or gate.mode = "required", or fence.method = "none" if two producers are acceptable'
            )


def settings(kind: type[Section] = Config, above: str = "") -> Iterator[tuple[str, Setting]]:
    """Yield path and setting of every single one, in the order of the file; `alerts[]` stands for each channel."""
    for name, setting in kind.fields().items():
        if section := section_of(setting.hint):
            yield from settings(section, f"{above}{name}{'[]' if is_list(setting.hint) else ''}.")
        else:
            yield f"{above}{name}", setting
