"""No agent must mean no production: what watches over the agent, and what stops nodeos when there is none.

means    what a run-time file says about stopping nodeos, and stopping it (R3, R4): the one implementation of it
voice    words to standard error that never wait for a reader
where    finding the run-time file from the configuration without reading all of that
fence    `nodeos-failover fence --local`: once, for a supervisor whose agent ended, and for a worried operator
parent   `nodeos-failover guard -- run …`: a parent process for where there is no systemd
notify   what systemd is told (sd_notify)
device   /dev/watchdog, for a host whose kernel hangs
pulse    the sign of life that each completed step of the loop gives to all of these
reload   reading the configuration again
local_check, keepalived, keepalived_metrics   the method without etcd: `check --local`, `keepalived-notify`

`agent.guard`, the process beside each agent, is made of the same parts. The first five start fast and need nothing but
the standard library: no configuration, no etcd.
"""
