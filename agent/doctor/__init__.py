"""`doctor`: everything about a node, its etcd and its group that would bite later, each with a remedy.

finding   what one check says, and the table of all
examine   gathers everything side by side, and has every check look at it

Each subject has a module: `gather` asks within a deadline and gives facts, `check` goes from facts to findings and is
pure. A fact that could not be had is None, and its error says why; no secret stands in one. What is asked of nodeos and
etcd is long, and stands apart in gather_nodeos and gather_etcd.

Gathering changes nothing that stays: it reads, asks for a lease that it gives back, and sends transactions whose
comparison can never hold, because etcd looks at permissions first.
"""
