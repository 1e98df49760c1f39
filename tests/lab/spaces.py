"""Network namespaces, one a host, and a router between them that loses packets on demand. Only networks live here.

A namespace lives as long as the process that holds it, and that dies with the lab: nothing is left behind, however the
lab ends. Nothing outside these namespaces is touched, and no address in them can be reached from outside.

A cut is a rule of the router, for packets from one host to another: it drops them and tells nobody. So one way alone
can be cut, and connections live through it, as through the loss of a cable. Delay and loss of packets are made by the
lab (`PacketDelay`), on a device of the router that such packets pass: netem is missing in many kernels.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from tests.lab.errors import LabTimeout, LabUnavailable
from tests.lab.packets import PacketDelay, Tap, open_tun
from tests.lab.places import OWN, Place
from tests.lab.process import Process, run
from tests.lab.wait import until

NET = "10.87"
SLOW = "slow"
TABLE = "100"
TOOLS = ("ip", "unshare", "nsenter")
LIMIT = 10.0
CUT, BACK, DELAYED = "10", "20", "30"
"""Preferences of the router's rules: the lower goes first."""
UDP = ("ipproto", "udp")
"""A selector: of what one host sends to another, datagrams alone."""


def spaces_for(root: Path, names: Sequence[str], closing: ExitStack) -> tuple[Spaces | None, str]:
    """Return the hosts `names`, which end with `closing`; without namespaces, why there are none."""
    try:
        spaces = Spaces(root, names)
    except LabUnavailable as error:
        return None, str(error)
    closing.callback(spaces.close)
    return spaces, ""


class Spaces:
    """The hosts `names` and the router between them. LabUnavailable where namespaces are not allowed."""

    def __init__(self, root: Path, names: Sequence[str]) -> None:
        missing = [tool for tool in TOOLS if shutil.which(tool) is None]
        if missing or os.geteuid():
            raise LabUnavailable(f"no network namespaces: {'no ' + missing[0] if missing else 'not root'}")
        self._closing = ExitStack()
        self._rules: set[tuple[str, ...]] = set()
        root.mkdir(parents=True, exist_ok=True)
        try:
            self._router = self._make(root, "router", f"{NET}.0.1")
            self.places = {name: self._make(root, name, f"{NET}.{at}.2") for at, name in enumerate(names, 1)}
            with self._router.inside():
                Path("/proc/sys/net/ipv4/ip_forward").write_text("1")
            for at, place in enumerate(self.places.values(), 1):
                self._wire(at, place)
            with self._router.inside():
                device = open_tun(SLOW)
            self._closing.callback(os.close, device)
            self._in(self._router, "ip", "link", "set", SLOW, "up")
            self._in(self._router, "ip", "route", "add", "default", "dev", SLOW, "table", TABLE)
            self._in(self._router, "ip", "rule", "add", "pref", BACK, "iif", SLOW, "lookup", "main")
            self._delay = PacketDelay(device)
            self._closing.callback(self._delay.close)
        except BaseException as error:
            self._closing.close()
            if isinstance(error, (LabTimeout, OSError)):
                raise LabUnavailable(f"no network namespaces: {error}") from error
            raise

    def close(self) -> None:
        """End all of them."""
        self._closing.close()

    # --- faults: each is in force when the method returns; `only` selects packets, all when it is empty ---

    def cut(self, source: str, target: str, only: Sequence[str] = ()) -> None:
        """Drop every packet from one host to another."""
        self._rule(True, CUT, *self._way(source, target), *only, "blackhole")

    def delay(
        self,
        source: str,
        target: str,
        seconds: float,
        lost: float = 0.0,
        only: Sequence[str] = (),
        tap: Tap | None = None,
    ) -> None:
        """Let packets from one host to another come later, a share of them never, and `tap` see each of them."""
        self._delay.set(self._key(source, target), seconds, lost, tap)
        self._rule(True, DELAYED, *self._way(source, target), *only, "lookup", TABLE)

    def heal(self, source: str, target: str, only: Sequence[str] = ()) -> None:
        """End both."""
        self._rule(False, CUT, *self._way(source, target), *only, "blackhole")
        self._rule(False, DELAYED, *self._way(source, target), *only, "lookup", TABLE)

    def _way(self, source: str, target: str) -> tuple[str, ...]:
        one, two = self._key(source, target)
        return ("from", one, "to", two)

    def _key(self, source: str, target: str) -> tuple[str, str]:
        return self.places[source].address, self.places[target].address

    def _rule(self, wanted: bool, *rule: str) -> None:
        if wanted == (rule in self._rules):
            return
        self._in(self._router, "ip", "rule", "add" if wanted else "del", "pref", *rule)
        (self._rules.add if wanted else self._rules.discard)(rule)

    # --- making them ---

    def _make(self, root: Path, name: str, address: str) -> Place:
        """Return a new namespace, held by a process of its own."""
        holder = Process(
            f"space-{name}", ["/usr/bin/unshare", "--net", "--", "sleep", "infinity"], root / f"{name}.log"
        )
        holder.start()
        self._closing.callback(holder.close)
        path = f"/proc/{holder.pid}/ns/net"
        own = Path(OWN).readlink()

        def made() -> bool:
            if not holder.running:
                raise LabUnavailable(f"no network namespaces: {holder.log_tail(2)}")
            return Path(path).readlink() != own

        until(made, LIMIT, f"a network namespace for {name}", retry_on=(OSError,))
        place = Place(name, address, path)
        self._in(place, "ip", "link", "set", "lo", "up")
        return place

    def _wire(self, at: int, place: Place) -> None:
        port, gateway = f"r{at}", f"{NET}.{at}.1"
        pid = place.namespace.split("/")[2]
        self._in(self._router, "ip", "link", "add", port, "type", "veth", "peer", "name", "eth0", "netns", pid)
        self._in(self._router, "ip", "addr", "add", f"{gateway}/24", "dev", port)
        self._in(self._router, "ip", "link", "set", port, "up")
        self._in(place, "ip", "addr", "add", f"{place.address}/24", "dev", "eth0")
        self._in(place, "ip", "link", "set", "eth0", "up")
        self._in(place, "ip", "route", "add", "default", "via", gateway)

    @staticmethod
    def _in(place: Place, *command: str) -> None:
        run(place.command(command), LIMIT, " ".join(command))
