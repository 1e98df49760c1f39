"""Our agents with signing gates that are required: nobody waits for a block in flight, and nobody ends nodeos."""

from __future__ import annotations

import signal
from collections.abc import Mapping
from typing import Any

from agent.gate.settings import PROVIDER_TIMEOUT_MS
from tests.lab.agents import Agent
from tests.lab.bench.agents import Agents
from tests.lab.bench.field import Field
from tests.lab.binaries import find_nodeos
from tests.lab.chain import START
from tests.lab.gates import SigningGate
from tests.lab.lab import GROUP
from tests.lab.nodeos import PRIVATE_KEY, PUBLIC_KEY, Node

NAME, TITLE = "agent-gate", "agent with gate"
SPANS = {"validity": 1.6, "renew": 0.2, "slack": 0.1, "gate_close": 0.1, "request": 0.6, "election": 0.5}
"""The least that a gate which is required allows over an etcd with elections of 500 ms, in seconds."""
PLAIN = f"{PUBLIC_KEY}=KEY:{PRIVATE_KEY}"
PROVIDER, TIMEOUT = "--signature-provider", "--keosd-provider-timeout"


class Gated(Agents):
    """Two agents, each with a gate and a keosd on its host. While they govern, the nodes sign through these."""

    def __init__(self, field: Field) -> None:
        self.gates: dict[str, SigningGate] = {}
        election = round(SPANS["election"] * 1000)
        super().__init__(field, NAME, TITLE, {"timing": SPANS}, election_ms=election, validity=SPANS["validity"])

    def _agent(self, host: str, settings: Mapping[str, Any]) -> Agent:
        field, root = self._field, self._field.root / f"agent-{self.name}-{host}"
        place = field.place(host)
        gate = SigningGate(
            root / "gate", (GROUP, host), root / "run", field.ports, find_nodeos(), place, mode="required"
        )
        field.closing.callback(gate.close)
        self.gates[host] = gate
        return super()._agent(host, {**settings, "gate": dict(gate.settings)})

    def start(self) -> None:
        """Start gates, let the nodes sign through them, and go on as without."""
        for host, gate in self.gates.items():
            gate.start()
            _sign_by(self._field.node(host), gate.provider)
            _warm(self._field.node(host))
        super().start()

    def stop(self) -> None:
        """Cease; the nodes have the key themselves again."""
        super().stop()
        for host, gate in self.gates.items():
            _sign_by(self._field.node(host), PLAIN)
            gate.process.stop()
            gate.wallet.process.stop()

    def mend(self) -> None:
        """Start gates and keosd that are down, too."""
        for gate in self.gates.values():
            if not gate.wallet.process.running:
                gate.wallet.again()
            if not gate.process.running:
                gate.begin()
        super().mend()

    def _lose(self, host: str) -> None:
        super()._lose(host)
        for process in (self.gates[host].process, self.gates[host].wallet.process):
            process.signal(signal.SIGKILL)
            process.wait(10.0)


def _warm(node: Node) -> None:
    """Resume a node once while its gate is closed, so that it signs nothing.

    A nodeos that has seen no block since its start measures its timers for 0.7 s at its first resume (Leap 4.1:
    "Checktime timer accuracy"). On a chain that lives it has seen one.
    """
    node.resume()
    node.pause()


def _sign_by(node: Node, provider: str) -> None:
    """Start a node again, paused, with another way to its signatures."""
    command = node.command
    if TIMEOUT not in command:
        command += [TIMEOUT, str(PROVIDER_TIMEOUT_MS)]
    command[command.index(PROVIDER) + 1] = provider
    node.restart(START)
