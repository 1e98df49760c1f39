"""What the leadership core asks for. `within` is a total deadline in milliseconds.

Numbers (`request`, `call`, `version`) come back in the event that answers.
"""

from __future__ import annotations

from dataclasses import dataclass

from agent.core.model.peers import Beat, Promise
from agent.core.model.runtime_record import RuntimeRecord
from agent.core.model.store import Ms, Txn


@dataclass(frozen=True, slots=True)
class Transact:
    """Run one transaction. `kind`, for logs and metrics: `take`, `confirm`, `regain`, `release` or `vacate`."""

    request: int
    kind: str
    txn: Txn
    within: Ms


@dataclass(frozen=True, slots=True)
class PauseNodeos:
    """Pause production. `looks`: ask before whether it is paused, so that people hear of one that was not."""

    call: int
    within: Ms
    looks: bool = False


@dataclass(frozen=True, slots=True)
class ResumeNodeos:
    """Resume production. Not to be sent after `by` (CLOCK_BOOTTIME): an agent that was frozen would be too late."""

    call: int
    within: Ms
    by: Ms


@dataclass(frozen=True, slots=True)
class ReadHead:
    """Read our own nodeos's head."""

    call: int
    within: Ms


@dataclass(frozen=True, slots=True)
class FenceNodeos:
    """End the nodeos process and see it gone: SIGTERM first for `term` ms (0: SIGKILL at once), all `within`."""

    call: int
    term: Ms
    within: Ms


@dataclass(frozen=True, slots=True)
class OpenGate:
    """Let the signing gate sign for this tenure until that moment (CLOCK_BOOTTIME): a memory store, done at once."""

    epoch: int
    until: Ms


@dataclass(frozen=True, slots=True)
class CloseGate:
    """Close the signing gate, at once, and see it proven that nothing is or can be signed.

    Not to be begun after `by` (CLOCK_BOOTTIME): it would close what was opened since.
    """

    call: int
    within: Ms
    by: Ms


@dataclass(frozen=True, slots=True)
class SaveRuntime:
    """Write the run-time file; None: remove it, nothing is held any more."""

    version: int
    record: RuntimeRecord | None


@dataclass(frozen=True, slots=True)
class Announce:
    """A transition happened: one log line, one metric. `key` is its slug in the table of transitions."""

    key: str
    source: str
    target: str
    reason: str
    epoch: int


@dataclass(frozen=True, slots=True)
class Warn:
    """Something is wrong that people must know at once. `key` is a slug, `text` for people."""

    key: str
    text: str


@dataclass(frozen=True, slots=True)
class SendBeat:
    """Send a beat to these members, one datagram each; what cannot be sent at once is dropped."""

    beat: Beat
    peers: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SendPromise:
    """Answer a beat of the member `to_node`; what cannot be sent at once is dropped."""

    promise: Promise
    to_node: str


@dataclass(frozen=True, slots=True)
class Exit:
    """The agent may end. With `holding` it leads on, and the next process takes the lead up: give back nothing."""

    holding: bool = False


Action = (
    Transact
    | PauseNodeos
    | ResumeNodeos
    | ReadHead
    | FenceNodeos
    | OpenGate
    | CloseGate
    | SaveRuntime
    | Announce
    | Warn
    | SendBeat
    | SendPromise
    | Exit
)
