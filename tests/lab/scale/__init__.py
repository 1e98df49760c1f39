"""Many groups on one etcd: what a confirmation costs, and what an election does to all leaders at once.

`make measure NAME=scale`. Two kinds of load, each in processes of its own:

- *agents*: two light agents a group. Real: the core as a whole (`agent.core.node.step.step`, with the default
  settings), the adapter's requests, answers, errors and channel options, leases, member reports, history, a watch an
  agent. Not: threads and HTTP (one event loop drives all), nodeos (SIMULATED), the run-time file, the guard. Shared: a
  connection among several agents (--share), where a real agent has three of its own.
- *wire*: the same requests as bytes, without a core: what the client costs is left away as far as Python lets it, so
  that the limit of the servers shows.
"""
