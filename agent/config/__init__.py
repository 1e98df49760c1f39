"""What an operator may set: one TOML file, environment variables over it, secrets from files.

A variable is named NODEOS_FAILOVER_ and the path of the setting in capitals, with two underscores for each dot:
NODEOS_FAILOVER_NODEOS__URL sets nodeos.url. Lists are JSON, or words with commas between them.

    base      the section that others build on, and types with units and bounds
    sections  nodeos, etcd, fence, election, log, runtime
    gate      what signs only while this node may lead
    hooks     what is run when this node is promoted or demoted
    finalizer the BLS key of this host
    http      where the agent answers, and to whom
    timing    the spans of the protocol, in seconds
    health    one subtable for each check
    model     all of them composed
    secrets   secrets from files and systemd credentials, and who may read those
    environment  what variables set, as tables
    load      file and environment in, a Config or every problem at once out
    explain   foreign validation errors in words: field, fault, remedy, and what was probably meant
    show      effective values with secrets masked, as TOML, JSON or a schema

Everything is checked when it is loaded, files included; a Config that exists is usable and never changes.
"""
