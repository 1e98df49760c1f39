"""What an operator may set: one TOML file, environment variables over it, secrets from files.

A variable is named NODEOS_FAILOVER_ and the path of the setting in capitals, with two underscores for each dot:
NODEOS_FAILOVER_NODEOS__URL sets nodeos.url. Lists are JSON, or words with commas between them.

    setting   what a setting is, and what is wrong with one
    section   the reader: what a table is, strict types, every fault at once
    base      types of values, with units and bounds
    sections  nodeos, etcd, fence, election, log, runtime
    gate      what signs only while this node may lead, and what that process itself reads
    hooks     what is run when this node is promoted or demoted
    finalizer the BLS key of this host
    http      where the agent answers, and to whom
    timing    the spans of the protocol, in seconds
    health    one subtable for each check
    model     all of them composed
    secrets   secrets from files and systemd credentials, and who may read those
    environment  what variables set, as tables
    load      file and environment in, a Config or every problem at once out
    operator  the part that a command of an operator needs
    explain   faults in words: field, remedy, and what was probably meant
    show      effective values with secrets masked, as TOML, JSON or a schema

Everything is checked when it is loaded, files included; a Config that exists is usable and never changes.
"""
