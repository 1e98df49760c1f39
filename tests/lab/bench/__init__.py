"""The failover benchmark: real nodeos, real etcd, one fault after another, and what each cost. Run it as `make bench`.

For every run it reads from the blocks that the nodes really signed: the slots that the observer's chain misses, the
seconds from the fault to the successor's first block, and the slots that were signed twice. Several methods take turns
in one lab: our agent, with signing gates, and keepalived with a plain script.
"""

from __future__ import annotations

AFTER = 6
"""Blocks to wait for after a fault before slots are counted: what comes late has come by then."""
PHASE_S = 1.0
"""A fault comes at a random moment within two slots: right after a block, where settling ends, is no fair moment."""
