"""nodeos-failover: exactly one nodeos of a block producer signs; a healthy one takes over.

Read the package in this order, which is also the order of imports (each knows only what stands above it):

    errors      the tree of errors
    core/       what to do: events in, actions out; no I/O, no clock, no logging
    config      what an operator may set, with units, defaults and the timing inequality
    ports       what the agent needs of the outside world, as Protocols
    adapters/   the outside world: etcd, nodeos, the fence, the clock, alert channels, HTTP
    lanes, loop one thread for each thing that may hang, and the one loop that decides
    app, start  builds the adapters and runs the loop; `run`, without the command line
    gate/       the process between nodeos and keosd that signs only while this node may lead
    guard, supervision/      what stops nodeos when the agent can not, and what watches over the agent
    status, handover, past   how a group is, how far a handover has come, what happened: keys in, plain data out
    doctor/     what would bite later: facts gathered by thin adapters, and pure checks that look at them
    cli         the command line

`agent.lab` starts real etcd and nodeos processes on loopback for the demo, the tests and the benchmark.
"""

__version__ = "0.1.0"
