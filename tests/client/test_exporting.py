"""An export against the personal model, and as stock libraries load it."""

import json
import subprocess
import sys

import pytest
import torch
from click.testing import CliRunner
from safetensors.torch import load_file

from proper_client import exporting
from proper_client.assistant import train
from proper_client.cli import main
from proper_client.exporting import ExportWish, export
from proper_client.opening import Aim
from proper_client.own_entries import entries_for
from proper_client.personal import LEVELS
from proper_client.placement import Wanted
from proper_client.seated import seat
from proper_client.vault import Vault
from proper_client.wish import Wish
from proper_shared.backbone import NANO
from proper_shared.method.collapse import gates_of_embedding, gates_of_entries
from proper_shared.method.layer import Experts
from proper_shared.release import STARTER

NOW = "2026-01-31T12:00:00+00:00"
WORDS = "the ship in the harbor", "a chef and a letter", "the storm of the robot"
OUTPUTS = "comedy", "drama", "drama"
IDS = torch.arange(3, 43).reshape(2, 20)
STOCK = """
import json, sys
import torch
from peft import PeftModel
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM
backbone, out, ids, *folders = sys.argv[1:]
found = {}
for folder in folders:
    if folder.endswith("merged"):
        model = AutoModelForCausalLM.from_pretrained(folder)
    else:
        model = AutoModelForCausalLM.from_pretrained(backbone, dtype=torch.float32)
        model = PeftModel.from_pretrained(model, folder)
    with torch.no_grad():
        logits = model.eval()(torch.tensor(json.loads(ids))).logits
    found[folder.rpartition("/")[2]] = logits.float().contiguous()
save_file(found, out)
assert not any(module.startswith("proper") for module in sys.modules)
"""
KINDS = "personal-adapter", "group-adapter", "personal-merged", "population-adapter"


