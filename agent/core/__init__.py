"""The theory of the product, and the pure core that carries it out.

Two nodeos that sign with one producer account fork the chain; none that signs loses rewards and standing. So:

    P1  at most one  In one group, no two nodes are ever allowed to produce at the same time.
    P2  someone      While etcd has a quorum and one node is healthy, a healthy node leads within a bounded time, and
                     the chain shows its blocks.
    P3  stability    A leader that is healthy and can confirm keeps its place. An etcd election, a restarted member of
                     etcd or a slow request costs no block.

P1 rests on three facts: write transactions of etcd are linearizable; the clocks of two hosts run at the same rate to
within 0.1 % (the time of day does not matter); a process that cannot be proven stopped can be killed. P1 does not rest
on leases that expire on time, keepalive answers, watches, or reads that are fresh. Each of these has been seen to fail
in real clusters: an etcd leader that is cut off answers keepalives for two election time-outs, a key may vanish 0.2 s
after an acknowledged keepalive (etcd 12528, 15247), a linearizable read was stale after a pause (etcd 20418).

**Time.** All spans are milliseconds of CLOCK_BOOTTIME, which goes on during a suspend. A moment counts for whoever
reads the same clock: what another boot left, or a time namespace that is set off, says nothing. `timing` holds them:

    E  validity  how long one confirmation allows production
    R  renew     pause between two confirmations
    V            the end of the present confirmation: when it was sent, plus E
    P  pause     how long nodeos may take to answer a pause
    B  block     how long nodeos may still sign the block in flight after a pause (Leap 4.1: 449 ms at most)
    K  kill      time to kill nodeos and see it gone
    G  slack     what scheduling may cost between two steps
    A  margin    P + max(B, K) + G: a stop begun at V - A is over by V. With a required gate: closing the gate + G.

The settings must satisfy E >= A + 2 elections of etcd + 2 R, or an ordinary election would cost the lead (P3).

**The leader.** A *tenure* is one stay in the lead; its number is the *epoch*. The key `heartbeat` holds it.

    R1   Confirm by writing. Every R, one transaction: if `leader` and `heartbeat` are unchanged since our last write,
         put `heartbeat` with seq + 1. A success that arrives before V - A sets V to the time before the request left,
         plus E. *Else:* counted from the answer, V would outlast what the others wait for.
    R2   An unknown outcome is asked about. A request that timed out may have been applied: the next transaction reads
         `heartbeat` back; if it carries our epoch, instance and a seq that we sent, V counts from when that seq left.
         *Else:* a lost answer would cost the lead, or an old write would be taken for a new one.
    R3   Stop in time: at V - A, at once when `leader` or `heartbeat` was changed by another hand, or when health or an
         operator says so. Pause nodeos; without an answer in P (or sooner, from one that was silent before) end the
         process. All is over by V, whatever hangs: an agent that wakes later finds what its guard has done, and has the
         time of a request for its pause, so that it ends no nodeos that is only slow. A tenure that has begun to stop
         never produces again, whatever answer comes late, and the run-time file says so before the release is sent.
         *Else:* a release still under way is applied after the node resumed (a search found it in 15 moves). A resume
         has a span of its own, but never beyond V - A.
    R4   Prove the stop. A pause keeps only the next block from starting, so it is proof B after its answer, and only
         if no resume is unanswered, for a call that timed out may still act, and if no other nodeos than the process
         that is known has answered: an address may lead elsewhere by now. A process seen gone is proof. A closed
         signing gate is proof if nodeos has no other way to a signature; where the gate is required nothing else is,
         because a pause says nothing about who asks the gate. *Else:* the block in flight is signed twice.
    R5   Release only what is proven stopped: if `heartbeat` is ours as last written, put it with state `released`, our
         head (it has the last own block) and the reason, and delete `leader` if it is ours. Without a proof nothing is
         released, and the others wait out E. *Else:* the successor signs beside the old leader.
    R6   `leader` hangs on a lease with a time to live above E. A lost lease loses the lead (the key vanishes, R1
         fails, R3 acts). A lease that is kept proves nothing.

**The candidate.**

    R7   Watch the heartbeat. `o` is the local time at which its present revision was first seen. After a restart, a
         lost watch or another store, first sight counts anew. *Else:* time that nobody watched would count as silence.
    R8   Take over only what is free: `heartbeat` is absent, or released, or stood still since `o` for its own validity
         times 1.001 (and `leader` is absent, names us, or belongs to the heartbeat that stood still). One transaction
         compares both keys with what was seen, and puts `leader` on our lease and `heartbeat` with epoch + 1. A leader
         with a required gate writes the validity E + B, because the gate lets it sign until V - G for slots up to B
         later. What cannot be read, or its holder did not write (a release that left its `leader` there; no greater
         seq, or less validity, with no peers named; another epoch beside the old `leader`, for a take-over puts both),
         or went with a lease, counts for no less than what stood there before: the holder may not know of it. *Why it
         is safe:* the old leader counts E from before a write that we saw only later; a confirmation that we did not
         see has changed the revision, and our transaction fails.
    R9   Then produce: resume once our head has the block that the release names, or where it names none (its nodeos was
         gone, or it was not released at all) the head that its holder told last by beats; or after a bounded wait, as
         long as V holds. A leader whose blocks do not appear on the others' chains steps down. *Else:* a node that is
         behind signs a height twice, or a node that cannot sign keeps the lead.
    R10  A `leader` that an operator puts by hand carries no lease. The old leader stops, proves and releases; the node
         that is named takes over by R8. If it does not within the nomination time, any candidate may. A value that
         names no member is a typing mistake, and one that an override or maintenance bars could not be followed: the
         leader puts its own name back, and says so. One that names the leader changes nothing.
    R11  The best candidate goes first: override, priority, health, head. Each rank waits a little longer, so that a
         race is the exception.
    R12  After a stop by request a leader leaves the seat to others for a fair time. *Else:* it would win it back.

**Peers**, where they are on: members promise not to take over, so that the validity need not outlast etcd's elections,
and etcd may be away. E_s is the short validity, which rests on the network between the members.

    R13  `heartbeat` may name `peers`: nodes, each with an id that its host keeps on its disk. Named none: validity E,
         and anybody may take over (R8). Else validity E_s, and while it is held only a named node, with that id, or the
         holder's own host may take it over, whatever stands in `leader`. What cannot be read, what its holder did not
         write, and a store that forgot leave that to whom the last heartbeat left it; at first sight to nobody, where
         the group has a key for datagrams. Members with peers off keep to all that. *Else:* a node that nobody
         asked for a promise takes over while others still promise.
    R14  Promise only to a beat that names this very process, only in standby, to the holder of the heartbeat as it is
         known, unless the operators' words name another leader; and only if no take-over of ours may yet be applied:
         the heartbeat has changed since the last one that we, or a process before us, may have sent. Who is not proven
         stopped, and so can neither lead nor free the seat, promises only if it is named, and promises alone hold the
         leader, as a heartbeat tells that stands still for longer than R17 lets it: no list can be changed then.
         Note, before the promise leaves, until when it binds: receipt + E_s * 1.001. A held heartbeat is taken over
         only after that and after R8's standstill. *Else:* one node promises and takes over at once.
    R15  Each own write that may stand bounds V: by its sending + its validity; or, if it names peers, by the sending of
         the oldest among the newest beats that each of them has promised for, + the E_s that it tells; whichever is
         later. V is the least of these bounds. May stand: the last write known to be applied, and each later one that
         is not known to have failed: one that asked for an absent `leader` may be applied when it is absent again. In
         `lease` promises count while our own lease may live, by our clock; in `failsafe` while etcd is away. *Else:*
         who may take over by a list that was not thought of has promised nothing.
    R16  A write with another list or validity (also after a restart with other settings) caps V from before it leaves,
         whatever comes of it, and the run-time file and the gate know the cap first. It is lifted when a later state of
         the heartbeat is known. Where a gate is required only since the restart, V counts B less until then, for the
         heartbeat of before makes nobody wait for what the gate signs ahead (R8). Before a planned restart the
         heartbeat names nobody, so that the next process has E to start in. *Else:* the guard of a frozen agent acts on
         a V that others do not wait for.
    R17  Keep the list. Name who is there and has promised for five beats; ask etcd at once when a promise is late by
         half a beat, or when our lease may not live for E_s, and in time for a second member of etcd; drop who has not
         promised for five beats, or reports no more: it has lost etcd, and could not take over. (Where our own lease
         has ended, too, all have a lease's time to report again: etcd may go once more.) While all promise, one
         confirmation in ten R is enough; what ages of a report (head, LIB) goes with beats and promises, and reports
         are seldom. P1 rests on nothing that is told so. Leave out a member beside which etcd's leader runs: its host
         would take promises and etcd away at once. A `leader` that went with our lease while promises held the lead is
         put anew on the next lease: `heartbeat` is ours still, so nobody took over. R17a: a named member that may take
         over but cannot lead, or sees an operator put one that is not named, takes the heartbeat and releases it, so
         that one that is not named can lead. *Else:* one lost host costs the lead, or nobody may take it.

**The first take-over, and a store that forgot.**

    R18  Nobody led yet: while `heartbeat` is absent, a standby does not take over as long as its chain shows blocks of
         our producer. No governed node signs them, so a nodeos without an agent does. It waits until one whole own
         window (3 s of a producer that is alone) has passed without such a block, on a chain that is level or stands
         still, or until an operator names a leader. Which window that is, or that there is none, tells the schedule of
         that very head. An operator who deletes `heartbeat` under agents that have seen one says that the old leader is
         dead: no wait.
    R19  Adoption: an agent that starts beside a nodeos that produces already, with `heartbeat` absent and no other
         claim, takes the lead without the first pause. It sends no resume, so it adds no signer. Nodeos
         produces when the heartbeat comes to stand, so the run-time file has the tenure before. In any doubt it pauses.
    R20  Know the store: by its cluster id and by revisions that go back. A store that lost its data, or was restored
         from a snapshot, is another one: forget what was seen, let E pass for a confirmation that may still count, then
         go on. An endpoint that tells another id is left alone until more than half of the endpoints tell it, for the
         cluster that was known may have a leader still. So is, until a restart, one whose list of members came down to
         half at once: a member that is forced to be a cluster of its own keeps id and revisions. Compare the value or
         the lease beside a revision, because a restored store gives revisions again. *Else:* an expected revision comes
         again, and a take-over succeeds beside a live leader (one slot signed twice). An agent that starts has nothing
         to compare with. A release that it finds is free at once only if its chain bears it out: a slot of ours has
         passed since, and there is no newer block of ours. Else it counts like a heartbeat that has stood still since
         first sight. *Else:* an old release is believed while the leader of after it, cut off from the restored store,
         still signs (5 slots signed twice). With peers whatever stands there at first sight is waited for as long as
         promises may count, a lease and E_s. And nothing that was not seen to change is taken before the chain shows no
         block of ours for one whole own window (as R18). *Else:* an agent that reads a copy of the store, or one that
         nobody else uses any more, takes over beside the leader of the group, and both sign each window.

**Operators.** An `override` that names a node lets it lead and nobody else; `none` lets nobody lead. `maintenance`
stops all changes; what safety asks for is still done, the leader that lost its confirmations may come back, and a
handover that has begun is ended. `del heartbeat` under a live leader is the only unsafe word.

**Start.** The shell looks first, for a bounded time: an agent whose nodeos is on another chain, belongs to another
producer or is another member's refuses, and touches nothing. Then the first act is an explicit pause, proven by R4.
Where the agent before led with another nodeos than ours (`nodeos.url` was changed) that one is stopped first, by what
the run-time file says of it: no pause of ours reaches it.
There are two exceptions: an adoption (R19), and a restart within a confirmation: when the run-time file is fresh and
nodeos is the same process, the agent goes on as the same leader, and R1 must succeed.

**Phases**, from the table in `transitions`:

    starting    -> standby     ready
    starting    -> campaigning adopt
    starting    -> leading     goes_on
    starting    -> stopping    restart_stop
    standby     -> campaigning campaign
    standby     -> stopping    late_answer
    campaigning -> standby     not_first, not_taken
    campaigning -> elected     elected
    campaigning -> stopping    elected_late
    elected     -> leading     leads, adopted
    elected     -> stopping    expiring, leader_changed, heartbeat_changed, override, switchover, unhealthy, barren,
                               frees, begins_anew, drained, failback, nodeos_gone, nodeos_restarted, resume_failed,
                               stopped_before, file_failed, shutdown
    leading     -> stopping    expiring, leader_changed, heartbeat_changed, override, switchover, unhealthy, barren,
                               frees, begins_anew, drained, failback, nodeos_gone, nodeos_restarted, resume_failed,
                               stopped_before, file_failed, shutdown
    stopping    -> releasing   proven
    releasing   -> standby     released, superseded

**Order of reading.** Each folder imports only those above it. No module does I/O, reads a clock, starts a thread or
logs. Nothing that stands in the store, no answer and no order of events raises.

    model/       what is said: by nodeos, in etcd, in the run-time file, by operators
    leadership/  the protocol: who may produce, and when it must have stopped
    health/      the checks, and how a check changes its result
    blocks/      which slots are ours, which have a block, and whose it is
    alerts/      what people are told, and when it is over
    election/    which nodes may lead, and which goes first
    node/        one agent as a whole, composed of these
"""
