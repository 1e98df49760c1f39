"""nodeos-failover: exactly one nodeos of a block producer signs; a healthy one takes over.

Each folder imports only what stands above it here (tests/test_layout.py), and this is also the order to read it in:

    errors      the tree of errors
    core/       what to do: events in, actions out; no I/O, no clock, no logging. It imports nothing but itself
    ports       what the agent needs of the outside world, as Protocols
    host/       this machine: clocks, processes, files, logs, systemd, the watchdog device
    net/        sockets that keep a deadline
    peers/      what agents tell each other beside etcd: datagrams, the group's key, the host's id
    group/      a group's keys as plain data: how it is, how far a handover has come, what happened
    etcd/       the store
    gate/       the process between nodeos and keosd that signs only while this node may lead; `client` asks it
    nodeos/     the node beside this agent
    config/     what an operator may set, with units, defaults and the timing inequality
    guard/      what stops nodeos when the agent cannot
    alerts/     sending alerts
    telemetry/  metrics, log lines, pages
    keepalived/ the method without etcd
    runtime/    the one loop that decides, and one thread for each thing that may hang
    app, run    builds the adapters and runs the loop; `run`, without the command line
    doctor/     what would bite later: facts gathered by thin adapters, and pure checks that look at them
    cli/, main  the command line

What is not the product stands in tests/; tests/lab starts real etcd and nodeos for tests, demo and benchmarks.
"""

__version__ = "0.1.0"
