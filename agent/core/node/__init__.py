"""One agent as a whole: leadership, health, election, blocks and alerts, composed into one pure step.

state         what one agent knows and is, what it is told, and what it asks for
stage         a step under way, which its stages change
step          what the loop calls: the fold of stages, and leadership, the first of them
glance        the steps that only prolong what is there, and end with leadership
can_lead      whether it could lead if it had to
urgency       how many bad answers a leader waits for, by what they may cost its window
votes         whether nodeos has paused itself, which no change of leaders mends
level         whether its chain has what the last leader signed
ungoverned    whether somebody signs though nobody holds the heartbeat
sights        what members tell of their chains with beats and promises
eligibility   faults, plans and refusals, and so its standing as a candidate and as a leader
plan          what a leader does with its lead, and when
switchover    what it makes of a wish to hand over
first_blocks  whether a new leader really produces, as others see it
watch         ledger, history and tripwire over the blocks that come
hooks         when the operator's hooks are run
finalizer     when the command is run that makes its finalizer key the active one
notify        what all of it means for people
observe       what it would do while it only observes
reconfigure   settings that change while the agent runs
snapshot      what the loop's neighbours may look at
"""
