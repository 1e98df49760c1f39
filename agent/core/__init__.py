"""The pure core: the same state, event and time always give the same new state and the same actions.

No module in here does I/O, reads a clock, starts a thread or logs. Time is an argument, in whole
milliseconds of CLOCK_BOOTTIME (`Ms`); it is rounded down, and every wait adds the millisecond back.

    store       keys, values and transactions, as data
    chain       what nodeos and its host report, as data
    fields      single JSON fields, strict and bounded
    keys        the names of a group's keys
    words       what operators say by keys, read strictly
    records     the JSON that stands in etcd and in the run-time file, read strictly
    slots       slots, rounds and schedules
    turns       windows of our producer, and the gaps between them
    timing      E, R, P, B, K, G, and the inequality between them
    leadership  the protocol, its rules R1 to R20: who may produce, and when it must have stopped
    adoption    taking the lead with a nodeos that produces already
    transitions its phases as a table, each row with the reason that people read
    judging     how one check makes up its mind: rise and fall
    health      the checks, with thresholds
    election    who goes first
    policy      what operators set about who leads and when
    flapping    who fails again and again goes last
    witness     whether a new leader really produces, as others see it
    wishes      what a leader makes of a wish to hand over
    planning    what it does with the lead, and when
    judgement   all of that made up into one mind
    windows     whose slots are ours
    following   the blocks of our own chain, and which of them have to be read
    ungoverned  whether a nodeos without an agent signs while nobody has led
    belonging   whether members can serve one group
    claims      which of our blocks each member's chain has
    reigns      who held the lead when, and what each end was due to
    ledger      how many slots of each own window have a block, and what the others were lost to
    history     what a change of leader goes down with
    book        what stands in etcd of the past: history and ledger
    tripwire    blocks of our producer that none of us can have signed
    watching    these composed
    hooks       the operator's hooks, as data
    hooking     when they are run, and what is told of them
    alerting    what is worth telling somebody
    whole       what one agent knows and is
    telling     what that means for people
    node        all of them composed: one step of one agent
"""
