"""The leadership protocol of one agent, rules R1 to R12: who may produce, and when it must have stopped.

timing       E, R, P, B, K, G, and the inequality between them
events       what can happen
actions      what is asked for
state        what one agent knows
transitions  the phases as a table, each row with the reason that people read
step         one step while it is made: its state, its actions
gate         the signing gate: when it is opened and closed
production   stopping nodeos, proving it, resuming it
tenure       keeping the lead, losing it, giving it back
campaign     taking over a free seat
machine      all of them composed
etcd_fit     whether an etcd can carry a timing
"""
