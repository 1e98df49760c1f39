"""The signing gate: a small process between nodeos and keosd that lets a signature pass only while a permit holds.

nodeos asks for the signature of each block; without one there is no block, whatever nodeos, a late resume or a dead
agent do. Standard library only (and `agent.errors`, `agent.core`): the process starts in a fifth of a second.

    page      the permit page: what the agent writes and the gate reads, byte by byte
    permit    the gate's side of the page: its lock, and whether it allows a signature now
    settings  what the gate needs of the configuration, read without the rest of it
    wire      requests and answers over HTTP/1.1, bounded, as data
    asker     connections of those who ask for signatures
    keosd     the other side: connections to keosd; wallet: the one that is unlocked there
    control   what was signed, refused, and how long it took, and the answers to the agent
    server    the one loop: nodeos, keosd and the control socket
    main      the command `nodeos-failover gate`

**Who writes what.** The agent alone writes the page, and its file belongs to the agent's user; the gate holds a lock
(flock) on it for its whole life, and signs by no page that it has not locked. The page says `open` until a moment of
CLOCK_BOOTTIME, or `closed` with a number that grows.

**When nothing can be signed any more.** The agent writes `closed`. From then on one of two things proves it:

1. The gate says so over its control socket. It is one thread: a request is checked for the last time and its answer
   handed to the kernel in one step that never blocks, and the question is answered in another. So when the gate has
   read the page as closed to answer, every signature that a former page allowed has left already, and every later
   check reads the closed page. What keosd is still busy with is refused when it comes back.
2. The agent takes the lock. Then no gate that signs by this page lives: the kernel lets go of the lock when the last
   thread of the gate is gone, and with it every call that it was in. A gate that starts later reads the closed page,
   so the agent need not keep the lock. When somebody deletes or replaces the page, the gate lets go of it and the
   agent makes it anew, but keeps the old file open and asks for its lock, too: a gate that was frozen in between may
   still hand out a signature that the old page allowed.

No answer proves nothing: a frozen gate keeps its lock.

**What it cannot do.** A signature that left belongs to a block whose slot may end up to a slot later, and nodeos may
take a moment to apply it: who takes over at once has to know (`Closed.quiet_since` of agent.ports). And a host that is
frozen as a whole in the microseconds between the last check and the hand-over to the kernel, for longer than the
permit, lets that one signature pass when it thaws; a gate that is frozen alone does not, for nodeos waits no longer.
"""
