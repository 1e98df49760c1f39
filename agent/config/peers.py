"""[peers]: whether the lead is also confirmed by the members themselves, beside etcd (R13 to R17)."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from agent.config.base import AbsolutePath, Optional, Seconds, Span, looked_at
from agent.config.section import Section
from agent.config.setting import Field
from agent.core.leadership.timing import LATE_PROMISE, PeersMode, Timing
from agent.core.model.copying import replace
from agent.core.model.store import Ms
from agent.peers.address import PORT, parse

SHORT: Ms = 2000
SHORT_GATED: Ms = 900
"""E_s without and with a required gate, where A leaves room for it."""


_Address = Annotated[str, looked_at(parse)]


class PeersSection(Section):
    """[peers]: the members of the group as each other's witnesses."""

    mode: Literal["off", "lease", "failsafe"] = Field(
        default="lease",
        description="off: etcd alone confirms; lease: the members do, too, while our etcd lease may live; "
        "failsafe: for as long as etcd is away",
    )
    listen: _Address = Field(
        default=f"[::]:{PORT}", description="UDP address and port for the others' datagrams: IP:PORT"
    )
    advertise: Optional[_Address] = Field(
        default=None, description="IP:PORT that the others are told; default: our end of the connection to etcd"
    )
    beat: Seconds = Span(Timing().beat, "seconds between two beats of the leader")
    validity: Optional[Seconds] = Field(
        default=None,
        description=f"E_s: seconds for which a beat that all peers promised for allows production; default: "
        f"{SHORT / 1000:g}, with a required gate {SHORT_GATED / 1000:g}, or as much as a stop or a watchdog needs",
    )
    move_etcd_leader: bool = Field(
        default=False,
        description="whether a leader asks etcd to move its own leader away from a peer's host, to a member on ours",
    )
    state_dir: AbsolutePath = Field(
        default=Path("/var/lib/nodeos-failover"),
        description="directory on disk for this host's id; STATE_DIRECTORY of systemd wins",
    )

    @property
    def on(self) -> bool:
        """Whether there are peers at all."""
        return self.mode != "off"

    def spans(self, timing: Timing, reset: Ms = 0) -> Timing:
        """Return the spans with what is set here. `reset`: what a watchdog needs of each confirmation, see there."""
        beat = round(self.beat * 1000)
        made = replace(timing, peers=PeersMode(self.mode), beat=beat)
        if self.validity is not None:
            return replace(made, peers_validity=round(self.validity * 1000))
        least = max(made.margin, reset) + beat + LATE_PROMISE
        return replace(made, peers_validity=max(SHORT_GATED if made.gated else SHORT, least))
