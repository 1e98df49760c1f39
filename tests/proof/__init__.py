"""The exhaustive search of the real leadership core: what it assumes, what it tries, what it promises.

**What is searched.** `agent.core.leadership.machine.step` itself, as it is in the product, once for each agent; around
it a world of plain data (tests/proof/world.py): one linearizable store, a nodeos, a run-time file and a guard for each
agent, an operator, and time in whole ticks (E 10, A 3, R 1). A search begins where one agent leads and all is quiet. It
sees all worlds that no fault leads to, then all that one fault leads to, then two, until all are seen or its bound is
reached.

**What is promised**, in every world: no two nodeos may sign (P1); nobody releases while its own nodeos may still sign
(R5); epochs only grow (R8); the core comes upon no defect of its own. Where faults end, somebody produces within
`liveness.bound`, on every course (P2). Where nothing is wrong, or messages are late, the leader stays (P3).

**Faults, each at any moment.**

| fault | in the search |
| --- | --- |
| messages lost, late, reordered | a request or its answer is slow; news is late; a host is cut off for any time |
| applied, but timed out | an answer that comes too late is none; what was given up may be applied at any later time |
| keepalives that lie | an agent hears that its lease is gone whenever it may, or never |
| leases early, late, never; `revoke` | a lease that is alive may end at any moment, and need not |
| stalls | an agent or a nodeos freezes for any time; without a guard, an agent for as long as the slack G |
| pause hangs, is refused, acts late | it is answered late or never, and acts at any moment from then on |
| pause lies | the agent reads `paused` back, so a lie of the pause is a refusal; a lie of both is not covered |
| resume acts late | as above; also one that the agent before had sent |
| nodeos restarts | it dies at any moment, starts paused; or, as a fault of its configuration, unpaused |
| `put`, `del`, `revoke` | `leader`: each name, nobody's, garbage, gone; `heartbeat`: garbage, as `released` |
| | `heartbeat`: gone if its holder is dead |
| | `override`, `maintenance`, `switchover`: put, gone; each lease: ended |
| etcd forgets | its data is lost, or a snapshot of any moment restored; with a new id, or the old one. Only where a |
| | search names it (`runs.FORGETTING`, `FORGETTING_PEERS`): it makes worlds many. With peers an agent that |
| | starts then sees the blocks of a leader that the store forgot, and holds back (R18) |
| clocks that run apart | a fault makes one host's clock lose a tick: 1 in 12, far above 0.1 % |
| the run-time file | slow, or not written |
| agents die, are asked to end, are unhealthy, begin anew | at any moment |

**What is assumed.** Transactions are linearizable. SIGKILL ends a process. The guard acts within G of its time. A
resume is not sent after its moment. What signs because it was started unpaused is that fault's, until an agent resumes
it. Not tried: a hook that holds a resume up. Not covered: agent, guard and nodeos frozen together; a `paused` that
lies; `del heartbeat` while its holder lives. A store that forgets drops what was given up before; it keeps its id only
where every agent that runs has seen a revision above the one that it goes back to, and none starts afresh then: such a
loss cannot be told from silence (restore with a new cluster token). Where a snapshot that says `released` is restored
under agents that start (`runs.RESTORING`), the chain shows who has led since, as long as it may sign or is about to be
resumed: a restore takes longer than a first block.

**With peers** (R13 to R17; `--peers`). Each beat and each promise is a letter: it is lost, late (it comes at any time,
or never), or comes twice; a host hears no peers, one way, for any time; etcd is away from all at once; etcd's leader
moves beside the peers, so that the list changes; an agent is replaced by its next process. E 8, E_s 5, A 3; promises
count without a lease (`failsafe`), which allows more than `lease`. A host that reads none of its letters keeps the
newest two of each leader. A letter may be read long after it came. A lease ends in etcd, or is found gone; by an
agent's own clock it may live for ever. Where a search asks for it, a member has its peers switched off, or a snapshot
of before the list is restored while leader and peer are cut off. Not tried: `lease`, where promises end with the lease.

**How a group begins** (`installing`). Other worlds begin with nodeos that produce already, and no agent: these start in
any order, at any time. A nodeos that signs so counts for nobody until an agent takes the lead with it (P1 from then
on). Promised as well: nobody takes an absent heartbeat while the chain shows such blocks (R18, but for the words of
operators); without a fault a single producer is adopted and never paused, and in doubt nodeos is paused at once (R19).

**With a signing gate** (`--gate`; `gate.py`). P1 is about signatures that leave the gate, so these
worlds do without much of that: nodeos asks for a signature whenever it likes, so pauses and `paused` may lie or hang
for ever, resumes come late or by hand, and it may be started unpaused; nothing can be killed; no guard and no
supervisor stands by; an agent freezes or is dead for any time, beyond V too. New faults: keosd is slow, the page is
read while it is written, the closing is not proven or not even written, the whole host starts anew, its page left on
a disk. What is assumed instead: the gate reads its host's clock; from its last look at the page to the end of the
signature it takes G at most; nodeos has no other way to a signature. `--gate on` and `--gate key` have the
assumptions from above, and a gate that is on; in `key` nodeos does not use it.

**Short cuts**, and why they lose nothing:

- *Canonical forms.* The core compares times with now and numbers with each other, so worlds that differ by a shift of
  the clock, or by the size of revisions, are one. `test_canon.py` walks at random, without any of it, and holds every
  step against the canonical one; a field that is new in the core fails there until it is named in `fields.py`.
- *Names.* Nodes of one rank can be exchanged: nothing that moves or is promised names one. Also held against walks.
- *Fewest faults first.* Whoever has more faults left can do all that one with fewer can: a world is searched once.
- *Fingerprints* of 60 bits stand for worlds that were seen: two of ten million share one with a chance of 1 in 10,000.

And two that are bounds, not proofs: *eager*, in the quick searches, has a host answer its own agent before anything
else happens in the world, unless a fault lets it wait (`make proof` does without); and with two faults or more, of the
transactions that one node has given up the newest three alone may still be applied.
"""
