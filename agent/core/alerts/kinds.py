"""Every alert as a row of one table: severity, dedup key, when it is told, what resolves it, what to do.

The rules read it, and the documentation is made from it.
"""

from __future__ import annotations

from dataclasses import dataclass

from agent.core.model.store import Ms

NO_LEADER_AFTER: Ms = 30_000
ETCD_AFTER: Ms = 5_000
BUSY_AFTER: Ms = 5_000
KEY_AFTER: Ms = 10_000
"""A key is made active in two or three seconds, and without it nodeos pauses itself after six."""
AWAY_AFTER: Ms = 60_000
"""In failsafe nothing ends the lead of a leader whose etcd is away: after so long that is critical."""
STANDBY_AFTER: Ms = 10_000
"""A standby that is missing or unhealthy for less is one that restarts."""
WORDS_AFTER: Ms = 3_600_000
"""An override or a maintenance that lasts an hour was perhaps forgotten."""
HOLD: Ms = 300_000
"""What is over at once, and may come again, stays open so long after the last time."""
_STATUS = "nodeos-failover status shows the members, and why none may lead."


@dataclass(frozen=True, slots=True)
class Kind:
    """One row. `after` and `hold` are milliseconds; `over` is empty for what happens and leaves nothing open.

    scope  what the dedup key names beside the event: `epoch` and `group` are told once for the group, `node` by each
           agent for itself, `value` for each key in etcd
    """

    event: str
    severity: str
    scope: str
    told: str
    over: str
    do: str
    after: Ms = 0
    hold: Ms = 0

    def key(self, group: str, what: str = "") -> str:
        """Return the dedup key. `what` is the node, the epoch, or the key in etcd, as the scope says."""
        if self.scope == "value":
            return f"{self.event}/{what}"
        return f"{self.event}/{group}" if self.scope == "group" else f"{self.event}/{group}/{what}"

    @property
    def whole_group(self) -> bool:
        """Whether it says something about the group, and not about one agent or its node."""
        return self.scope in ("group", "value")


