"""What a coordinator proposes for one round, so that a device can say no.

An offer stands beside the order of the round (see `orders`). It says who is asked, how
updates are bounded, encoded and noised, and where in the run the round lies. A device
holds it against its own policy, and every mask and signature of the round is bound to
its hash: two devices that were told different things add up to noise.

Covered: unknown, missing or mistyped fields.
Not covered: whether anybody should accept it, which is the device's own affair.
"""

import hashlib
import json
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from proper_shared.errors import ProtocolError
from proper_shared.strict_json import parse_object

Hex16 = Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]
Hex32 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class Noise(BaseModel):
    """The noise of a round under differential privacy.

    Attributes:
        multiplier: z, deviation of the sum's noise over the bound of one vector.
        delta: of (epsilon, delta).
        participations: how often a device may be asked in the whole run at most.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    multiplier: float = Field(gt=0, le=1e6, allow_inf_nan=False)
    delta: float = Field(gt=0, lt=1, allow_inf_nan=False)
    participations: int = Field(ge=1, le=1_000_000)


class Offer(BaseModel):
    """One round as it is offered; the order beside it says what is trained.

    Attributes:
        federation: hash of the first entry of the membership log.
        base: hash of what is adapted and how, see `base_hash`. Members with other
            backbones, tasks or shapes are not added together: nobody can be the only
            one whose model learns.
        run: drawn by the coordinator once for each run.
        serial: number of the round over all stages of the run; it only grows.
        attempt: 0, or 1 where the round is tried again.
        cohort: identities (Ed25519 public keys) that are asked, ascending.
        masked: whether only the sum can be read; if not, each update is sent in clear.
        ring_bits: of the ring in which vectors are added.
        bounds: largest L2 norm of each block of the vector, by name.
        noise: None means no differential privacy.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    federation: Hex32
    base: Hex32
    run: Hex16
    serial: int = Field(ge=0, lt=2**31)
    attempt: int = Field(ge=0, le=1)
    cohort: tuple[Hex32, ...] = Field(max_length=1000)
    masked: bool
    ring_bits: int
    bounds: dict[str, Annotated[float, Field(gt=0, allow_inf_nan=False)]]
    noise: Noise | None

    @classmethod
    def parse(cls, data: bytes) -> Self:
        """Return the offer that `data` spells.

        Raises:
            ProtocolError: it is malformed, or not in the one form that `dump` writes.
        """
        try:
            parse_object(data, "offer")  # no key twice, no NaN
            offer = cls.model_validate_json(data)
        except ValidationError as error:
            places = ", ".join(str(item["loc"]) for item in error.errors())[:200]
            raise ProtocolError(f"got an offer that is wrong in {places}") from None
        except ValueError as error:
            raise ProtocolError(f"got a malformed offer: {str(error)[:100]}") from None
        if offer.dump() != data:
            raise ProtocolError("got an offer in another form than ours")
        return offer

    def dump(self) -> bytes:
        """Return the one form of this offer: JSON, keys sorted, no spaces."""
        plain = self.model_dump(mode="json")
        return json.dumps(plain, sort_keys=True, separators=(",", ":")).encode()


def base_hash(fingerprint: str, task: str, method: str, seed: int) -> str:
    """Return what a federation trains on, 64 hex digits.

    Args:
        fingerprint: of the backbone.
        task: its name.
        method: shapes of all that is trained, as JSON.
        seed: of fresh tensors, order and dropout.
    """
    words = json.dumps([fingerprint, task, method, seed])
    return hashlib.sha256(b"proper/base/1" + words.encode()).hexdigest()


def plan_hash(offer: bytes, order_header: bytes) -> bytes:
    """Return what a round's signatures are bound to besides the parameters, 32 bytes.

    Args:
        offer: as sent.
        order_header: of the order beside it, as sent.
    """
    digest = hashlib.sha256(b"proper/plan/1")
    for part in (offer, order_header):
        digest.update(len(part).to_bytes(8, "big"))
        digest.update(part)
    return digest.digest()