def write_history(path):
    entries = [
        {
            "text": f"{WORDS[n % 3]}, number {n}",
            "output": ("comedy", "drama")[n % 3 > 0],
        }
        for n in range(12)
    ]
    path.write_text(json.dumps({"task": "tagging", "entries": entries}))
    return path


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A vault with one model, and the history that it learnt."""
    folder = tmp_path_factory.mktemp("me")
    history = write_history(folder / "my.json")
    vault = Vault(folder / "home")
    train(Wish(history, STARTER), vault, NOW)  # its experts differ
    return vault, history


def exported(trained, out, **wish):
    vault, history = trained
    name, entries = entries_for(vault, None, history)
    return export(ExportWish(out, task=name, **wish), vault, entries), entries


@pytest.fixture(scope="module")
def stock(trained, tmp_path_factory):
    """Exports of each kind, and what stock libraries make of them."""
    folder = tmp_path_factory.mktemp("exports")
    done = {}
    for kind in KINDS:
        level, _, how = kind.partition("-")
        wish = {"level": level, "merged": how == "merged"}
        done[kind], _ = exported(trained, folder / kind, **wish)
    out, empty = folder / "logits", folder / "empty"
    empty.mkdir()
    arguments = [str(NANO), str(out), json.dumps(IDS.tolist())]
    arguments += [str(folder / kind) for kind in KINDS]
    subprocess.run(  # noqa: S603 - our own program
        [sys.executable, "-c", STOCK, *arguments], check=True, cwd=empty
    )
    return done, load_file(out)


def with_static_gates(trained, entries, level, monkeypatch):
    """Logits of the personal model whose routers always say the same."""
    seated = seat(trained[0], None, Aim(Wanted(), entries))
    adapted, encoder = seated.opened.adapted, seated.opened.encoder
    adapted.users.use(*LEVELS[level])
    with torch.no_grad():
        routed = adapted.model(IDS).logits
        examples = [encoder.example(entry) for entry in entries]
        gates = gates_of_entries(adapted, examples, encoder.padding)
        fixed = {id(adapted.layers[name].group): gate for name, gate in gates.items()}
        monkeypatch.setattr(
            Experts,
            "route",
            lambda self, logits, _z: fixed[id(self)].expand(logits.shape),
        )
        return routed, adapted.model(IDS).logits


@pytest.mark.parametrize("kind", KINDS[:3])
def test_stock_libraries_answer_as_the_model_with_static_gates(
    trained, stock, monkeypatch, kind
):
    level, _, how = kind.partition("-")
    _, entries = entries_for(trained[0], None, trained[1])
    routed, static = with_static_gates(trained, entries, level, monkeypatch)
    # nano's files, and so those of a merged model, have 16 bits
    tolerance = 0.1 if how == "merged" else 1e-4
    torch.testing.assert_close(stock[1][kind], static, rtol=0, atol=tolerance)
    assert (routed - static).abs().max() > 1e-3


def test_the_population_loses_nothing_by_gates(trained, stock):
    done = stock[0]["population-adapter"]
    assert done.entries == 12
    assert done.static == done.routed
    opened = seat(trained[0], None).opened
    opened.adapted.users.use()
    with torch.no_grad():
        expected = opened.adapted.model(IDS).logits
    found = stock[1]["population-adapter"]
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-4)


def test_what_the_gates_cost_is_measured(stock):
    done = stock[0]["personal-adapter"]
    assert done.routed.metric == "accuracy"
    assert done.routed.nats != done.static.nats
    assert abs(done.routed.nats - done.static.nats) < 1
    card = (done.folder / "README.md").read_text()
    assert f"{done.static.nats:.4f} nats a token ({done.routed.nats:.4f})" in card
    assert "not encrypted" in card


def test_without_entries_the_embedding_decides(trained, tmp_path, monkeypatch):
    seen = []

    def watched(adapted):
        seen.append(gates_of_embedding(adapted))
        return seen[-1]

    monkeypatch.setattr(exporting, "gates_of_embedding", watched)
    wish = ExportWish(tmp_path / "out", level="personal")
    done = export(wish, trained[0], ())
    assert (done.routed, done.static, done.entries) == (None, None, 0)
    for gate in seen[0].values():
        assert float(gate.sum()) == pytest.approx(1, abs=1e-5)
    assert "not measured" in (tmp_path / "out" / "README.md").read_text()


def test_an_export_holds_no_text_and_no_path_of_its_owner(trained, stock):
    for done in stock[0].values():
        for path in done.folder.iterdir():
            data = path.read_bytes()
            assert b"number 1" not in data
            assert str(trained[0].home).encode() not in data
            assert str(NANO).encode() not in data


def run(trained, *options):
    vault, _ = trained
    return CliRunner().invoke(main, ["export", "--home", str(vault.home), *options])


def test_the_command_says_what_it_cost_and_who_can_read_it(trained, tmp_path):
    history = ("--history", str(trained[1]))
    done = run(trained, "--out", str(tmp_path / "out"), *history)
    assert done.exit_code == 0, done.output
    assert "not encrypted" in done.output
    assert "on 12 entries that it has learnt" in done.output
    assert "PeftModel.from_pretrained" in done.output


def test_nothing_is_written_where_something_lies(trained, tmp_path):
    (tmp_path / "thesis").write_text("years")
    done = run(trained, "--out", str(tmp_path))
    assert done.exit_code == 2
    assert "no export wrote" in done.output
    assert (tmp_path / "thesis").read_text() == "years"


def test_a_model_that_learnt_over_4_bits_is_exported_over_plain_weights(
    trained, tmp_path
):
    vault, _ = trained
    arrays, about = vault.load("tagging")
    other = Vault(tmp_path / "home")
    other.save("tagging", arrays, {**about, "precision": "4bit"})
    export(ExportWish(tmp_path / "out"), other, ())
    assert (tmp_path / "out" / "adapter_model.safetensors").is_file()