_STOPPED = "nodeos is proven stopped"
_ROWS = (
    Kind("failover", "info", "epoch", "a node begins to lead; at most 10 s later, to tell the slots missed", "", ""),
    Kind("leader_leaves", "info", "epoch", "a leader stops because somebody asked it to", "", ""),
    Kind(
        "leader_stops",
        "warning",
        "epoch",
        "a leader has to stop",
        "somebody leads again",
        "See the reason; the node that stopped needs mending before it is a standby again.",
    ),
    Kind(
        "leader_in_vain",
        "critical",
        "epoch",
        "a leader steps down, for none of its last slots came to anybody's chain",
        "somebody leads again",
        "Look at the key, the wallet, the chain and the peers of the nodeos that stopped: no block of it appeared.",
    ),
    Kind(
        "in_vain",
        "critical",
        "node",
        "none of a leader's last slots came to anybody's chain, and nobody is there to hand over to: it begins anew",
        "it did not come again for 5 min",
        "Look at the key, the wallet, the chain and the peers of this nodeos; bring another node back.",
        hold=HOLD,
    ),
    Kind(
        "switchover_refused",
        "warning",
        "node",
        "a wish to hand over was refused",
        "",
        "Mend what the reason names, or ask again with force.",
    ),
    Kind(
        "switchover_void",
        "warning",
        "node",
        "the leader changed otherwise while a wish to hand over was waiting",
        "",
        "Ask again if it is still wanted.",
    ),
    Kind(
        "leader_ignored",
        "warning",
        "node",
        "the key leader was put by hand for a node that cannot take it; the leader put its own name back",
        "",
        "End override and maintenance, and name a node whose agent runs: nodeos-failover switchover --to NODE.",
    ),
    Kind("no_leader", "critical", "group", "nobody is confirmed for 30 s", "somebody leads", _STATUS, NO_LEADER_AFTER),
    Kind(
        "unhealthy",
        "critical",
        "node",
        "a check fails: of the leader at once, of a standby for 10 s as a warning",
        "every check passes",
        "Mend what the reason names.",
        STANDBY_AFTER,
    ),
    Kind(
        "fence_failed",
        "critical",
        "node",
        "nodeos could not be ended",
        _STOPPED,
        "Stop nodeos by hand now; until then two nodes may produce.",
    ),
    Kind(
        "unpaused",
        "critical",
        "node",
        "nodeos produces though its node does not lead",
        f"{_STOPPED}, and it did not come again for 5 min",
        "Find out who resumed it; set pause-on-startup = true in config.ini.",
        hold=HOLD,
    ),
    Kind(
        "pause_failed",
        "critical",
        "node",
        "nodeos did not answer a pause, and is ended",
        f"{_STOPPED}, and it did not come again for 5 min",
        "nodeos is being stopped; see why it did not answer, then start it with a replay.",
        hold=HOLD,
    ),
    Kind(
        "pause_refused",
        "critical",
        "node",
        "nodeos knows no pause",
        _STOPPED,
        "Load eosio::producer_api_plugin and let the agent reach it.",
    ),
    Kind(
        "gate_failed",
        "warning",
        "node",
        "the signing gate was not proven to be closed, so this node stops the slow way",
        "it is proven closed, or signs for this node again",
        "Look at the service of the gate; a node that requires it does not lead without it.",
        hold=HOLD,
    ),
    Kind(
        "stray_block",
        "critical",
        "node",
        "a block of our producer that no governed node can have signed",
        "none came for 5 min",
        "Find the second nodeos that has the producer's key and is not paused, and stop it: it forks the chain.",
        hold=HOLD,
    ),
    Kind(
        "stranger",
        "critical",
        "node",
        "a member of the group has another producer, another chain, or the nodeos of another member",
        "no such member reported for 5 min",
        "Correct the configuration that is wrong; until then that member counts for nothing.",
        hold=HOLD,
    ),
    Kind(
        "store_forgot",
        "warning",
        "node",
        "etcd is not the store that it was: its id changed, or its revisions went back",
        "it did not happen again for 5 min",
        "Nothing to do if etcd was restored or set up anew; else see that all endpoints belong to one cluster.",
        hold=HOLD,
    ),
    Kind(
        "hook_failed",
        "warning",
        "node",
        "a hook failed, or was killed at its deadline",
        "none failed for 5 min",
        "See the log for what it said; do by hand what it should have done (actfinkey).",
        hold=HOLD,
    ),
    Kind(
        "finalizer_key_not_active",
        "critical",
        "node",
        "for 10 s a node leads whose BLS key is not the active one of its account",
        "its key is active, or it does not lead any more",
        "Push actfinkey (or setfinalizer) for this node's key by hand; see the log for why the command failed.",
        KEY_AFTER,
    ),
    Kind(
        "finalizer_key_here",
        "warning",
        "node",
        "work is planned on a node that has the active BLS key though it does not lead",
        "it was not seen for 5 min",
        "Make the leader's key the active one first: without these votes its nodeos pauses itself after 6 s.",
        hold=HOLD,
    ),
    Kind(
        "main_thread_busy",
        "warning",
        "node",
        "for 5 s the leader's nodeos answers get_info only, while its process works: a snapshot, perhaps",
        "its main thread answers again, or it does not lead any more",
        "Make snapshots on a standby, or after a switchover: before its window the leader hands over, and ends nodeos.",
        BUSY_AFTER,
    ),
    Kind(
        "votes_missing",
        "critical",
        "node",
        "the leader's nodeos has paused itself for want of votes, which another leader would do, too",
        "the votes come again, or another node leads",
        "See whose votes are missing (get_finalizer_info): bring those finalizers, or the way to them, back.",
    ),
    Kind(
        "file_failed",
        "critical",
        "node",
        "the run-time file cannot be written",
        "it is written again",
        "Make the run-time directory writable; this node does not lead without it.",
    ),
    Kind(
        "etcd_down",
        "warning",
        "node",
        "etcd does not answer this agent, or lets it not read the group, for 5 s",
        "etcd answers",
        "Look at etcd, and at what the agent's user may read there.",
        ETCD_AFTER,
    ),
    Kind(
        "etcd_away",
        "critical",
        "node",
        "peers alone keep this leader, for etcd does not answer it (critical: for 1 min in failsafe; else a warning)",
        "etcd answers, or this node does not lead any more",
        "Mend etcd: nobody can take over without it, and operators are not heard.",
    ),
    Kind(
        "no_standby",
        "warning",
        "group",
        "the leader has no healthy standby for 10 s",
        "there is one, or this node does not lead any more",
        _STATUS,
        STANDBY_AFTER,
    ),
    Kind(
        "override_long",
        "warning",
        "group",
        "an override is on for an hour",
        "the override ends",
        "etcdctl del the key override when it is not needed any more.",
        WORDS_AFTER,
    ),
    Kind(
        "maintenance_long",
        "warning",
        "group",
        "a maintenance is on for an hour",
        "the maintenance ends",
        "etcdctl del the key maintenance when it is over.",
        WORDS_AFTER,
    ),
    Kind(
        "unreadable",
        "warning",
        "value",
        "a key in etcd cannot be read; at most 5 at a time",
        "it can be read, or is gone",
        "Put a right value, or delete the key.",
    ),
)
KINDS = {row.event: row for row in _ROWS}
