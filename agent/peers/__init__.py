"""What the agents of a group tell each other beside etcd: beats and promises, one datagram each way (R13 to R17).

wire     a datagram, byte by byte, with its MAC
key      the group's key, as it stands in etcd
address  where this agent listens, and what address the others are told
host_id  an id that this host made once and keeps on disk (R13)
lane     one socket, one thread that waits: what is sent, what is received, what is dropped and why

Nothing here is decided: what a beat or a promise is worth stands in `agent.core.leadership.peers`. A datagram that is
lost, late, repeated or forged costs nothing but itself.
"""
