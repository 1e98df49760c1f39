"""The whole configuration, composed of its sections, and the list of all settings."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Self, get_args, get_origin

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator
from pydantic.fields import FieldInfo

from agent.config.alerts import AlertChannel
from agent.config.base import Fault, Problems
from agent.config.election import ElectionSection, UrgencySection
from agent.config.gate import GateSection
from agent.config.health import HealthSection
from agent.config.hooks import HooksSection
from agent.config.http import HttpSection
from agent.config.peers import PeersSection
from agent.config.sections import (
    EtcdSection,
    FenceSection,
    LogSection,
    NodeosSection,
    RuntimeSection,
)
from agent.config.timing import TimingSection
from agent.config.watchdog import WatchdogSection
from agent.core.leadership.timing import GateMode, Timing
from agent.core.model.fields import NAME
from agent.core.model.operator import NOBODY

ENV_PREFIX = "NODEOS_FAILOVER_"
ENV_DELIMITER = "__"


class Config(BaseModel):
    """Everything that can be set. Built by `agent.config.load`; building it directly reads no environment."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", hide_input_in_errors=True, validate_default=True, title="nodeos-failover"
    )

    group: str = Field(description="name of the group: the nodes that share one producer", examples=["eos-mainnet"])
    node: str = Field(description="name of this node, unique in its group", examples=["bp-a"])
    producer: str = Field(
        pattern=r"^([a-z1-5.]{0,11}[a-z1-5]|[a-z1-5.]{12}[a-j1-5])$",
        json_schema_extra={"form": "an account: up to 12 of a-z, 1-5 and dot, no dot at the end"},
        description="the producer account",
        examples=["myproducer11"],
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
    http: HttpSection = Field(default=HttpSection(), description="metrics, probes and status")
    log: LogSection = Field(default=LogSection(), description="what goes to stderr")
    runtime: RuntimeSection = Field(default=RuntimeSection(), description="what survives a restart of the agent")
    watchdog: WatchdogSection = Field(default=WatchdogSection(), description="what resets a host that hangs")
    runbooks: str = Field(
        default="grafana/runbooks.md", description="where runbooks.md can be read; alerts link to its headings"
    )
    alerts: tuple[AlertChannel, ...] = Field(default=(), description="channels for alerts")

    @field_validator("group", "node")
    @classmethod
    def _is_name(cls, value: str) -> str:
        if not NAME.fullmatch(value):
            raise ValueError(f"{value!r} is no name: use 1 to 63 of a-z, 0-9, dot and hyphen, a letter or digit first")
        return value

    @field_validator("node")
    @classmethod
    def _is_somebody(cls, value: str) -> str:
        if value == NOBODY:
            raise ValueError(f"{NOBODY!r} means nobody in an override: choose another name")
        return value

    @field_validator("alerts")
    @classmethod
    def _are_different(cls, value: tuple[AlertChannel, ...]) -> tuple[AlertChannel, ...]:
        names = [channel.name for channel in value]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"several channels are named {', '.join(twice)}: give each its own name")
        return value

    @property
    def spans(self) -> Timing:
        """The spans of the protocol, in whole milliseconds, and what the gate means for them."""
        return self.peers.spans(self.timing.spans(GateMode(self.gate.mode)))

    @model_validator(mode="after")
    def _fit_together(self) -> Self:
        if faults := list(self._faults()):
            raise Problems(faults)
        return self

    def _faults(self) -> Iterator[Fault]:
        """Yield how the tables do not fit together, each with the tables that it rests on."""
        spans = self.spans
        yield from (Fault(each, ("timing", "gate", "peers")) for each in spans.problems())
        yield from (Fault(each, ("watchdog", "timing", "gate")) for each in self.watchdog.problems(spans))
        yield from (Fault(each, ("gate",)) for each in self.gate.problems(self.nodeos.producer_key))
        unended = spans.gated or self.fence.method == "none" or self.fence.command
        if not self.health.process.enabled and not unended:
            yield Fault(
                "health.process.enabled is false, so a nodeos may lead that cannot be ended: leave it on, set "
                'fence.command or gate.mode = "required", or fence.method = "none" if two producers are acceptable',
                ("health.process", "fence", "gate"),
            )


def section_of(field: FieldInfo | None) -> type[BaseModel] | None:
    """Return the model of the table (or of the tables in a list) that `field` holds; None for a single value."""

    def look(annotation: Any) -> type[BaseModel] | None:
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            return annotation
        return next((found for arg in get_args(annotation) if (found := look(arg))), None)

    return look(field.annotation) if field else None


def settings(model: type[BaseModel] = Config, above: str = "") -> Iterator[tuple[str, FieldInfo]]:
    """Yield path and field of every single setting, in the order of the file; `alerts[]` stands for each channel."""
    for name, field in model.model_fields.items():
        if section := section_of(field):
            several = "[]" if get_origin(field.annotation) is tuple else ""
            yield from settings(section, f"{above}{name}{several}.")
        else:
            yield f"{above}{name}", field
