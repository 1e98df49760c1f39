"""One agent as a whole: leadership, health, election, blocks and alerts, composed into one pure step.

state         what one agent knows and is
step          what the loop calls, and all that it calls
eligibility   faults, plans and refusals made up into one mind
plan          what a leader does with its lead, and when
switchover    what it makes of a wish to hand over
first_blocks  whether a new leader really produces, as others see it
watch         ledger, history and tripwire over the blocks that come
hooks         when the operator's hooks are run (`hook_log`: as data)
notify        what all of it means for people
reconfigure   settings that change while the agent runs
"""
