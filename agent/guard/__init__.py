"""What stops nodeos when the agent cannot: no agent must mean no production.

    guard   the process beside each agent; it is started as `python -m agent.guard`
    stop    what a run-time file says about stopping nodeos, and stopping it (R3, R4): the one implementation of it
    plan    how nodeos is found, paused and ended, from the configuration
    spawn   starting the guard, and seeing that it lives
    fence   `nodeos-failover fence --local`: once, for a supervisor whose agent ended, and for a worried operator
    parent  `nodeos-failover guard -- run …`: a parent process for where there is no systemd

All but `plan` start fast and need nothing but the standard library: no configuration, no etcd.
"""
