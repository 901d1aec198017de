import io
import json
import shutil
import sys

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import BertConfig, BertModel, T5Config

from proper_shared import backbone
from proper_shared.backbone import (
    NANO,
    fingerprint_of,
    load_backbone,
    local_folder,
    public_name,
)
from proper_shared.errors import ConfigError, ModelError


@pytest.fixture
def folder(tmp_path):
    """A copy of nano that a test may spoil."""
    return shutil.copytree(NANO, tmp_path / "model")


def change(path, **values):
    content = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps(content | values), encoding="utf-8")


def logits(loaded, text="the ship left the harbor"):
    ids = loaded.tokenizer(text, return_tensors="pt")["input_ids"]
    with torch.no_grad():
        return loaded.model(input_ids=ids).logits


def test_nano_is_frozen_and_in_evaluation_mode():
    loaded = load_backbone("nano")
    assert not loaded.model.training
    assert not any(p.requires_grad for p in loaded.model.parameters())
    assert {p.dtype for p in loaded.model.parameters()} == {torch.float32}


def test_nano_ships_at_most_16_mb():
    assert sum(path.stat().st_size for path in NANO.iterdir()) <= 16 * 2**20


def test_tokens_that_others_rely_on_are_set():
    tokenizer = load_backbone().tokenizer
    ids = {tokenizer.pad_token_id, tokenizer.eos_token_id, tokenizer.bos_token_id}
    assert len(ids - {None}) == 3
    assert tokenizer.padding_side == "left"


def test_a_folder_loads_like_the_package(folder):
    assert torch.equal(logits(load_backbone(str(folder))), logits(load_backbone()))


def test_16_bits_are_bfloat16_and_nearly_the_same():
    short, full = load_backbone(bits=16), load_backbone()
    assert short.model.dtype == torch.bfloat16
    assert short.fingerprint == full.fingerprint
    torch.testing.assert_close(logits(short).float(), logits(full), atol=0.5, rtol=0.1)


def test_an_odd_number_of_bits_is_refused():
    with pytest.raises(ConfigError, match="got 8 bits, expected 32, 16 or 4"):
        load_backbone(bits=8)


def gradient(model, ids):
    weight = model.get_input_embeddings().weight
    weight.requires_grad_()
    model(input_ids=ids, labels=ids).loss.backward()
    taken, weight.grad = weight.grad.clone(), None
    return taken


def test_an_evaluation_in_4_bits_leaves_gradients_as_they_were():
    pytest.importorskip("bitsandbytes")
    loaded = load_backbone(bits=4)
    ids = torch.arange(3, 40)[None]
    before = gradient(loaded.model, ids)
    with torch.no_grad():
        loaded.model(input_ids=ids)
    assert before.abs().sum() > 0
    assert torch.equal(gradient(loaded.model, ids), before)


def test_4_bits_without_bitsandbytes_say_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "bitsandbytes.nn.modules", None)
    with pytest.raises(ModelError, match="need bitsandbytes") as caught:
        load_backbone(bits=4)
    assert "pip install" in caught.value.hint


def test_the_fingerprint_knows_weights_and_configuration_only(folder):
    original = fingerprint_of(folder)
    assert original == load_backbone().fingerprint
    change(folder / "config.json", transformers_version="9.9", dtype="float32")
    (folder / "tokenizer.json").unlink()
    assert fingerprint_of(folder) == original
    change(folder / "config.json", rms_norm_eps=0.5)
    assert fingerprint_of(folder) != original


def test_the_fingerprint_does_not_depend_on_the_number_of_files(folder):
    original = fingerprint_of(folder)
    weights = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    for number, name in enumerate(sorted(weights, reverse=True)):
        save_file({name: weights[name]}, folder / f"part-{number}.safetensors")
    assert fingerprint_of(folder) == original


def test_weights_that_stand_twice_are_refused(folder):
    """Else other weights could hide behind the fingerprint of these."""
    shutil.copy(folder / "model.safetensors", folder / "other.safetensors")
    with pytest.raises(ModelError, match="twice"):
        fingerprint_of(folder)


def test_one_changed_number_changes_the_fingerprint(folder):
    original = fingerprint_of(folder)
    weights = load_file(folder / "model.safetensors")
    weights["model.norm.weight"][3] += 0.5
    save_file(weights, folder / "model.safetensors")
    assert fingerprint_of(folder) != original


def spoil_nothing_there(folder):
    shutil.rmtree(folder)


def spoil_no_config(folder):
    (folder / "config.json").unlink()


