"""Find groups before they are trained: a mixture over users, fitted by sums alone.

Experts that start from nothing must find users who are alike and learn what they have
in common at once, and mostly do neither. So the coordinator first learns which groups
there are, from what users' entries ask of the population model. For each target token
let x be what goes into the last feed-forward product and d the downhill direction of
the loss in the last hidden state (both put through a public random projection where
they are wide). Two phases, each a plain sum over users:

    moments   means and second moments of x and d; from them whitenings of both
    mixture   expectation maximisation, several starts at once

With x', d' whitened, x' d'^T is the change that a token asks of that last product, with
the usual Kronecker preconditioner (K-FAC, arXiv 1503.05671). Group g is a matrix M_g
that answers x' by M_g^T x'; a user belongs to the group whose answers fit all of the
user's tokens i, that is, whose change lowers their loss most (to second order):

    gain(u, g) = sum_i  <x'_i d'_i^T, M_g> - |M_g^T x'_i|^2 / 2

    r(u, g) = softmax_g(b gain(u, g))                                  (on the device)
    M_g = (sum_u r X_u + ridge)^-1 sum_u r Y_u,  X_u = sum_i x'x'^T, Y_u = sum_i x'd'^T

b < 1, since tokens of one user are not independent, and it rises from near zero, so
that no start commits early. Where a user lies is r(u, .): one who wrote much belongs
to one group, one who wrote little to all a bit. It stays on the device.

Letters: m, w widths of x and d; p, c their whitened widths; E groups; R starts.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from proper_shared.packing import Arrays, Layout, Shapes, Vector
from proper_shared.rounds import Order, Schedule
from proper_shared.second_moments import fold, half, unfold, whitening

Phase = Literal["moments", "mixture"]
Floats = NDArray[np.floating]
WIDTH, P, C, STARTS = 512, 64, 32, 4
REACH = 2.0  # length of an embedding that belongs to one group alone
GAIN = 2.5  # of the first user-aware routers
SHARPNESS = 0.3  # b at the end
HEAT = 0.05  # of SHARPNESS, at the start of the mixture
WARM = 0.6  # of the mixture: where b stops to rise
FORGET = 0.9  # of old sums in the mixture, each round
RIDGE = 100.0  # tokens
READING = tuple(
    f"grouping.{n}" for n in ("mean_x", "mean_d", "white_x", "white_d", "groups")
)
UNKNOWN = -1  # round


class Features(NamedTuple):
    """What is read at a user's n target tokens.

    Attributes:
        x: (n, m) inputs of the last feed-forward product.
        d: (n, w) negative gradients of the loss in the last hidden state.
    """

    x: Floats
    d: Floats


def phase_of(round_: int, rounds: int) -> Phase:
    """Return the phase of a round: the first tenth are moments.

    Members do not change between rounds, so once round all blocks says everything.
    """
    return "moments" if round_ * 10 < rounds else "mixture"


def sharpness(round_: int, rounds: int) -> float:
    """Return b in a round of the mixture."""
    start = -(-rounds // 10)  # the first round of the mixture
    done = (round_ - start) / max(1.0, WARM * (rounds - start))
    return SHARPNESS * min(1.0, HEAT + (1 - HEAT) * done)


@dataclass(frozen=True)
class Sizes:
    """Sizes of the arrays of a grouping.

    Attributes:
        x: m.
        d: w.
        experts: E.
    """

    x: int
    d: int
    experts: int

    @property
    def white(self) -> tuple[int, int]:
        """The whitened widths p and c."""
        return min(P, self.x), min(C, self.d)

    def values(self) -> Layout:
        """What the coordinator keeps and sends."""
        p, c = self.white
        return Layout(
            {
                "grouping.mean_x": (self.x,),
                "grouping.mean_d": (self.d,),
                "grouping.white_x": (self.x, p),
                "grouping.white_d": (self.d, c),
                "grouping.starts": (STARTS, self.experts, p, c),
            }
        )

    def sums(self, phase: Phase) -> Layout:
        """What a client sends in a phase; of symmetric matrices one half."""
        p, c = self.white
        if phase == "moments":
            return Layout(
                {
                    "first_x": (self.x,),
                    "first_d": (self.d,),
                    "second_x": (half(self.x),),
                    "second_d": (half(self.d),),
                }
            )
        return Layout(
            {
                "inner": (STARTS, self.experts, half(p)),
                "cross": (STARTS, self.experts, p, c),
                "gain": (STARTS,),
            }
        )

    def reading(self) -> Shapes:
        """What a device needs to find out where its user lies; a release holds it."""
        shapes = self.values().shapes
        best = {"grouping.groups": shapes["grouping.starts"][1:]}
        return {name: {**shapes, **best}[name] for name in READING}

    def outgoing(self, frozen: Shapes) -> Layout:
        """What an order holds: tensors of the population, and the values."""
        return Layout({**frozen, **self.values().shapes})


class Grouping:
    """The coordinator's side; it has the same form as `rounds.Part`.

    Args:
        sizes: of the arrays.
        schedule: how many rounds.
        seed: of the starts.
        frozen: tensors of the population, which the clients need too.

    Raises:
        ValueError: there are fewer rounds than phases.
    """

    stage: Literal["grouping"] = "grouping"

    def __init__(
        self, sizes: Sizes, schedule: Schedule, seed: int, frozen: Arrays
    ) -> None:
        if schedule.rounds < 2:  # one for each phase
            raise ValueError(f"got {schedule.rounds} rounds, expected 2 at least")
        self.sizes, self.schedule, self.frozen = sizes, schedule, frozen
        self.values = _zeros(sizes.values())
        self.sums = {**_zeros(sizes.sums("moments")), **_zeros(sizes.sums("mixture"))}
        self.sums["seen"] = np.zeros(1, np.float32)
        self.sums["next"] = np.zeros(1, np.float32)  # round after the last that moved
        self._seed = seed
        starts = self.values["grouping.starts"]
        self.values["grouping.starts"] = _drawn(seed, starts.shape)

    def order(self, round_: int) -> Order:
        """Return the order of a round.

        Devices open one sum of an order, and orders that nothing moved in between are
        one. So a round of moments after one that came to nothing is that one again, to
        the last bit: the same members make the same sum. In the mixture the worst
        start is drawn anew, and then it is another order, for whoever is left.
        """
        shapes = {name: array.shape for name, array in self.frozen.items()}
        layout, number, values = self.sizes.outgoing(shapes), round_, dict(self.values)
        if self._phase(round_) == "moments" and self._next != UNKNOWN:
            number = min(round_, self._next)
        if (worst := self._redrawn(round_)) is not None:
            starts = values["grouping.starts"].copy()
            starts[worst] = _drawn([self._seed, round_], starts.shape[1:])
            values["grouping.starts"] = starts
        parameters = layout.pack({**self.frozen, **values})
        return Order("grouping", None, number, self.schedule, parameters)

    def layout(self, round_: int) -> Layout:
        """Return what lies where in a client's vector of a round."""
        return self.sizes.sums(self._phase(round_))

    @property
    def _next(self) -> int:
        return int(self.sums["next"][0])

    def _phase(self, round_: int) -> Phase:
        """Return the phase of a round; no mixture before there are moments."""
        if not self.sums["seen"][0]:
            return "moments"
        return phase_of(round_, self.schedule.rounds)

    def _redrawn(self, round_: int) -> int | None:
        """Return the start that is drawn anew, if the round before moved nothing."""
        if self._phase(round_) == "moments" or self._next >= round_:
            return None
        return int(self.sums["gain"].argmin())

    def apply(self, round_: int, total: NDArray[np.float64], count: int) -> float:
        """Take up the sum of a round; there is no loss, so 0 is returned.

        Raises:
            FormatError: the sum has another length; nothing is changed.
        """
        phase, worst = self._phase(round_), self._redrawn(round_)
        more = self.sizes.sums(phase).unpack(total)
        kept = 1.0 if phase == "moments" else FORGET
        for name, array in more.items():
            old = kept * self.sums[name]
            if worst is not None:
                old[worst] = 0
            self.sums[name] = (old + array).astype(np.float32)
        self.sums["next"] = np.array([round_ + 1], np.float32)
        if phase == "moments":
            self.sums["seen"] = self.sums["seen"] + np.float32(count)
            self._whiten()
        else:
            self._fit()
        return 0.0

    def _whiten(self) -> None:
        seen = self.sums["seen"][0]
        for name in ("x", "d"):
            mean = self.sums[f"first_{name}"] / seen
            second = unfold(self.sums[f"second_{name}"] / seen)
            kept = self.values[f"grouping.white_{name}"].shape[1]
            self.values[f"grouping.mean_{name}"] = mean
            white = whitening(second - np.outer(mean, mean), kept)
            self.values[f"grouping.white_{name}"] = white

    def _fit(self) -> None:
        inner = unfold(self.sums["inner"].astype(np.float64))
        inner += RIDGE * np.eye(inner.shape[-1])
        fitted = np.linalg.solve(inner, self.sums["cross"].astype(np.float64))
        self.values["grouping.starts"] = fitted.astype(np.float32)

    def found(self) -> Arrays:
        """Return the arrays of `READING`: whitenings, and the groups of the best start.

        Groups are (E, p, c).
        """
        best = int(self.sums["gain"].argmax())
        groups = {"grouping.groups": self.values["grouping.starts"][best]}
        return {name: {**self.values, **groups}[name] for name in READING}

    def routers(self, embedding_size: int) -> NDArray[np.float32]:
        """Return the first user-aware router of all layers, (E, k): one group each."""
        return GAIN * np.eye(self.sizes.experts, embedding_size, dtype=np.float32)

    def state(self) -> Arrays:
        """Return all arrays that a checkpoint needs, by name."""
        return {**self.values, **self.sums}

    def restore(self, state: Mapping[str, Floats]) -> None:
        """Take up the arrays of a checkpoint.

        One that does not say which round moved last is from an earlier version.

        Raises:
            FormatError: a name or a shape is not that of a grouping.
        """
        state, told = {"next": np.zeros(1, np.float32), **state}, "next" in state
        layout = Layout({name: array.shape for name, array in self.state().items()})
        fresh = layout.unpack(layout.pack(dict(state)))
        arrays = {name: np.array(array, np.float32) for name, array in fresh.items()}
        self.values = {name: arrays[name] for name in self.values}
        self.sums = {name: arrays[name] for name in self.sums}
        if not told and self.sums["seen"][0]:
            self.sums["next"][0] = UNKNOWN


