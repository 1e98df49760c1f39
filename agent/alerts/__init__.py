"""Sending alerts: one bounded queue and one thread a channel, so that no channel holds up the loop or another.

dispatcher  what hands a notice to every channel, pings while all is well, and how it is made of a configuration
worker      one channel: what waits for it (bounded, the worst first), and its thread: tries, waits, gives up
memory      what survives a restart: open alerts, and what channels have not been told yet
text        a notice in the words of each kind of channel
sinks       the channels themselves, and one notice to one of them, for `alerts test`
external    everything that apprise knows, in a process of its own
"""
