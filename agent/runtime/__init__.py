"""What runs the core: one loop that decides, and one thread for each thing that may hang.

loop      takes events, steps the core, hands out its actions; it waits for nothing else
lanes     one thread for each thing that may hang
effects   each kind of action has its lane
calls     actions as calls to the adapters, and their outcomes as events
probes    looks at nodeos and its host, again and again
peering   what the members tell each other beside etcd, and where etcd's own leader runs
session   the lease, the member key and the history in etcd
hooks     runs the operator's programs
liveness  the sign of life of the loop
reload    reads the configuration again
"""
