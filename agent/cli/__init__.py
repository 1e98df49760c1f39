"""The command line, `nodeos-failover`. Commands only read arguments, call one thing and print; nothing is decided here.

main        the group of commands, those with one line of work, and where errors become exit codes
options     what several commands share, how they print; target: which group is meant, and as whom etcd is asked
local       config, doctor, alerts test, reload, completion, and what agent.main starts without this package
config_init, keepalived  the commands of these names
status      how the group is, and the same in one line (check); history: how it was
look        looking at a group until its leader is seen to live
changes     what stands against an operator's word, what it puts into etcd, and what became of it: pure
operator    carrying such words out, and noting who did it
"""
