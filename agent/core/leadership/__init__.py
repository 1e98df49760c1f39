"""The leadership protocol of one agent, rules R1 to R20: who may produce, and when it must have stopped.

timing       E, R, P, B, K, G, and the inequality between them
events       what can happen
actions      what is asked for
support      what a leader knows of its peers, and what a member has promised
state        what one agent knows
transitions  the phases as a table, each row with the reason that people read
step         one step while it is made: its state, its actions
peers        beats and promises: what a leader counts, and what a member promises
forgetting   a store that lost its data, or was restored
gate         the signing gate: when it is opened and closed
production   stopping nodeos, proving it, resuming it
tenure       keeping the lead, losing it, giving it back
campaign     taking over a free seat
adoption     beginning beside a nodeos that produces already
machine      all of them composed
"""
