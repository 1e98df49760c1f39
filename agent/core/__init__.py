"""The pure core: the same state, event and time always give the same new state and the same actions.

No module in here does I/O, reads a clock, starts a thread or logs. Time is an argument, in whole
milliseconds of CLOCK_BOOTTIME (`Ms`); it is rounded down, and every wait adds the millisecond back.

    model/       what is said: by nodeos, in etcd, in the run-time file, by operators
    leadership/  the protocol: who may produce, and when it must have stopped
    health/      the checks, and how one makes up its mind
    blocks/      which slots are ours, which have a block, and whose it is
    alerts/      what is worth telling people
    election/    who may lead, and who goes first
    node/        one agent as a whole, composed of these
"""
