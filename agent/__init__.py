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

DISTRIBUTION = "nodeos-failover"
"""Whose `agent` this is: `nodeos_failover.py` looks for it before anything of it runs."""


def __getattr__(name: str) -> str:
    """Return `__version__` of the installed package (which has it from the tag) once it is asked for."""
    if name != "__version__":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import os
    import sys

    found, begin = "0+unknown", f"{DISTRIBUTION.replace('-', '_')}-"  # the sources alone, not installed
    for place in sys.path:  # importlib.metadata would take a tenth of an agent's start to find the same
        try:
            files = os.listdir(place or ".")  # noqa: PTH208 - pathlib is slow to import, too
        except OSError:
            continue
        if named := [each for each in files if each.startswith(begin) and each.endswith(".dist-info")]:
            found = named[0].removeprefix(begin).removesuffix(".dist-info")
            break
    globals()[name] = found  # an upgrade beneath a process that runs does not change what it is
    return found
