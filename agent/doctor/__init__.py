"""`doctor`: everything about a node, its etcd and its group that would bite later, each with a remedy.

finding      what one check says
facts        what was gathered, as data
checks_*     the checks: pure functions from facts to findings
gather_*     thin adapters: they ask within a deadline, and change nothing that stays
examine      gathers everything side by side, and has every check look at it
text         the table

Gathering changes nothing that stays: it reads, asks for a lease that it gives back, and sends transactions whose
comparison can never hold, because etcd looks at permissions first.
"""
