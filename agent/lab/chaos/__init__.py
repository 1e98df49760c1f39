"""Chaos: a real group under random faults, and a checker that reads what was really signed. Run it as `make chaos`.

`plan` draws faults as data from a seed; `world` is the group; `breaking_*` do and end each; `caretaker` stands in for
systemd and for the operator who copies a chain anew; `run` puts them together; `checker` judges the history, pure.

What no plan contains, because the product does not cover it (nobody is then left to stop nodeos in time):

- agent and guard of one host down together, frozen or dead, while its nodeos runs, for longer than their margin
  leaves time: a suspended virtual machine that wakes up, nodeos included, is such a host. Frozen together for up to
  JOINT_STALL seconds they are in the plan, as `host-stalled`; dead together with nodeos, as `host-lost`;
- `etcdctl del heartbeat` while a leader lives: that word says that somebody looked;
- a nodeos that nobody may end (fence.method = "none").

What a node signs between a start without --pause-on-startup and the moment in which its agent has paused it is
"not governed": no agent could have prevented it. The checker counts it apart.
"""
