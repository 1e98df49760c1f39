"""One step under way: the state as it becomes, the actions so far, and when to look again."""

from __future__ import annotations

from typing import Any

from agent.core.leadership.actions import Action, Announce, SaveRuntime, Transact
from agent.core.leadership.state import Phase, Production, State, Tenure
from agent.core.leadership.transitions import TRANSITIONS
from agent.core.model.backoff import longer
from agent.core.model.copying import replace
from agent.core.model.runtime_record import RuntimeRecord
from agent.core.model.store import Ms, Txn


class Step:
    """A step under way. Rules change it through these few methods only; from outside a step is a pure function."""

    def __init__(self, state: State, now: Ms) -> None:
        self.state = state
        self.now = now
        self.actions: list[Action] = []
        self.reason = ""  # of the last transition
        self._wake: list[Ms] = []

    def set(self, **changes: Any) -> None:
        """Change fields of the state."""
        self.state = replace(self.state, **changes)

    def set_tenure(self, **changes: Any) -> None:
        """Change fields of the tenure."""
        self.set(tenure=replace(self.tenure, **changes))

    def set_seen(self, **changes: Any) -> None:
        """Change what is known of the store."""
        self.set(seen=replace(self.state.seen, **changes))

    @property
    def tenure(self) -> Tenure:
        """The tenure; only where the phase says that there is one."""
        assert self.state.tenure is not None
        return self.state.tenure

    def do(self, action: Action) -> None:
        """Ask for something."""
        self.actions.append(action)

    def number(self) -> int:
        """Return a number that was never given before."""
        self.set(numbers=self.state.numbers + 1)
        return self.state.numbers

    def at(self, when: Ms) -> bool:
        """Whether `when` has come; if not, step again then."""
        if self.now >= when:
            return True
        self._wake.append(when)
        return False

    def go(self, key: str, detail: str = "") -> None:
        """Take a transition of the table. A row that does not start here is a defect, and raises."""
        row = TRANSITIONS[key]
        source = self.state.phase
        if source not in row.sources:
            raise AssertionError(f"transition {key} does not start at {source.value}")
        reason = f"{row.reason}: {detail}" if detail else row.reason
        self.reason = reason
        epoch = self.state.tenure.epoch if self.state.tenure else self.state.ended_epoch
        self.set(phase=row.target, phase_since=self.now)
        self.do(Announce(key, source.value, row.target.value, reason, epoch))

    def set_production(self, production: Production, until: Ms = 0) -> None:
        """Note what is known of nodeos's production from now on."""
        self.set(production=production, production_since=self.now, production_until=until)

    def transact(self, kind: str, txn: Txn, within: Ms | None = None) -> None:
        """Send a transaction, answered within so long (None: as every one); there is never more than one under way."""
        assert not self.state.request
        request = self.number()
        self.set(request=request, kind=kind, floor=self.state.seen.least)
        self.do(Transact(request, kind, txn, self.state.identity.timing.request if within is None else within))

    def save(self, what: str) -> None:
        """Write the run-time file: `held`, `stopping`, `stopped`; nothing: remove it."""
        version = self.number()
        state, tenure = self.state, self.state.tenure
        self.set(
            saving=version,
            saving_what=what,
            saved=what if state.saved == what else "",
            guard_next=(*state.guard_next, (version, state.renew_deadline)) if what == "held" else (),
        )
        if not what or tenure is None:
            self.do(SaveRuntime(version, None))
            return
        record = RuntimeRecord(
            boot_id=state.identity.boot_id,
            agent_pid=state.identity.agent_pid,
            state=what,
            epoch=tenure.epoch,
            instance=tenure.instance,
            seq=tenure.seq,
            heartbeat_revision=tenure.heartbeat_revision,
            leader_revision=tenure.leader_revision,
            lease=tenure.lease,
            valid_until=tenure.valid_until,
            stop_by=max(0, state.renew_deadline),
            resume_open=state.resume_open or (what == "held" and state.phase is Phase.ELECTED),
            process=state.process,
            cluster=state.seen.cluster,
            lists=tenure.support.lists,
            beyond=state.identity.timing.beyond,
        )
        self.do(SaveRuntime(version, record))

    def back_off(self) -> None:
        """Send no transaction for a while: one failed. At most for R, so that a confirmation is tried again in time."""
        state, most = self.state, self.state.identity.timing.renew
        pause = longer(state.pause, most, self.now - state.retry_at)
        self.set(pause=pause, retry_at=self.now + pause)

    def wake(self) -> Ms | None:
        """Return when the rules want to look again at the latest."""
        return min(self._wake, default=None)
