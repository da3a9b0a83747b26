"""A proof that a result came out the same again, or where and probably why it did not."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from keepfit.core.clocks import iso
from keepfit.home import Home
from keepfit.ledger import fact
from keepfit.models.formats import PICKLE
from keepfit.packages.sign import sign
from keepfit.runs.machine import Machine
from keepfit.runs.run import Run

ENVELOPE_TYPE = "application/vnd.in-toto+json"
STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
PREDICATE_TYPE = "urn:keepfit:reproduction:v1"

How = Literal["current", "rebuilt"]


class Output(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that was made again."""

    name: str
    recorded: str
    """Digest; for a prediction, its value."""
    made: str | None
    """None: it was not made."""
    sha256: str = ""
    """Of what was made, for tools that do not know BLAKE3."""

    @property
    def equal(self) -> bool:
        return self.recorded == self.made

    @property
    def must(self) -> bool:
        """Whether it has to be equal: equal models need not give equal pickles."""
        return PICKLE not in self.name


class Proof(msgspec.Struct, frozen=True, kw_only=True):
    """What came of doing a run again."""

    reference: str
    """What was asked about."""
    run: str
    subject: str
    outputs: list[Output]
    how: How
    """Whether it was made in this environment or in one that was rebuilt."""
    environment: str
    """Object digest of the recorded environment."""
    packages: int
    """How many packages were there as recorded."""
    changes: list[str]
    """What was otherwise in the environment than recorded."""
    machine: Machine | None
    seconds: float
    difference: str = ""
    """The first one."""
    cause: str = ""
    """Its likely cause."""
    hint: str = ""
    id: str = ""
    """Of the fact; empty when there was nothing to record."""

    @property
    def equal(self) -> bool:
        """Whether everything that has to be is equal, bit for bit."""
        return not self.difference and bool(self.outputs) and all(o.equal for o in self.outputs if o.must)


def statement(home: Home, proof: Proof, run: Run) -> bytes:
    """The proof as a signed envelope (DSSE) around an in-toto Statement v1 whose subjects are the outputs made."""
    told: dict[str, Any] = {
        "_type": STATEMENT_TYPE,
        "subject": [
            {"name": o.name, "digest": {"blake3": o.made, "sha256": o.sha256}} for o in proof.outputs if o.sha256
        ],
        "predicateType": PREDICATE_TYPE,
        "predicate": {
            "equal": proof.equal,
            "time": iso(home.clock.now()),
            "actor": home.actor,
            "run": {"id": run.id, "key": run.key, "time": iso(run.time), "code": run.code, "data": run.data},
            "proof": msgspec.structs.replace(proof, id=""),
        },
    }
    return sign(msgspec.json.encode(told, order="sorted"), home.folder / "key", ENVELOPE_TYPE)


def record_proof(home: Home, proof: Proof, run: Run) -> tuple[Proof, bytes]:
    """The proof with the id of the fact that now tells of it, and its signed envelope, which is kept as an object."""
    envelope = statement(home, proof, run)
    made = fact(
        "reproduced",
        proof.subject,
        time=home.clock.now(),
        actor=home.actor,
        body={"reference": proof.reference, "difference": proof.difference, "cause": proof.cause, "how": proof.how},
        refs={"run": run.id, "proof": home.objects.put(envelope), "environment": proof.environment},
        attributes={"equal": float(proof.equal), "seconds": proof.seconds},
    )
    return msgspec.structs.replace(proof, id=home.ledger.append([made])[0].id), envelope
