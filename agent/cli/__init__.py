"""The command line, `nodeos-failover`. Commands only read arguments, call one thing and print; nothing is decided here.

main         the group of commands, those with one line of work, and where errors become exit codes
options      what several commands share; target: which group is meant; output: how it is printed
config       validate, show, schema
fence        fence and guard, which agent.main starts without this package
status       how the group is; history: how it was; check: the same in one line; doctor: what would bite later
switchover   switchover and failover; operator: override, maintenance, drain
candidates, changes  what stands against a word, and what it puts into etcd: pure
look, act, result    looking first, carrying out and noting who did it, following it to its end
alerts, completion   the rest
"""
