"""The HTTP API of nodeos, Leap 3.1 to Spring 1.3 (port `Nodeos`). How answers are read stands in `answers`."""

from __future__ import annotations

from collections.abc import Callable

from agent.core.model.chain import ChainInfo, Header, Peers, Schedule
from agent.core.model.finality import Finality
from agent.errors import NodeosAnswer, NodeosTimeout, NodeosUnreachable
from agent.host.deadline import CallFailed, Deadline
from agent.host.from_files import FromFiles
from agent.net.endpoint import Endpoint, parse_endpoint
from agent.net.http import LARGE, Answer, TooMuch, call
from agent.net.metered import Note, metered, not_noted
from agent.net.resolver import Resolver
from agent.net.tls import authorities, tls_context
from agent.nodeos import answers

PAUSED = "/v1/producer/paused"
BLOCK_INFO = "/v1/chain/get_block_info"
NOT_FOUND = 404
GAVE_UP = (408, 502, 504)
"""nodeos never answers these: a proxy before it gave up waiting, and nodeos may still get to the request."""


Astray = Callable[[Endpoint, Resolver, Deadline], str]
"""Tells why a request to an address did not reach the nodeos that is known as a process; nothing while it may have."""


def not_known(_endpoint: Endpoint, _names: Resolver, _deadline: Deadline) -> str:
    """Stand for a nodeos that is not known as a process."""
    return ""


class HttpNodeos:
    """One nodeos. `producer_url`: where the producer API answers, if it has a listener of its own (Leap 5 on).

    `astray` is asked after a pause and before a resume.

    The body of a request stays empty where nothing is asked: `{}` is as good, anything else is refused with 400.
    """

    def __init__(
        self, url: str, producer_url: str | None = None, note: Note = not_noted, astray: Astray = not_known
    ) -> None:
        self.note = note
        self._astray = astray
        self._chain = parse_endpoint(url)
        self._producer = parse_endpoint(producer_url) if producer_url else self._chain
        self._names = Resolver()
        self._short = True  # until nodeos is seen not to know get_block_info, but get_block
        tls = self._chain.tls or self._producer.tls
        self._context = FromFiles("the host's authorities", authorities(), tls_context) if tls else None

    @metered("pause")
    def pause(self, timeout_s: float) -> None:
        """Pause production. NodeosAnswer: it refused, or another nodeos answered, and ours may produce (R4)."""
        deadline = Deadline(timeout_s)
        answers.read_done(self._call(self._producer, "/v1/producer/pause", timeout_s))
        if why := self._astray(self._producer, self._names, deadline):
            raise NodeosAnswer(200, 0, why)

    @metered("resume")
    def resume(self, timeout_s: float) -> None:
        """Resume production. NodeosAnswer: it will not act later, but a busy nodeos (429, 503) may have acted before.

        nodeos checks its limits again when it sends an answer, after the call was carried out (http_plugin, Leap 3 on).
        NodeosUnreachable: it was not sent, also where it would not reach the nodeos that is known (R9).
        """
        deadline = Deadline(timeout_s)
        if why := self._astray(self._producer, self._names, deadline):
            raise NodeosUnreachable(why)
        answers.read_done(self._call(self._producer, "/v1/producer/resume", deadline.remaining()))

    @metered("paused")
    def paused(self, timeout_s: float) -> bool:
        """Tell whether production is paused; goes through the main thread.

        nodeos counts the question as producer_ro, pause and resume as producer_rw (http-category-address, Leap 5 on):
        a listener for these alone does not know it, and then the other one is asked.
        """
        deadline = Deadline(timeout_s)
        try:
            return answers.read_flag(self._call(self._producer, PAUSED, timeout_s))
        except NodeosAnswer as error:
            if error.status != NOT_FOUND or self._producer == self._chain:
                raise
        return answers.read_flag(self._call(self._chain, PAUSED, deadline.remaining()))

    @metered("get_info")
    def info(self, timeout_s: float) -> ChainInfo:
        """Read head and LIB."""
        return answers.read_info(self._call(self._chain, "/v1/chain/get_info", timeout_s))

    @metered("connections")
    def peers(self, timeout_s: float) -> Peers:
        """Count connections."""
        return answers.read_peers(self._call(self._chain, "/v1/net/connections", timeout_s))

    @metered("get_producer_schedule")
    def schedule(self, timeout_s: float) -> Schedule:
        """Read the active schedule."""
        return answers.read_schedule(self._call(self._chain, "/v1/chain/get_producer_schedule", timeout_s))

    @metered("get_finalizer_info")
    def finality(self, timeout_s: float) -> Finality:
        """Read the finalizers and their last votes; NodeosAnswer with status 404 before Spring."""
        return answers.read_finality(self._call(self._chain, "/v1/chain/get_finalizer_info", timeout_s))

    @metered("get_block")
    def block(self, num: int, timeout_s: float) -> Header:
        """Read one block's header. get_block_info is small; before EOSIO 2.1 there is only the whole block."""
        deadline = Deadline(timeout_s)
        if self._short:
            try:
                return answers.read_block(self._call(self._chain, BLOCK_INFO, timeout_s, b'{"block_num":%d}' % num))
            except NodeosAnswer as error:
                if error.status != NOT_FOUND:
                    raise
        found = answers.read_block(
            self._call(self._chain, "/v1/chain/get_block", deadline.remaining(), b'{"block_num_or_id":"%d"}' % num)
        )
        self._short = False
        return found

    def _call(self, endpoint: Endpoint, path: str, timeout_s: float, body: bytes = b"") -> Answer:
        """Return a complete answer that is no error, whatever it says."""
        try:
            context = self._context() if self._context is not None else None
            answer = call(endpoint, path, timeout_s, names=self._names, context=context, body=body, most=LARGE)
        except TooMuch as error:
            raise NodeosTimeout(f"nodeos, {path} at {endpoint}: {error}; is it nodeos?") from error
        except CallFailed as error:
            kind = NodeosTimeout if error.sent else NodeosUnreachable
            down = " (nodeos down or replaying?)" if isinstance(error.__cause__, ConnectionRefusedError) else ""
            raise kind(f"nodeos, {path} at {error}{down}") from error
        if answer.status in GAVE_UP:
            raise NodeosTimeout(f"nodeos, {path} at {endpoint}: {answer.status}, a proxy before it gave up waiting")
        if answer.status not in (200, 201, 202):
            raise answers.error_of(answer, path)
        return answer