def _drawn(seed: int | list[int], shape: tuple[int, ...]) -> NDArray[np.float32]:
    drawn = np.random.default_rng(seed).normal(scale=0.1, size=shape)
    return drawn.astype(np.float32)


def _zeros(layout: Layout) -> Arrays:
    return {name: np.zeros(shape, np.float32) for name, shape in layout.shapes.items()}


def answer(
    order: Order, sizes: Sizes, values: Mapping[str, Floats], own: Features
) -> Vector:
    """Do a client's part of a round and return the vector to send.

    Args:
        order: of the round.
        sizes: of the arrays.
        values: what the coordinator sent.
        own: features of the user.
    """
    rounds = order.schedule.rounds
    phase = phase_of(order.round, rounds)
    layout = sizes.sums(phase)
    if phase == "moments":
        n = len(own.x)
        return layout.pack(
            {
                "first_x": own.x.mean(0),
                "first_d": own.d.mean(0),
                "second_x": fold(own.x.T @ own.x / n),
                "second_d": fold(own.d.T @ own.d / n),
            }
        )
    inner, cross = _moments(values, own)
    gains = gains_of(values["grouping.starts"], inner, cross)  # (R, E)
    share, total = _softmax(sharpness(order.round, rounds) * gains)
    sums = {
        "inner": share[..., None] * fold(inner),
        "cross": share[..., None, None] * cross,
        "gain": total,
    }
    return layout.pack(sums)


