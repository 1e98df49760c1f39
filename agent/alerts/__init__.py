"""Sending alerts: one bounded queue and one thread a channel, so that no channel holds up the loop or another.

dispatcher  what hands a notice to every channel
queue       what waits for one channel: bounded, the newest word for each key, the worst first
worker      one channel's thread: tries, waits, gives up
memory      what survives a restart: open alerts, and what channels have not been told yet
dead_man    a ping at intervals while all is well
text        a notice in the words of each kind of channel
sinks/      the channels themselves
build       from a configuration to a dispatcher
trial       one notice to each channel, for `alerts test`
"""
