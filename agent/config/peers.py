"""[peers]: whether the lead is also confirmed by the members themselves, beside etcd (R13 to R17)."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, field_validator

from agent.config.base import AbsolutePath, Optional, Seconds, Section
from agent.core.leadership.timing import LATE_PROMISE, PeersMode, Timing
from agent.core.model.copying import replace
from agent.core.model.store import Ms
from agent.peers.address import PORT, parse

SHORT: Ms = 2000
SHORT_GATED: Ms = 900
"""E_s without and with a required gate, where A leaves room for it."""


class PeersSection(Section):
    """[peers]: the members of the group as each other's witnesses."""

    mode: Literal["off", "lease", "failsafe"] = Field(
        default="off",
        description="off: etcd alone confirms; lease: the members do, too, while our etcd lease may live; "
        "failsafe: for as long as etcd is away",
    )
    listen: str = Field(default=f"[::]:{PORT}", description="UDP address and port for the others' datagrams: IP:PORT")
    advertise: Optional[str] = Field(
        default=None, description="IP:PORT that the others are told; default: our end of the connection to etcd"
    )
    beat: Seconds = Field(default=Timing().beat / 1000, description="seconds between two beats of the leader")
    validity: Optional[Seconds] = Field(
        default=None,
        description=f"E_s: seconds for which a beat that all peers promised for allows production; default: "
        f"{SHORT / 1000:g}, with a required gate {SHORT_GATED / 1000:g}, or as much as a stop needs",
    )
    move_etcd_leader: bool = Field(
        default=False,
        description="whether a leader asks etcd to move its own leader away from a peer's host, to a member on ours",
    )
    state_dir: AbsolutePath = Field(
        default=Path("/var/lib/nodeos-failover"),
        description="directory on disk for this host's id; STATE_DIRECTORY of systemd wins",
    )

    @field_validator("listen", "advertise")
    @classmethod
    def _is_address(cls, value: str | None) -> str | None:
        if value is not None:
            parse(value)
        return value

    @property
    def on(self) -> bool:
        """Whether there are peers at all."""
        return self.mode != "off"

    def spans(self, timing: Timing) -> Timing:
        """Return the spans with what is set here."""
        beat = round(self.beat * 1000)
        made = replace(timing, peers=PeersMode(self.mode), beat=beat)
        if self.validity is not None:
            return replace(made, peers_validity=round(self.validity * 1000))
        return replace(
            made, peers_validity=max(SHORT_GATED if made.gated else SHORT, made.margin + beat + LATE_PROMISE)
        )