def gains_of(groups: Floats, inner: Floats, cross: Floats) -> Floats:
    """Return how much each group (..., E, p, c) lowers a user's loss, (..., E).

    Args:
        groups: the matrices M_g.
        inner: (p, p) X_u.
        cross: (p, c) Y_u.
    """
    gains: Floats = np.sum(groups * (cross - inner @ groups / 2), axis=(-2, -1))
    return gains


def place_of(values: Mapping[str, Floats], own: Features) -> NDArray[np.float32]:
    """Return how much a user belongs to each group, (E,), with a sum of one.

    Args:
        values: the arrays of `READING`.
        own: features of the user.
    """
    gains = gains_of(values["grouping.groups"], *_moments(values, own))
    share, _ = _softmax(SHARPNESS * gains)
    return share.astype(np.float32)


def first_embedding(
    values: Mapping[str, Floats], own: Features, size: int
) -> NDArray[np.float32]:
    """Return a user's embedding from where their entries lie, (k,).

    Args:
        values: the arrays of `READING`.
        own: features of the user.
        size: k.
    """
    place = place_of(values, own)
    embedding = np.zeros(size, np.float32)
    embedding[: len(place)] = REACH * place
    return embedding


def _moments(values: Mapping[str, Floats], own: Features) -> tuple[Floats, Floats]:
    """Return X_u (p, p) and Y_u (p, c) of whitened features."""
    x = (own.x - values["grouping.mean_x"]) @ values["grouping.white_x"]  # (n, p)
    d = (own.d - values["grouping.mean_d"]) @ values["grouping.white_d"]  # (n, c)
    return x.T @ x, x.T @ d


def _softmax(logits: Floats) -> tuple[Floats, Floats]:
    """Return the softmax over the last axis, and the logarithm of its sum."""
    top = logits.max(-1, keepdims=True)
    shares = np.exp(logits - top)
    total = shares.sum(-1, keepdims=True)
    return shares / total, (np.log(total) + top)[..., 0]