def spoil_config(folder):
    (folder / "config.json").write_text("{", encoding="utf-8")


def spoil_list(folder):
    (folder / "config.json").write_text("[]", encoding="utf-8")


def spoil_kind(folder):
    change(folder / "config.json", model_type="abacus")


def spoil_encoder(folder):
    tiny = BertConfig(
        vocab_size=4096, hidden_size=8, num_attention_heads=1, num_hidden_layers=1
    )
    BertModel(tiny).save_pretrained(folder)


def spoil_two_towers(folder):
    T5Config().save_pretrained(folder)


def spoil_no_tokenizer(folder):
    (folder / "tokenizer.json").unlink()


def spoil_tokenizer(folder):
    (folder / "tokenizer.json").write_text('{"model": 3}', encoding="utf-8")


def spoil_end(folder):
    change(folder / "tokenizer_config.json", eos_token=None)


def spoil_vocabulary(folder):
    change(folder / "config.json", vocab_size=300)


def spoil_no_weights(folder):
    (folder / "model.safetensors").unlink()


def spoil_weights(folder):
    content = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(content[:-1000])


def spoil_shapes(folder):
    change(folder / "config.json", intermediate_size=64)


def spoil_depth(folder):
    (folder / "config.json").write_text("[" * 100_000, encoding="utf-8")


def spoil_attention(folder):
    change(folder / "config.json", attn_implementation="kernels-community/flash-attn")


def spoil_inner_attention(folder):
    change(folder / "config.json", text_config={"_attn_implementation": {"": "x/y"}})


def spoil_quantised(folder):
    quantised = {"quant_method": "gptq", "bits": 4, "group_size": 128}
    change(folder / "config.json", quantization_config=quantised)


def spoil_adapter(folder):
    (folder / "adapter_config.json").write_text("{}", encoding="utf-8")


def spoil_heads(folder):
    change(folder / "config.json", num_attention_heads=0)


def spoil_layers(folder):
    change(folder / "config.json", num_hidden_layers="three")


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (spoil_nothing_there, "there is no model folder .*, expected nano, a folder"),
        (spoil_no_config, "model has no config.json, expected the folder of a model"),
        (spoil_config, "config.json in model is no JSON"),
        (spoil_list, "config.json in model is a list, expected an object"),
        (spoil_depth, "config.json in model is no JSON"),
        (spoil_attention, "has attn_implementation 'kernels-community/flash-attn'"),
        (spoil_inner_attention, "has _attn_implementation .*, expected eager, sdpa"),
        (spoil_quantised, "the model in model is quantised, expected plain weights"),
        (spoil_adapter, "has an adapter_config.json, expected a model alone"),
        (spoil_heads, "model"),
        (spoil_layers, "model"),
        (spoil_kind, "a model that transformers does not know"),
        (spoil_two_towers, "holds a t5 model, expected a causal language model"),
        (spoil_encoder, "lack .*, expected a whole causal language model"),
        (spoil_no_tokenizer, "has no tokenizer, expected tokenizer.json"),
        (spoil_tokenizer, "the tokenizer in model cannot be read"),
        (spoil_end, "the tokenizer in model has no end-of-sequence token"),
        (spoil_vocabulary, "has 4096 tokens, expected at most the model's 300"),
        (spoil_no_weights, "has no weights, expected"),
        (spoil_weights, "weights in model cannot be read"),
        (spoil_shapes, "the model in model cannot be loaded"),
    ],
)
def test_a_folder_that_does_not_fit_is_refused_with_a_hint(folder, spoil, message):
    spoil(folder)
    with pytest.raises(ModelError, match=message) as caught:
        load_backbone(str(folder))
    assert caught.value.hint
    assert "\n" not in str(caught.value)


def test_eos_stands_in_for_a_missing_pad_and_bos(folder):
    change(folder / "tokenizer_config.json", pad_token=None, bos_token=None)
    tokenizer = load_backbone(str(folder)).tokenizer
    assert tokenizer.pad_token_id == tokenizer.bos_token_id == tokenizer.eos_token_id


def test_an_unreachable_hub_is_an_error_with_a_hint(monkeypatch):
    def offline(*_, **__):
        message = "cannot reach the hub\nlong story"
        raise OSError(message)

    monkeypatch.setattr(backbone, "snapshot_download", offline)
    with pytest.raises(ModelError, match="nobody/nothing is no local folder") as caught:
        load_backbone("nobody/nothing")
    assert "long story" not in str(caught.value)
    assert "network" in caught.value.hint


