"""Seeded mistakes about the signing gate, in the core and in the gate itself; `mutants` says what a mistake is."""

from __future__ import annotations

from tests.proof.mutants import CORE, STATE, Edit, Mutant

GATE, RULES = "tests.proof.gate", CORE + "leadership.gate"
SLOW, CUT = "a: a signature is slow", "a: is cut off"

GATE_MUTANTS = (
    Mutant(
        "gate looks at the page only before forwarding",
        (
            Edit(
                GATE,
                'replace(self, under_way="leaving", since=now) if self.passes(now) else self.out()',
                'replace(self, under_way="leaving", since=now)',
            ),
        ),
        (SLOW, "a: the agent freezes"),
        "P1",
        gate="required",
    ),
    Mutant(
        "V read torn",
        (Edit(GATE, "until = self.until  # who finds it torn reads it again", "until = self.until + 100 * self.torn"),),
        ("a: the page is read while it is written", "a: the agent freezes"),
        "P1",
        gate="required",
    ),
    Mutant(
        "page of the last boot believed",
        (
            Edit(
                GATE,
                "        if self.old_boot:\n            return False",
                "        if self.old_boot:\n            return True",
            ),
        ),
        ("a: the host starts anew",),
        "P1",
        gate="required",
    ),
    Mutant(
        "closing does not wait for the request under way",
        (Edit(GATE, "return not self.under_way", "return True"),),
        (SLOW, "del leader"),
        "R5",
        gate="required",
    ),
    Mutant(
        "until counted as V and more",
        (Edit(STATE, "self.tenure.valid_until - self.identity.timing.slack", "self.tenure.valid_until + 4"),),
        ("a: the agent freezes",),
        "P1",
        gate="required",
    ),
    Mutant(
        "until counted from receipt",
        (
            Edit(
                RULES,
                "    until = step.state.permit\n",
                "    until = step.now + step.state.identity.timing.validity - step.state.identity.timing.slack\n",
            ),
        ),
        ("a: confirm: applied, the answer is late", "a: the agent freezes"),
        "P1",
        gate="required",
        timing={"request": 6},
    ),
    Mutant(
        "release before the gate's answer",
        (
            Edit(
                STATE,
                "self.gate is GateState.CLOSED and known",
                "self.gate in (GateState.CLOSED, GateState.CLOSING) and known",
            ),
        ),
        ("del leader", "a: the closing hangs"),
        "R5",
        gate="required",
    ),
    Mutant(
        "a pause is taken for the proof though the gate is required",
        (
            Edit(
                STATE, "self.shut if self.identity.timing.gated else self.quiet or self.shut", "self.quiet or self.shut"
            ),
        ),
        ("del leader", "a: the closing hangs"),
        "R5",
        gate="required",
    ),
    Mutant(
        "the time is taken for the proof before the last signature is out",
        (Edit(RULES, "over = state.gate_until + state.identity.timing.slack", "over = state.gate_until"),),
        (SLOW, CUT),
        "R5",
        gate="required",
    ),
    Mutant(
        "a gate that nodeos does not sign through is believed",
        (Edit(STATE, "self.identity.timing.gated or (self.tenure is not None and self.tenure.gated)", "True"),),
        ("del leader",),
        "R5",
        gate="key",
    ),
)
