"""The health checks as an operator sees them: one subtable each, thresholds with unit and default."""

from __future__ import annotations

from agent.config.base import Seconds
from agent.config.section import Field, Section


class CanLeadCheck(Section):
    """The agent itself could lead: it reads the group, writes its run-time file, holds its lease, and is not stuck."""

    enabled: bool = Field(default=True, description="false: the check is not made")
    max: Seconds = Field(default=5.0, gt=0, description="seconds for which it may be unable to until the check fails")


class Check(Section):
    """What the others have. A check changes its verdict only after `rise` good or `fall` bad results in a row."""

    enabled: bool = Field(default=True, description="false: the check is not made")
    rise: int = Field(default=2, ge=1, le=1000, description="good results in a row until the check passes again")
    fall: int = Field(default=3, ge=1, le=1000, description="bad results in a row until the check fails")


class ProcessCheck(Check):
    """The nodeos process exists."""

    rise: int = 1
    fall: int = 1


class MainThreadCheck(Check):
    """nodeos answers a question that goes through its main thread.

    0.4 s is twice the slowest answer of a busy nodeos (`make measure NAME=margins`: 172 ms under eight readers).
    """

    interval: Seconds = Field(default=0.4, ge=0.05, description="seconds between two questions to nodeos")
    timeout: Seconds = Field(default=0.4, ge=0.05, description="seconds until a question counts as not answered")


class HeadAgeCheck(Check):
    """The head block is recent, unless it is old for every member: then the chain stands still, not this node."""

    max: Seconds = Field(default=3.0, gt=0, description="seconds that the head block may be old")


class LibProgressCheck(Check):
    """The last irreversible block moves on."""

    max: Seconds = Field(default=60.0, gt=0, description="seconds that the last irreversible block may stand still")


class PeersCheck(Check):
    """Enough peers have finished their handshake."""

    min: int = Field(default=1, ge=0, le=100_000, description="least number of connected peers")


class ChainIdCheck(Check):
    """nodeos is on the right chain."""

    rise: int = 1
    fall: int = 1


class ScheduleCheck(Check):
    """The key of `nodeos.producer_key` is the one in the active schedule. Not being scheduled is only noted."""


class ProducingCheck(Check):
    """The leader's nodeos is not paused by somebody else."""


class DiskSpaceCheck(Check):
    """The disk under `nodeos.data_dir` has room; without `data_dir` the check is not made."""

    min_free_bytes: int = Field(default=5 * 1024**3, ge=0, description="least number of free bytes")
    min_free_percent: float = Field(
        default=11.0, ge=0, le=100, description="least share of free space in percent; nodeos stops by itself at 10"
    )


class ClockOffsetCheck(Check):
    """The host's clock agrees with the time of day."""

    max: Seconds = Field(default=0.25, gt=0, description="seconds that the clock may be off; a slot lasts 0.5")


class GateCheck(Check):
    """The signing gate can sign. With gate.mode = "on" it is judged once nodeos was seen to sign through it."""

    rise: int = 1
    fall: int = 2


class HealthSection(Section):
    """[health.*]: what makes a node fit to lead."""

    process: ProcessCheck = ProcessCheck()
    main_thread: MainThreadCheck = MainThreadCheck()
    head_age: HeadAgeCheck = HeadAgeCheck()
    lib_progress: LibProgressCheck = LibProgressCheck()
    peers: PeersCheck = PeersCheck()
    chain_id: ChainIdCheck = ChainIdCheck()
    schedule: ScheduleCheck = ScheduleCheck()
    producing: ProducingCheck = ProducingCheck()
    disk_space: DiskSpaceCheck = DiskSpaceCheck()
    clock_offset: ClockOffsetCheck = ClockOffsetCheck()
    gate: GateCheck = GateCheck()
    can_lead: CanLeadCheck = CanLeadCheck()
