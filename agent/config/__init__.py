"""What an operator may set: one TOML file, environment variables over it, secrets from files.

A variable is named NODEOS_FAILOVER_ and the path of the setting in capitals, with two underscores for each dot:
NODEOS_FAILOVER_NODEOS__URL sets nodeos.url. Lists are JSON, or words with commas between them.

    section   the reader: what a setting and a table are, strict types, every fault at once
    base      types of values, with units and bounds
    sections  nodeos, etcd, fence, hooks, finalizer, http, log, runtime
    protocol  timing, peers, watchdog, election, urgency
    gate      what signs only while this node may lead, and what that process itself reads
    health    one subtable for each check
    alerts    one channel
    model     all of them composed
    secrets   secrets from files and systemd credentials, and who may read those
    load      file and environment in, a Config, or a part of one, or every problem at once out
    explain   faults in words: field, remedy, and what was probably meant
    show      effective values with secrets masked, as TOML, JSON or a schema
    shared    what an agent tells the others of its configuration

Everything is checked when it is loaded, files included; a Config that exists is usable and never changes.
"""