def test_a_local_folder_wins_over_the_hub(folder, monkeypatch):
    def never(*_, **__):
        pytest.fail("asked the hub")

    monkeypatch.setattr(backbone, "snapshot_download", never)
    monkeypatch.chdir(folder.parent)
    assert load_backbone("model").fingerprint == fingerprint_of(NANO)


@pytest.mark.parametrize(
    "text", ["👩‍👩‍👧 ❤️ 🇫🇷", "שלום עולם", "مرحبا \u202eabc", "a\x00b\r\n\t c", "  x  "]
)
def test_any_text_survives_the_tokenizer(text):
    tokenizer = load_backbone().tokenizer
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    assert tokenizer.decode(ids) == text


@pytest.mark.parametrize("score", ["1", "2", "3", "4", "5"])
def test_a_score_is_one_token(score):
    assert len(load_backbone().tokenizer(f" {score}")["input_ids"]) == 1


TRAP = """
from pathlib import Path
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

Path({marker!r}).write_text("ran")

class Config(LlamaConfig): pass
class Model(LlamaForCausalLM): pass
class Tokenizer(PreTrainedTokenizerFast): pass
"""
CLASSES = {
    "config.json": {"AutoConfig": "trap.Config", "AutoModelForCausalLM": "trap.Model"},
    "tokenizer_config.json": {"AutoTokenizer": ["trap.Tokenizer", "trap.Tokenizer"]},
}


@pytest.fixture
def trapped(folder, tmp_path, monkeypatch):
    """Give the folder code that leaves a marker, and answer every question with y."""
    marker = tmp_path / "marker"
    (folder / "trap.py").write_text(TRAP.format(marker=str(marker)))
    monkeypatch.setattr(sys, "stdin", io.StringIO("y\n" * 20))
    return folder, marker


@pytest.mark.parametrize("name", CLASSES)
@pytest.mark.parametrize("kind", ["llama", "abacus"])
def test_a_folder_that_wants_code_of_its_own_is_refused(trapped, name, kind):
    folder, marker = trapped
    change(folder / "config.json", model_type=kind)
    change(folder / "tokenizer_config.json", tokenizer_class="Odd")
    change(folder / name, auto_map=CLASSES[name])
    with pytest.raises(ModelError, match=rf"{name} in model asks for code") as caught:
        load_backbone(str(folder))
    assert "take auto_map out" in caught.value.hint
    assert not marker.exists()


def from_hub(monkeypatch, folder):
    monkeypatch.setattr(backbone, "snapshot_download", lambda *_, **__: str(folder))
    return load_backbone("somebody/model")


def test_a_known_model_of_the_hub_is_loaded_without_its_code(trapped, monkeypatch):
    folder, marker = trapped
    for name, classes in CLASSES.items():
        change(folder / name, auto_map=classes)
    loaded = from_hub(monkeypatch, folder)
    assert torch.equal(logits(loaded), logits(load_backbone()))
    assert loaded.fingerprint == fingerprint_of(NANO)
    assert not marker.exists()


@pytest.mark.parametrize(
    ("name", "values", "match"),
    [
        ("config.json", {"model_type": "abacus"}, "transformers does not know"),
        ("tokenizer_config.json", {"tokenizer_class": "Odd"}, "contains custom code"),
    ],
)
def test_a_model_of_the_hub_that_needs_its_code_is_refused(
    trapped, monkeypatch, name, values, match
):
    folder, marker = trapped
    change(folder / name, auto_map=CLASSES[name], **values)
    with pytest.raises(ModelError, match=match):
        from_hub(monkeypatch, folder)
    assert not marker.exists()


def test_only_what_lies_here_is_a_local_folder(folder, monkeypatch):
    monkeypatch.chdir(folder.parent)
    (folder.parent / "nano").mkdir()
    assert local_folder("model") == local_folder(str(folder)) == folder.resolve()
    for name in ("nano", "org/model", "~nobody-of-that-name/x", "x" * 5000, "a\0b"):
        assert local_folder(name) is None


def test_others_read_a_hub_id_whole_and_of_a_folder_the_name_alone(folder, monkeypatch):
    monkeypatch.chdir(folder.parent)
    assert public_name("nano") == "nano"
    assert public_name("org/model") == "org/model"
    assert public_name("/home/ann/gone") == "gone"
    assert public_name(str(folder)) == public_name("./model") == "model"
    (folder.parent / "org" / "model").mkdir(parents=True)
    assert public_name("org/model") == "model"
