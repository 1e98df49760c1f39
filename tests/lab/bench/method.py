"""What a method of failover is to the benchmark: it starts, stops, is asked who produces, and suffers faults."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class Fault:
    """What is done to the host that produces. `changes`: whether another one is to produce then.

    `over`: True once a fault that is to change nothing has shown that it does not, asked again and again.
    """

    act: Callable[[str], None]
    changes: bool = True
    over: Callable[[str], bool] = lambda _host: True


class Method(Protocol):
    """One way to keep one producer; `name` is a word, `title` for people.

    `patience`: so many seconds after a fault without a block of the other host, it counts as one that is not survived.
    """

    name: str
    title: str
    patience: float
    faults: Mapping[str, Fault]

    def start(self) -> None:
        """Begin to govern the nodes, which are paused, and return once one produces and the other stands by."""

    def stop(self) -> None:
        """Cease, and leave both nodes paused."""

    def mend(self) -> None:
        """Bring back what a fault took away, and return once one produces and the other stands by."""

    def producing(self) -> str | None:
        """Return the name of the host that may produce, None when there is none or several."""

    def story(self) -> str:
        """Return the ends of the logs, for the message of a failure."""


TITLES = {
    "planned": "planned (etcdctl put leader; keepalived stopped)",
    "nodeos-killed": "nodeos killed",
    "nodeos-frozen": "nodeos frozen",
    "nodeos-restarted": "nodeos restarted",
    "agent-restarted": "agent killed and restarted",
    "agent-killed": "agent or keepalived killed for good",
    "host-lost": "host lost (everything on it killed at once)",
    "host-cut": "host cut off from all others",
    "etcd-leader-killed": "etcd leader killed",
    "etcd-leader-frozen": "etcd leader frozen",
    "etcd-member-lost": "one etcd member lost",
}
"""Every fault, in the order of the table."""
