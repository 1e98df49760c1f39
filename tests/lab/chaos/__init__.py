"""Chaos: a real group under random faults, and a checker that reads what was really signed. Run it as `make chaos`.

`kinds` says which faults there are, `plan` draws them as data from a seed; `world` is the group, `hosts` and `links`
its joints; `breaking_*` do and end each fault; `caretaker` stands in for systemd and for the operator who copies a
chain anew; `run` puts them together; `checker` judges the history, and `late` what was signed too late, both pure.

What no plan contains without `--gate`, because the product does not cover it (nobody is then left to stop nodeos in
time):

- agent and guard of one host down together, frozen or dead, while its nodeos runs, for longer than their margin
  leaves time: a suspended virtual machine that wakes up, nodeos included, is such a host. Frozen together for up to
  JOINT_STALL seconds they are in the plan, as `host-stalled`; dead together with nodeos, as `host-lost`;
- `etcdctl del heartbeat` while a leader lives: that word says that somebody looked;
- a nodeos that nobody may end (fence.method = "none").

Agents confirm each other by datagrams, as they do by default: etcd loses its quorum for up to three minutes, with and
without a lost host; and where hosts have networks of their own, datagrams are cut one way, lost, doubled, replayed and
forged by one who reads them all, and a peer freezes in the moment of its promise. `--failsafe`: promises count without
end while etcd is away.

What a node signs between a start without --pause-on-startup, or a resume by hand, and the moment in which its agent
has paused it is "not governed": no agent could have prevented it. What it signs while its own wall clock is wrong is
dated wrongly. The checker counts both apart.

With `--gate` nodes sign through gates that are required, each with a keosd of its own, and the plan has all of that but
the word: parts of a host frozen and dead together for up to 3 E, and a nodeos that nobody ends and whose pause lies (a
proxy of the lab swallows it). Nobody is excused by not being governed then, and nothing may be signed after another one
was elected. A wrong wall clock of nodeos still dates its blocks wrongly: the gate knows no slots.

Each host (an agent with guard and nodeos; a member of etcd; the observer, where the operator's etcdctl runs too) has a
network namespace of its own where that is allowed, which takes root; else all share the loopback, and links are
proxies. The report says which.
"""
