"""The cost of a round: bytes of real messages, and time that is not training."""

import json

import pytest
from small_run import llama, small

from proper_simulations.bench import round_cost
from proper_simulations.bench.round_cost import DECODERS, RANK, as_text, by_shape
from proper_simulations.config import RunConfig

__all__ = ["llama", "small"]  # fixtures


class Ticks:
    """A clock that moves one second each time it is looked at."""

    def __init__(self):
        self.now = 0

    def __call__(self):
        self.now += 1
        return float(self.now)


@pytest.fixture(scope="module")
def found(small, llama):  # noqa: ARG001  small changes the runs
    base = RunConfig(users=4, backbone=str(llama))
    return round_cost.round_cost((4, 16), base, rounds=4, clock=Ticks())


def test_each_part_cohort_and_way_has_a_row(found):
    assert found == json.loads(as_text(found, as_json=True))
    assert {"command", "seed", "machine", "versions"} <= found.keys()
    rows = [(r["part"], r["cohort"], r["masked"]) for r in found["rows"]]
    assert len(rows) == len(set(rows)) == 8
    assert len(as_text(found, as_json=False).splitlines()) == 2 + 8 + 4


def test_training_is_counted_apart_from_the_rest(found):
    for row in found["rows"]:
        # The trainer looks at the clock twice, and so does each round once.
        assert (row["round_s"], row["training_s"], row["rest_s"]) == (3, 1, 2)
        assert row["share"] == pytest.approx(2 / 3)


def test_under_masks_a_client_sends_half_the_bytes_and_what_the_phases_need(found):
    rows = {(r["part"], r["cohort"], r["masked"]): r for r in found["rows"]}
    for cohort, part in [(4, "population"), (16, "population"), (16, "group")]:
        masked, plain = rows[part, cohort, True], rows[part, cohort, False]
        assert plain["protocol_sent"] < 200
        others = cohort - 1
        # An advert, shares for each other, a signature, a share of each; five headers.
        phases = 160 + 80 * others + 64 + 32 * cohort + 5 * 33
        assert phases < masked["protocol_sent"] < phases + 500
        assert masked["received"] > plain["received"]
        assert masked["probe_sent"] > 0


def test_flowertune_sends_both_factors_whole():
    row = by_shape("Mistral 7B", 100, 0)
    assert row["flowertune"] == 52 * 2**20  # as its baseline reports, in MiB
    assert row["sent_share"] == 0.25
    assert by_shape("Mistral 7B", 100, 1e6)["sent"] == row["sent"] + 1e6
    with pytest.raises(KeyError):
        by_shape("another", 100, 0)


def test_the_factors_of_a_decoder_are_those_of_peft():
    peft = pytest.importorskip("peft")
    transformers = pytest.importorskip("transformers")
    shape = DECODERS["Llama 3.2 1B"]
    config = transformers.LlamaConfig(
        hidden_size=shape.hidden,
        intermediate_size=8,
        num_hidden_layers=1,
        num_attention_heads=32,
        num_key_value_heads=8,
        vocab_size=8,
    )
    model = peft.get_peft_model(
        transformers.LlamaForCausalLM(config),
        peft.LoraConfig(r=RANK, target_modules=["q_proj", "v_proj"]),
    )
    trained, _ = model.get_nb_trainable_parameters()
    assert trained * shape.blocks == sum(shape.factors(RANK))
