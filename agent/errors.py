"""The tree of errors. Nothing but exception classes lives here.

    FailoverError
    ├── ConfigError            the configuration cannot be used (exit code 3)
    ├── RefusedError           the agent will not do that, e.g. run beside another one (6)
    │   └── NotOursError       the name, the nodeos or the group is not this agent's: its nodeos is left alone
    ├── StoreError             etcd (4)
    │   ├── StoreUnavailable   no answer: the outcome of a write is unknown
    │   └── StoreRejected      a definite no: nothing was changed (dead lease, no permission, no space)
    ├── NodeosError            nodeos (5)
    │   ├── NodeosUnreachable  refused: nothing was delivered
    │   ├── NodeosTimeout      no complete answer within the deadline: a request may still be acted upon later
    │   └── NodeosAnswer       nodeos answered, with an error: it will not act later
    ├── WaitTimeout            what was asked for is not over in time; it may still come (7)
    ├── FenceError             the process could not be stopped, or not be seen to stop
    └── GateError              the signing gate gave no proof, or no answer

Adapters translate every foreign exception into one of these. Each message names the thing that failed and
what to do about it, and carries no secret.
"""


class FailoverError(Exception):
    """Base of all errors that this product raises on purpose. `exit_code` is what the command exits with."""

    exit_code = 1


class ConfigError(FailoverError):
    """The configuration cannot be used; `problems` has one line for each fault, naming field and remedy."""

    exit_code = 3

    def __init__(self, problems: list[str]) -> None:
        self.problems = problems
        super().__init__("\n".join(problems))


class RefusedError(FailoverError):
    """The agent will not do what was asked, for safety's sake."""

    exit_code = 6


class NotOursError(RefusedError):
    """The name is alive elsewhere, or the group or the nodeos is not this agent's: its configuration is wrong."""


class StoreError(FailoverError):
    """etcd did not do what was asked."""

    exit_code = 4


class StoreUnavailable(StoreError):
    """etcd gave no definite answer in time. A write may or may not have been applied, now or later."""


class StoreRejected(StoreError):
    """etcd answered with a definite no; nothing was changed. `reason` is a short slug for metrics."""

    def __init__(self, reason: str, message: str) -> None:
        self.reason = reason
        super().__init__(message)


class StoreCompacted(StoreRejected):
    """The revision that a watch asked for has been compacted away: read again, and watch from there."""

    def __init__(self, message: str) -> None:
        super().__init__("compacted", message)


class LeaseGone(StoreRejected):
    """The lease has expired or was revoked."""

    def __init__(self, message: str) -> None:
        super().__init__("lease_gone", message)


class NodeosError(FailoverError):
    """nodeos did not do what was asked."""

    exit_code = 5


class NodeosUnreachable(NodeosError):
    """The connection was refused, or the socket is missing: the request was certainly not delivered."""


class NodeosTimeout(NodeosError):
    """No complete answer within the deadline, or the connection broke: nodeos may still act on the request later."""


class NodeosAnswer(NodeosError):
    """nodeos answered with an error. `status` is the HTTP status; `code` the error code of nodeos, 0 if none."""

    def __init__(self, status: int, code: int, message: str) -> None:
        self.status = status
        self.code = code
        super().__init__(message)


class WaitTimeout(FailoverError):
    """What was asked for is not over within the time that the caller gave it. It is not taken back."""

    exit_code = 7


class FenceError(FailoverError):
    """The process could not be stopped, or was not seen to be gone. Nothing may be released after this."""


class GateError(FailoverError):
    """The signing gate did not do what was asked, or was not seen to. After a closing: it may still sign."""
