"""What the members of a group say to each other beside etcd: beats and promises (R13, R14). Frozen dataclasses alone.

Of which group they are, and the proof that a member sent them, is the transport's matter.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from agent.core.model.fields import Rule
from agent.core.model.store import Ms

MOST_PEERS = 16
"""Members that one heartbeat names at most: what is beyond is not named."""


@dataclass(frozen=True, order=True, slots=True)
class Peer:
    """A member as a heartbeat names it.

    `host_id` is made once by its host and kept on its disk: it outlives restarts and reboots, and a second agent with
    a copied name does not have it. Empty: the host has no place to keep one, and the member is never named (R13).
    """

    node: str = field(metadata=Rule(named=True))
    host_id: str = field(metadata=Rule(limit=64))


@dataclass(frozen=True, slots=True)
class Sight:
    """What a member's nodeos told last: what ages of a report, so that it need not be written so often (R17).

    As in `records.Member`: `asked_ms`, when it was asked, and `own_ms`, the date of the newest block of our producer
    (0: none), in ms since 1970; `head_age_ms`, how old the head was then.
    """

    head: int
    lib: int
    head_age_ms: Ms
    asked_ms: Ms
    own_ms: Ms


@dataclass(frozen=True, slots=True)
class Beat:
    """What a leader sends to the members. `epoch` and `instance` are its tenure's; no instance uses a number twice.

    `validity_ms`: for so long after its receipt whoever promises must not take over (R14). `to`: the instance of the
    process that it is for, as that reports; set for each member when it is sent. `sight`: the sender's own; None: it
    has none.
    """

    epoch: int
    instance: str
    number: int
    node: str
    validity_ms: Ms
    to: str = ""
    sight: Sight | None = None


@dataclass(frozen=True, slots=True)
class Promise:
    """The answer to a beat: epoch, instance and number are the beat's, the rest is the promising member's."""

    epoch: int
    instance: str
    number: int
    node: str
    host_id: str
    sight: Sight | None = None
