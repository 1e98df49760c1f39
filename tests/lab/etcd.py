"""A real etcd, one member or three, whose members can be killed, frozen and cut off. Only etcd lives here.

The members run with --unsafe-no-fsync: a lab loses a machine's power never, and its disk must not decide what a test
measures. A kill of the process loses nothing by it; only the loss of the kernel's page cache would.
"""

import json
import os
import secrets
import shutil
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from tests.lab.binaries import EtcdBinaries, find_etcd
from tests.lab.errors import LabError, LabTimeout
from tests.lab.places import LOOPBACK, Place
from tests.lab.ports import Ports
from tests.lab.process import Process, run
from tests.lab.proxy import Proxy
from tests.lab.tls import Certificates, make_certificates
from tests.lab.wait import until

HOST = "127.0.0.1"
START_LIMIT = 30.0  # seconds; three members take about 2 on an idle machine
ETCDCTL_LIMIT = 10.0
KEYS = "/nodeos-failover/"  # what the lab's user may read and write


class EtcdctlError(LabError):
    """etcdctl failed; the message carries its words."""


@dataclass(frozen=True)
class EtcdOptions:
    """What a cluster may be asked for.

    election_ms, heartbeat_ms: etcd's defaults. tls: server and client certificates, both demanded; they are made unless
    `certificates` has them. user: with one, authentication is on; a random password is made for it, and its role covers
    KEYS only. more: further arguments. places: where members run, by name; desk: where etcdctl does. fsync: members
    wait for their disk, as in production.
    """

    size: int = 3
    election_ms: int = 1000
    heartbeat_ms: int = 100
    tls: bool = False
    certificates: Certificates | None = None
    user: str | None = None
    more: Sequence[str] = ()
    places: Mapping[str, Place] = field(default_factory=dict)
    desk: Place = LOOPBACK
    fsync: bool = False


class EtcdMember(Process):
    """One member; start, kill, freeze, thaw, stop as any process. `endpoint` is host:port, `url` with its scheme."""

    def __init__(
        self,
        name: str,
        command: Sequence[str | Path],
        data: Path,
        endpoint: str,
        scheme: str,
        place: Place = LOOPBACK,
    ) -> None:
        super().__init__(name, command, data.parent / f"{name}.log", _environment({}), place)
        self.data = data
        self.endpoint = endpoint
        self.url = f"{scheme}://{endpoint}"

    def restart(self) -> None:
        """Start the member on its data again, ending it first if it runs."""
        self.stop()
        self.start()


