"""A simulated signing gate and its permit page, as plain data: what it lets pass, and what may be under way in it.

nodeos asks whenever it likes: whether it is paused, resumed late or lies about either does not matter here. A look at
the page and the moment at which a signature is out are two: what lies between lasts as long as the slack at most.
"""

from __future__ import annotations

from dataclasses import dataclass

from agent.core.model.copying import replace
from agent.core.model.store import Ms


@dataclass(frozen=True, slots=True)
class SignGate:
    """One gate. `until`: what the page says; 0: closed.

    torn       the page is read while it is written
    old_boot   the page was left by another boot of the host
    under_way  a request: `forwarded` to keosd, for any time; `leaving`: it was looked at for the last time at `since`
    honest     pauses are true: nodeos signs only while it is not paused. Else it may at any time
    keyed      nodeos has the key itself, and never asks
    """

    until: Ms = 0
    torn: bool = False
    old_boot: bool = False
    under_way: str = ""
    since: Ms = 0
    honest: bool = False
    keyed: bool = False

    def passes(self, now: Ms) -> bool:
        """Tell what a look at the page says."""
        if self.old_boot:
            return False
        until = self.until  # who finds it torn reads it again
        return now < until

    def may_sign(self, now: Ms) -> bool:
        """Whether a signature may come out now."""
        return self.keyed or self.under_way == "leaving" or self.passes(now)

    def opened(self, until: Ms) -> SignGate:
        """Write an open page."""
        return replace(self, until=until, torn=False, old_boot=False)

    def closed(self) -> SignGate:
        """Write a closed page."""
        return replace(self, until=0, torn=False, old_boot=False)

    @property
    def idle(self) -> bool:
        """Whether no request is under way: only then it says that it is closed."""
        return not self.under_way

    def asked(self) -> SignGate:
        """Hand a request on to keosd, which takes its time."""
        return replace(self, under_way="forwarded")

    def answered(self, now: Ms) -> SignGate:
        """Take keosd's answer, and look at the page again before it leaves."""
        return replace(self, under_way="leaving", since=now) if self.passes(now) else self.out()

    def out(self) -> SignGate:
        """Be done with the request."""
        return replace(self, under_way="", since=0)
