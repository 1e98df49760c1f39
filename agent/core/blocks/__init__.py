"""Our blocks on the chain: which slots are ours, which have a block, and whose it is. None of them knows the node.

schedule   which slots are ours, as slots and as dates, and the gaps between our windows
follow     the blocks of our own chain, and which of them have to be read
sightings  which of our blocks each member's chain has
terms      who held the lead when, and what each end was due to
ledger     how many slots of each own window have a block, and what the others were lost to
history    what a change of leader goes down with
tripwire   blocks of our producer that none of us can have signed
"""