class EtcdCluster:
    """An etcd cluster on loopback. `start` returns when it has answered a write."""

    def __init__(self, root: Path, ports: Ports, options: EtcdOptions, binaries: EtcdBinaries | None = None) -> None:
        if options.size not in (1, 3):
            raise LabError(f"an etcd of {options.size} members is not offered: take 1 or 3")
        self.root, self.options = root, options
        self.binaries = binaries or find_etcd()
        self._ports = ports
        self._closing = ExitStack()
        root.mkdir(parents=True, exist_ok=True)
        self.certificates = options.certificates or (make_certificates(root / "tls") if options.tls else None)
        self.user = options.user
        self.password = secrets.token_urlsafe(12) if options.user else None
        self._root_password: str | None = None  # set once authentication is on
        scheme = "https" if options.tls else "http"
        listen = {f"etcd-{i}": (ports.take(), ports.take()) for i in range(1, options.size + 1)}
        peers = ",".join(f"{name}=http://{self._place(name).address}:{peer}" for name, (_, peer) in listen.items())
        self.members = [self._member(name, *listen[name], peers, scheme) for name in listen]
        self._ids: dict[int, EtcdMember] = {}

    def _place(self, name: str) -> Place:
        return self.options.places.get(name, LOOPBACK)

    def _member(self, name: str, client: int, peer: int, peers: str, scheme: str) -> EtcdMember:
        data, place = self.root / name, self._place(name)
        url, peer_url = f"{scheme}://{place.address}:{client}", f"http://{place.address}:{peer}"
        command: list[str | Path] = [self.binaries.etcd, "--name", name, "--data-dir", data, "--logger=zap"]
        command += ["--log-level=warn", "--log-outputs=stderr", "--pre-vote"]
        command += [] if self.options.fsync else ["--unsafe-no-fsync"]
        command += ["--listen-client-urls", url, "--advertise-client-urls", url]
        command += ["--listen-peer-urls", peer_url, "--initial-advertise-peer-urls", peer_url]
        command += ["--initial-cluster", peers, "--initial-cluster-token", self.root.name]
        command += [f"--election-timeout={self.options.election_ms}"]
        command += [f"--heartbeat-interval={self.options.heartbeat_ms}"]
        if self.certificates is not None:
            command += ["--client-cert-auth", "--trusted-ca-file", self.certificates.ca]
            command += ["--cert-file", self.certificates.server, "--key-file", self.certificates.server_key]
        return EtcdMember(name, [*command, *self.options.more], data, f"{place.address}:{client}", scheme, place)

    @property
    def endpoints(self) -> list[str]:
        """host:port of every member."""
        return [member.endpoint for member in self.members]

    @property
    def urls(self) -> list[str]:
        """The same with the scheme."""
        return [member.url for member in self.members]

    def start(self, limit: float = START_LIMIT) -> None:
        """Start every member that does not run, and return once a write is answered. LabTimeout after `limit` s."""
        end = time.monotonic() + limit
        for member in self.members:
            if not member.running:
                member.start()
        self.wait_ready(limit=limit)
        listed = json.loads(self.etcdctl("member", "list", "-w", "json", limit=max(0.1, end - time.monotonic())))
        by_name = {member.name: member for member in self.members}
        self._ids = {entry["ID"]: by_name[entry["name"]] for entry in listed["members"]}
        if self.user and self._root_password is None:
            self._turn_on_authentication(self.user)

    def wait_ready(self, member: EtcdMember | None = None, limit: float = START_LIMIT) -> None:
        """Return once a write is answered: by `member`, or by any. LabError when a member that is asked has ended."""
        asked = [member] if member is not None else self.members

        def answers() -> bool:
            for one in asked:
                if not one.running:
                    raise LabError(f"{one.name} ended with {one.exit_code}:\n{one.log_tail(5)}")
            urls = ",".join(one.url for one in asked)
            return self.etcdctl("put", "/lab/ready", "yes", "--endpoints", urls, limit=2.0).strip() == "OK"

        until(answers, limit, "a write to etcd", retry_on=(LabTimeout, EtcdctlError))

    def _turn_on_authentication(self, user: str) -> None:
        """Make root, the user and a role for KEYS. Passwords go by standard input, never by argument."""
        password = secrets.token_urlsafe(12)
        for name, word in (("root", password), (user, self.password or "")):
            self.etcdctl("user", "add", name, "--interactive=false", stdin=f"{word}\n")
        self.etcdctl("role", "add", "root")
        self.etcdctl("role", "add", "failover")
        self.etcdctl("role", "grant-permission", "failover", "readwrite", KEYS, "--prefix")
        self.etcdctl("user", "grant-role", "root", "root")
        self.etcdctl("user", "grant-role", user, "failover")
        self.etcdctl("auth", "enable")
        self._root_password = password

    def etcdctl(self, *arguments: str, limit: float = ETCDCTL_LIMIT, stdin: str = "") -> str:
        """Run the real etcdctl as the operator would (as root, where authentication is on); return its output.

        EtcdctlError with etcd's own words when it fails, LabTimeout after `limit` seconds in all.
        """
        settings = {"ETCDCTL_API": "3"}
        if not any(argument.startswith("--endpoints") for argument in arguments):
            settings["ETCDCTL_ENDPOINTS"] = ",".join(self.urls)
        if self.certificates is not None:
            settings["ETCDCTL_CACERT"] = str(self.certificates.ca)
            settings["ETCDCTL_CERT"] = str(self.certificates.client)
            settings["ETCDCTL_KEY"] = str(self.certificates.client_key)
        if self._root_password is not None:
            settings |= {"ETCDCTL_USER": "root", "ETCDCTL_PASSWORD": self._root_password}
        command = self.options.desk.command([self.binaries.etcdctl, *arguments])
        what, env = f"etcdctl {' '.join(arguments[:2])}", _environment(settings)
        return run(command, limit, what, env=env, stdin=stdin, failed=EtcdctlError)

    def leader(self) -> EtcdMember | None:
        """Return the member that leads according to the first that answers; None when nobody knows a live one."""
        for member in self.members:
            if not member.running or member.frozen:
                continue
            try:
                answer = self.etcdctl("endpoint", "status", "-w", "json", "--endpoints", member.url, limit=2.0)
            except (EtcdctlError, LabTimeout):
                continue
            found = self._ids.get(json.loads(answer)[0]["Status"].get("leader", 0))
            if found is not None and found.running:  # a follower may still believe in one that is dead
                return found
        return None

    def wait_leader(self, other_than: EtcdMember | None = None, limit: float = START_LIMIT) -> EtcdMember:
        """Return the leader once there is one (and it is another than `other_than`)."""

        def found() -> EtcdMember | None:
            leader = self.leader()
            return None if leader is other_than else leader

        return until(found, limit, "an etcd leader")

    def move_leader(self, to: EtcdMember) -> None:
        """Have `to` lead, and return once it does. LabTimeout after START_LIMIT seconds."""

        def moved() -> bool:
            leader, number = self.leader(), next(number for number, each in self._ids.items() if each is to)
            if leader is not None and leader is not to:
                self.etcdctl("move-leader", f"{number:x}", "--endpoints", leader.url)
            return leader is to

        until(moved, START_LIMIT, f"{to.name} to lead etcd", retry_on=(LabTimeout, EtcdctlError))

    def ways(self) -> tuple[list[str], list[Proxy]]:
        """Return fresh endpoints (URLs), and the proxies, one before each member, that make their faults.

        Give each host its own, and that host can be cut off from etcd while the others are not.
        """
        proxies = []
        for member in self.members:
            proxy = Proxy(self._ports.take(), int(member.endpoint.rpartition(":")[2]))
            self._closing.callback(proxy.close)
            proxies.append(proxy)
        scheme = "https" if self.certificates else "http"
        return [f"{scheme}://{HOST}:{proxy.port}" for proxy in proxies], proxies

    def forget(self, snapshot: Path | None = None) -> None:
        """Kill all members, and start them without their data, or in place from `etcdctl snapshot save`'s file.

        As an operator does it, the members keep their names and addresses; a restored cluster keeps its id.
        """
        for member in self.members:
            member.kill()
            shutil.rmtree(member.data)
            if snapshot is not None:
                self.etcdctl("snapshot", "restore", str(snapshot), *_bootstrap(member))
        self.start()

    def set_up_alone(self, member: EtcdMember) -> None:
        """Kill a member, and start it at its address without its data, as a cluster of its own.

        So does a container without a volume whose etcd is told of no other member. The others stay a cluster.
        """
        member.kill()
        shutil.rmtree(member.data)
        at = member.command.index("--initial-cluster") + 1
        own = [each for each in str(member.command[at]).split(",") if each.startswith(f"{member.name}=")]
        member.command[at] = own[0]
        member.start()
        self.wait_ready(member)

    def close(self) -> None:
        """End all members and delete their data (each reserves 128 MB on disk); the logs stay."""
        self._closing.close()
        for member in self.members:
            member.close()
            shutil.rmtree(member.data, ignore_errors=True)


def _bootstrap(member: EtcdMember) -> list[str]:
    """Return the arguments that a restore shares with the start of a member: its name, its data, its cluster."""
    names = ("--name", "--data-dir", "--initial-cluster", "--initial-cluster-token", "--initial-advertise-peer-urls")
    return [part for name in names for part in (name, member.command[member.command.index(name) + 1])]


def _environment(settings: Mapping[str, str]) -> dict[str, str]:
    """Return our environment without what would silently configure etcd or etcdctl, and with `settings`."""
    return {**{key: value for key, value in os.environ.items() if not key.startswith("ETCD")}, **settings}
