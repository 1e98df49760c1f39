"""Finding the members of an etcd cluster by DNS SRV records, as etcdctl's --discovery-srv does.

What was found stays in use while no resolver answers. The names are taken as they are told: with TLS a member has to
prove that it bears the name, without it a forged answer is believed.
"""

from __future__ import annotations

import threading
from typing import Any

from agent.errors import StoreUnavailable
from agent.host.deadline import Deadline

RESOLV_CONF = "/etc/resolv.conf"
KNOWN_SHARE = 0.25
"""Share of a call's time for another look-up while members are known: the rest is for trying these."""


class Discovery:
    """The members that the SRV records of one domain name. Safe to use from several threads.

    `resolvers`: address and port of each; None: those of /etc/resolv.conf, read anew each time.
    """

    def __init__(
        self, domain: str, name: str | None, *, tls: bool, resolvers: tuple[tuple[str, int], ...] | None = None
    ) -> None:
        service = f"_etcd-client{'-ssl' if tls else ''}{f'-{name}' if name else ''}._tcp"
        self._record = f"{service}.{domain.rstrip('.')}."
        self._scheme = "https" if tls else "http"
        self._resolvers = resolvers
        self._lock = threading.Lock()
        self._known: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"SRV {self._record}"

    def find(self, deadline: Deadline, *, anew: bool = False) -> tuple[str, ...]:
        """Return the members as 'http://host:port' in the order in which to try them, which is partly by chance.

        They are looked up if none are known, or `anew` is asked for. StoreUnavailable within the deadline when none
        are known and none are found.
        """
        known = self._known
        if known and not anew:
            return known
        left = deadline.remaining()
        try:
            found = self._ask(Deadline(left * KNOWN_SHARE if known else left))
        except StoreUnavailable:
            if not known:
                raise
            return known
        with self._lock:
            self._known = found
        return found

    def _ask(self, deadline: Deadline) -> tuple[str, ...]:
        """Ask one resolver after the other, each for its share of the time; the first that knows decides."""
        import dns.exception
        import dns.message
        import dns.query
        import dns.rcode

        said = "no resolver is configured"
        resolvers = self._resolvers if self._resolvers is not None else resolvers_of_the_host()
        for index, (host, port) in enumerate(resolvers):
            share = deadline.remaining() / (len(resolvers) - index)
            if share <= 0:
                break
            try:
                query = dns.message.make_query(self._record, "SRV", use_edns=0)
                # half of it each for UDP and, if the answer is too long for that, TCP
                answer, _ = dns.query.udp_with_fallback(
                    query, host, share / 2, port, ignore_unexpected=True, ignore_errors=True
                )
            except (dns.exception.DNSException, OSError, ValueError, EOFError) as error:
                said = f"{host} gives no answer ({str(error) or type(error).__name__})"
                continue
            if found := self._members(answer):
                return found
            said = f"{host} knows of none ({dns.rcode.to_text(answer.rcode())})"
        raise StoreUnavailable(f"etcd's members by {self}: {said}: check etcd.discovery_srv and the resolver")

    def _members(self, answer: Any) -> tuple[str, ...]:
        import dns.rdatatype

        records = [each for each in answer.answer if each.rdtype == dns.rdatatype.SRV]
        named = [each for record in records for each in record.processing_order()]
        hosts = [(str(each.target).rstrip("."), each.port) for each in named]
        return tuple(dict.fromkeys(f"{self._scheme}://{host}:{port}" for host, port in hosts if host and port))


def resolvers_of_the_host() -> tuple[tuple[str, int], ...]:
    """Return address and port of each resolver that this host is configured with."""
    import dns.exception
    import dns.resolver

    try:
        return tuple((str(each), 53) for each in dns.resolver.Resolver(RESOLV_CONF).nameservers)
    except (dns.exception.DNSException, OSError):
        return ()
