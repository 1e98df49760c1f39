"""The one loop of the gate: nodeos, keosd and the control socket. It holds nobody's lock and waits for nobody.

One thread does everything, so the last check of a permit and the hand-over of the signature to the kernel are one step:
nothing is between them, least of all an answer over the control socket.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import socket
import stat
from collections.abc import Callable
from functools import partial
from pathlib import Path

from agent.errors import ConfigError
from agent.gate import asker, keosd
from agent.gate.asker import Asker, peer_user
from agent.gate.control import LONGEST, Control, Counts
from agent.gate.keosd import Keosd
from agent.gate.permit import REASONS as PERMIT
from agent.gate.permit import NotSigned, Permit
from agent.gate.settings import Address, Settings
from agent.gate.wallet import Wallet
from agent.gate.wire import KeosdAnswer, Request, WireError, is_signature, wanted, write_answer, write_refusal

WAITING = 16
"""Connections that may wait to be accepted."""


def listen(address: Address) -> socket.socket:
    """Return a listening socket; a Unix socket that a dead gate left behind is replaced. ConfigError when it fails."""
    listener = socket.socket(address.family)
    try:
        if address.path:
            _clear(address.path)
            old = os.umask(0o117)  # for our group, and nobody else
            try:
                listener.bind(address.place)
            finally:
                os.umask(old)
        else:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address.place)
        listener.listen(WAITING)
        listener.setblocking(False)
    except OSError as error:
        listener.close()
        raise ConfigError(
            [f"the gate cannot listen on {address.text}: {error}; end who does, or name another"]
        ) from error
    return listener


def _clear(path: str) -> None:
    """Remove a Unix socket that nobody listens on. OSError when somebody does, or it is no socket."""
    try:
        if not stat.S_ISSOCK(Path(path).lstat().st_mode):
            raise FileExistsError("there is a file, and it is no socket")
    except FileNotFoundError:
        return
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(1.0)
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            Path(path).unlink()
        else:
            raise FileExistsError("somebody listens there already")


ASKERS = 16
"""Connections at once; nodeos keeps one or two."""
QUESTIONERS = 8
QUESTION_S = 1.0
TICK_S = 0.1
"""How often overdue calls are looked at, and the page is looked for."""
REQUEST = ("path", "method", "body", "key", "gone")
"""Why a request is refused for what it is; `gone`: nobody waits for the answer any more."""
REASONS = (*PERMIT, *REQUEST, *keosd.REASONS, *asker.REASONS, "control")

Tell = Callable[[str, str], None]
"""Hears the reason of a refusal, and what is to be said about it."""


class Server:
    """A gate that runs. `boot` is CLOCK_BOOTTIME in ms, `now` any clock in seconds that never jumps back."""

    def __init__(
        self, settings: Settings, permit: Permit, boot: Callable[[], int], tell: Tell, now: Callable[[], float]
    ) -> None:
        self._settings = settings
        self._permit = permit
        self._boot = boot
        self._tell = tell
        self._now = now
        self.counts = Counts(REASONS)
        self._selector = selectors.DefaultSelector()
        self._keosd = Keosd(self._selector, settings.keosd, now)
        self.wallet = Wallet(self._keosd, settings.wallet, settings.password_file, settings.key, now)
        self.control = Control(permit, self.counts, lambda: self.wallet.state, boot())
        self._askers: list[Asker] = []
        self._questioners: dict[socket.socket, tuple[bytearray, float]] = {}
        self._listeners: list[socket.socket] = []
        self._tick_from = 0.0

    def open(self) -> None:
        """Listen. ConfigError when an address cannot be had."""
        for address, accept in (
            (self._settings.listen, self._accept),
            (Address(path=self._settings.control), self._accept_question),
        ):
            listener = listen(address)
            self._listeners.append(listener)
            self._selector.register(listener, selectors.EVENT_READ, partial(accept, listener))
        self._permit.hold()

    def turn(self) -> None:
        """Do what there is to do, and return after `TICK_S` at the latest."""
        for key, mask in self._selector.select(TICK_S):
            key.data(mask)
        now = self._now()
        if now < self._tick_from:
            return
        self._tick_from = now + TICK_S
        self._permit.look()
        self._keosd.tick()
        self.wallet.look()
        self._askers = [each for each in self._askers if not each.closed]
        for each in self._askers:
            each.begun(now)
            if each.due is not None and now >= each.due:
                self._refused("slow")
                each.close()
        for sock, (_, due) in list(self._questioners.items()):
            if now >= due:
                self._end_question(sock)

    def close(self) -> None:
        """End every connection, and let go of the page."""
        for listener in self._listeners:
            listener.close()
        for path in (self._settings.listen.path, self._settings.control):
            if path:
                Path(path).unlink(missing_ok=True)
        for each in self._askers:
            each.close()
        for sock in list(self._questioners):
            self._end_question(sock)
        self._keosd.close()
        self._selector.close()
        self._permit.let_go()

    def _refused(self, reason: str, more: str = "") -> None:
        self.counts.refused[reason] += 1
        self._tell(reason, more)

    # --- signatures ---

    def _accept(self, listener: socket.socket, _mask: int) -> None:
        with contextlib.suppress(OSError):  # who has left already
            sock, _ = listener.accept()
            sock.setblocking(False)
            self._admit(sock)

    def _admit(self, sock: socket.socket) -> None:
        wanted_user = self._settings.asker
        self._askers = [each for each in self._askers if not each.closed]
        if wanted_user is not None and (user := peer_user(sock)) != wanted_user:
            self._refused("other_user", "nobody knows who asks" if user is None else f"user {user} asks")
            sock.close()
            return
        if len(self._askers) >= ASKERS:
            resting = [each for each in self._askers if each.resting]
            self._refused("crowded")
            if not resting:
                sock.close()
                return
            min(resting, key=lambda each: each.seen).close()
        if sock.family != socket.AF_UNIX:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._askers.append(Asker(self._selector, sock, self._now(), self._asked, self._refused))

    def _asked(self, who: Asker, request: Request) -> None:
        """Check a request, and have it signed."""
        start = self._now()
        try:
            digest, key = self._examined(request)
            self._permit.check()
        except (WireError, NotSigned) as refused:
            self._refuse(who, refused.reason, keep=request.keep)
            return
        self.wallet.sign(digest, key, partial(self._signed, who, request.keep, start))

    def _examined(self, request: Request) -> tuple[str, str]:
        """Return digest and key of a request for a signature with our key. WireError for every other one."""
        digest, key = wanted(request)
        if not self.wallet.is_ours(key):
            raise WireError("key")
        return digest, key

    def _signed(self, who: Asker, keep: bool, start: float, answer: KeosdAnswer | None, why: str) -> None:
        """Check again, and hand the signature over in the same step."""
        if who.closed:
            self._refused("gone")
            return
        if answer is None or not is_signature(answer):
            self._refuse(who, why or "keosd_error", keep=keep)
            return
        whole = write_answer(answer.status, answer.body, keep)
        try:
            self._permit.check()
        except NotSigned as refused:
            self._refuse(who, refused.reason, keep=keep)
            return
        if who.send(whole):
            self.control.last_signature = self._boot()
            self.counts.sign(self._now() - start)
        who.done(self._now(), keep=keep)

    def _refuse(self, who: Asker, reason: str, *, keep: bool) -> None:
        self._refused(reason)
        who.send(write_refusal(reason, keep))
        who.done(self._now(), keep=keep)

    # --- questions ---

    def _accept_question(self, listener: socket.socket, _mask: int) -> None:
        with contextlib.suppress(OSError):
            sock, _ = listener.accept()
            sock.setblocking(False)
            if len(self._questioners) >= QUESTIONERS or peer_user(sock) not in (self._settings.owner, os.geteuid(), 0):
                self._refused("control")
                sock.close()
                return
            self._questioners[sock] = (bytearray(), self._now() + QUESTION_S)
            self._selector.register(sock, selectors.EVENT_READ, partial(self._question, sock))
            self._question(sock, selectors.EVENT_READ)  # it is here as a rule: no turn of the loop is spent on waiting

    def _question(self, sock: socket.socket, _mask: int) -> None:
        if sock not in self._questioners:  # an event that was found before the connection ended
            return
        heard, _ = self._questioners[sock]
        try:
            more = sock.recv(LONGEST)
            heard += more
            if more and b"\n" not in heard and len(heard) < LONGEST:
                return
            if b"\n" in heard:
                sock.send(self.control.answer(heard.split(b"\n")[0].decode("ascii", "replace")))
        except BlockingIOError:
            return
        except OSError:
            pass  # who has left already hears nothing
        self._end_question(sock)

    def _end_question(self, sock: socket.socket) -> None:
        self._selector.unregister(sock)
        del self._questioners[sock]
        sock.close()
