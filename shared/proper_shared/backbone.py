"""Load the frozen language model that everything else adapts.

A backbone is `nano` (it ships with this package), a local folder or a hub id. Its
weights are read from safetensors only, since a pickle is a program, and no code that
comes with a model is ever run: nobody is asked, and a folder that wants it is refused.

The fingerprint binds a release to its backbone: SHA-256 over the configuration and
over each tensor's name, type, shape and bytes. It does not cover the tokenizer, and it
is the same in 32, 16 and 4 bits, because it is taken from the files.
"""

import hashlib
import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from huggingface_hub import snapshot_download
from huggingface_hub.errors import HfHubHTTPError, HFValidationError
from safetensors import SafetensorError, safe_open
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoTokenizer,
    PretrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING
from transformers.utils import logging

from proper_shared.errors import ConfigError, ModelError
from proper_shared.quantised import four_bits

NANO = Path(__file__).parent / "nano"
Bits = Literal[4, 16, 32]

_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]{0,95}(/[A-Za-z0-9][\w.-]{0,95})?")
_HUB_FILES = ["*.json", "*.safetensors", "*.model", "*.txt", "*.jinja"]
# Written by the library that saved a model, they say nothing of what it computes; nor
# does `auto_map`, which names code that is never run.
_VOLATILE = {"transformers_version", "_name_or_path", "dtype", "torch_dtype"}
_VOLATILE |= {"auto_map"}
# All other ways to attend are code from the hub, or need packages of their own.
_ATTENTION = (None, "eager", "sdpa", "flex_attention")


@dataclass(frozen=True)
class Backbone:
    """A frozen causal language model in evaluation mode, with its tokenizer.

    Attributes:
        model: The model; no parameter asks for a gradient.
        tokenizer: Pads on the left; pad, eos and bos ids are set.
        name: `nano`, or the folder or hub id as it was asked for.
        fingerprint: SHA-256 (hex) of configuration and weights.
    """

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    name: str
    fingerprint: str


def load_backbone(
    name: str = "nano", *, bits: Bits = 32, device: str = "cpu"
) -> Backbone:
    """Load a causal language model and freeze it.

    Args:
        name: `nano`, a local folder, or a hub id where no such folder exists.
        bits: 32 (float32), 16 (bfloat16) or 4 (NF4, needs bitsandbytes).
        device: A torch device.

    Raises:
        ConfigError: `bits` is none of 4, 16 and 32.
        ModelError: The backbone is not there, cannot be reached or does not fit.
    """
    if bits not in (4, 16, 32):
        raise ConfigError(
            f"got {bits} bits, expected 32, 16 or 4",
            hint="32 is exact, 16 is bfloat16, 4 needs bitsandbytes",
        )
    folder, _, tokenizer = look_at(name)
    fingerprint = fingerprint_of(folder)
    model = _model(folder, bits, device)
    model.requires_grad_(requires_grad=False)
    return Backbone(model.train(mode=False), tokenizer, name, fingerprint)


def look_at(name: str) -> tuple[Path, PretrainedConfig, PreTrainedTokenizerBase]:
    """Return folder, configuration and tokenizer of a model; no weight is read.

    Raises:
        ModelError: As `load_backbone`.
    """
    folder = NANO if name == "nano" else _find(name)
    _refuse_detours(folder)
    config = _config(folder)
    return folder, config, _tokenizer(folder, config)


def local_folder(name: str) -> Path | None:
    """Return the folder, absolute, that a backbone's name means on this machine.

    None for `nano`, and where there is no such folder: then it may be a hub id.
    """
    if name == "nano":
        return None
    try:
        folder = Path(name).expanduser()
        return folder.resolve() if folder.is_dir() else None
    except (OSError, RuntimeError):  # a name too long, or the home of nobody
        return None


def public_name(name: str) -> str:
    """Return a backbone's name as others may read it: of a folder the name alone."""
    folder = local_folder(name)
    if folder is None and _HUB_ID.fullmatch(name):
        return name
    return (folder or Path(name)).name


def fingerprint_of(folder: Path) -> str:
    """Return the SHA-256 (hex) of a model folder, one tensor in memory at a time.

    Raises:
        ModelError: The folder has no configuration, or no readable safetensors.
    """
    digest = hashlib.sha256(_canonical_config(folder))
    files: dict[str, Path] = {}
    try:
        for path in sorted(folder.glob("*.safetensors")):
            with safe_open(path, framework="pt") as file:
                if twice := files.keys() & set(file.keys()):
                    hint = "keep one set of weights in the folder"
                    raise ModelError(f"{folder.name} has {min(twice)} twice", hint=hint)
                files.update(dict.fromkeys(file.keys(), path))
        for key in sorted(files):
            with safe_open(files[key], framework="pt") as file:
                _add_tensor(digest.update, key, file.get_tensor(key))
    except (SafetensorError, OSError) as error:
        raise ModelError(
            f"weights in {folder.name} cannot be read: {_first_line(error)}",
            hint="copy or download the folder again",
        ) from error
    if not files:
        raise ModelError(
            f"{folder.name} has no weights, expected *.safetensors",
            hint="save the model with save_pretrained(..., safe_serialization=True)",
        )
    return digest.hexdigest()


def _add_tensor(update: Callable[[Any], None], key: str, tensor: torch.Tensor) -> None:
    update(f"\n{key} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
    update(tensor.contiguous().reshape(-1).view(torch.uint8).numpy())


def _canonical_config(folder: Path) -> bytes:
    config = _settings(folder, "config.json")
    kept = {key: config[key] for key in config if key not in _VOLATILE}
    return json.dumps(kept, sort_keys=True).encode()


def _settings(folder: Path, name: str) -> dict[str, Any]:
    """Read a JSON object that lies beside the weights."""
    try:
        values = json.loads((folder / name).read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ModelError(
            f"{folder.name} has no {name}, expected the folder of a model",
            hint="name the folder that save_pretrained wrote",
        ) from error
    except (ValueError, RecursionError) as error:
        raise ModelError(
            f"{name} in {folder.name} is no JSON: {error}",
            hint="copy or download the folder again",
        ) from error
    if not isinstance(values, dict):
        raise ModelError(
            f"{name} in {folder.name} is a {type(values).__name__}, expected an object",
            hint="copy or download the folder again",
        )
    return values


def _entries(values: object) -> Iterator[tuple[str, Any]]:
    """Yield every key with its value, those of nested objects too."""
    if isinstance(values, dict):
        yield from values.items()
        values = list(values.values())
    if isinstance(values, list):
        for value in values:
            yield from _entries(value)


def _find(name: str) -> Path:
    """Return a local folder, or download a hub id; a local folder always wins."""
    folder = local_folder(name)
    if folder is not None:
        _refuse_code(folder)
        return folder
    if not _HUB_ID.fullmatch(name) or Path(name).exists():
        raise ModelError(
            f"there is no model folder {name}, expected nano, a folder or a hub id",
            hint="check the path, or leave the backbone out to use nano",
        )
    return _download(name)


def _refuse_code(folder: Path) -> None:
    """Refuse a folder that wants code of its own to be run.

    From the hub such a model may come: no Python file is downloaded with it, and where
    transformers knows the model, it is loaded without.
    """
    for name in ("config.json", "tokenizer_config.json"):
        if not (folder / name).is_file():
            continue
        if "auto_map" in dict(_entries(_settings(folder, name))):
            raise ModelError(
                f"{name} in {folder.name} asks for code of its own (auto_map), "
                "which is never run",
                hint=f"if transformers knows the model, take auto_map out of {name}",
            )


def _refuse_detours(folder: Path) -> None:
    """Refuse what would compute with more than the weights that are fingerprinted."""
    if (folder / "adapter_config.json").exists():
        raise ModelError(
            f"{folder.name} has an adapter_config.json, expected a model alone",
            hint="merge the adapter into the weights first (merge_and_unload of PEFT), "
            "and save the model without it",
        )
    for key, value in _entries(_settings(folder, "config.json")):
        if key.endswith("attn_implementation") and value not in _ATTENTION:
            raise ModelError(
                f"config.json in {folder.name} has {key} {str(value)[:100]!r}, "
                "expected eager, sdpa or none",
                hint=f"take {key} out of config.json",
            )
        if key == "quantization_config" and not _is_ours(value):
            raise ModelError(
                f"the model in {folder.name} is quantised, expected plain weights",
                hint="use the model that it was made from; bitsandbytes alone is known",
            )


def _is_ours(quantised: object) -> bool:
    if isinstance(quantised, dict):
        return quantised.get("quant_method") == "bitsandbytes"
    return quantised is None


def _download(name: str) -> Path:
    try:
        return Path(snapshot_download(name, allow_patterns=_HUB_FILES))
    except (HfHubHTTPError, HFValidationError, OSError, ValueError) as error:
        raise ModelError(
            f"{name} is no local folder and the hub did not give it: "
            f"{_first_line(error)}",
            hint="check the name and the network, or name a folder on this machine",
        ) from error


def _config(folder: Path) -> PretrainedConfig:
    _canonical_config(folder)  # tells a missing file from a model we do not know
    try:
        config: PretrainedConfig = AutoConfig.from_pretrained(
            folder, local_files_only=True, trust_remote_code=False
        )
    except Exception as error:  # odd values break a configuration in any way
        raise ModelError(
            f"{folder.name} holds a model that transformers does not know",
            hint="use a model whose code is part of transformers",
        ) from error
    if type(config) not in MODEL_FOR_CAUSAL_LM_MAPPING:
        raise ModelError(
            f"{folder.name} holds a {config.model_type} model, "
            "expected a causal language model",
            hint="use a decoder such as Llama, Mistral, Qwen or Gemma",
        )
    return config


def _tokenizer(folder: Path, config: PretrainedConfig) -> PreTrainedTokenizerBase:
    names = ("tokenizer.json", "tokenizer.model", "vocab.json")
    if not any((folder / name).is_file() for name in names):
        raise ModelError(
            f"{folder.name} has no tokenizer, expected tokenizer.json",
            hint="save the tokenizer into the model's folder with save_pretrained",
        )
    try:
        tokenizer = AutoTokenizer.from_pretrained(
            folder,
            local_files_only=True,
            trust_remote_code=False,
            padding_side="left",
        )
    except Exception as error:  # the tokenizers library raises bare Exception
        raise ModelError(
            f"the tokenizer in {folder.name} cannot be read: {_first_line(error)}",
            hint="use one that transformers knows, or download the folder again",
        ) from error
    return _with_special_tokens(tokenizer, folder, config)


def _with_special_tokens(
    tokenizer: PreTrainedTokenizerBase, folder: Path, config: PretrainedConfig
) -> PreTrainedTokenizerBase:
    """Let eos stand in for a pad or bos token that the model never had."""
    if tokenizer.eos_token_id is None:
        raise ModelError(
            f"the tokenizer in {folder.name} has no end-of-sequence token",
            hint="set eos_token in tokenizer_config.json",
        )
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    if tokenizer.bos_token_id is None:
        tokenizer.bos_token = tokenizer.eos_token
    vocabulary = config.get_text_config().vocab_size
    if len(tokenizer) > vocabulary:
        raise ModelError(
            f"the tokenizer in {folder.name} has {len(tokenizer)} tokens, "
            f"expected at most the model's {vocabulary}",
            hint="use the tokenizer that the model was trained with",
        )
    return tokenizer


def _model(folder: Path, bits: Bits, device: str) -> PreTrainedModel:
    options: dict[str, Any] = {"local_files_only": True, "use_safetensors": True}
    options["trust_remote_code"] = False
    options["dtype"] = torch.float32 if bits == 32 else torch.bfloat16
    if bits == 4:
        options["quantization_config"] = four_bits()
        options["device_map"] = {"": device}
    try:
        with quiet_transformers():
            both: Any = AutoModelForCausalLM.from_pretrained(
                folder, output_loading_info=True, **options
            )
    except Exception as error:  # odd values break a model in any way
        raise ModelError(
            f"the model in {folder.name} cannot be loaded: {_first_line(error)}",
            hint="check that weights and config.json belong together",
        ) from error
    model, info = both
    if info["missing_keys"]:  # transformers would go on with random numbers
        raise ModelError(
            f"weights in {folder.name} lack {min(info['missing_keys'])}, "
            "expected a whole causal language model",
            hint="check that weights and config.json belong together",
        )
    if bits != 4:
        model.to(device)
    loaded: PreTrainedModel = model
    return loaded


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


@contextmanager
def quiet_transformers() -> Iterator[None]:
    """Silence bars and warnings of transformers for a while.

    What they would say becomes an error of ours. The setting is the whole process's.
    """
    bars, verbosity = logging.is_progress_bar_enabled(), logging.get_verbosity()
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()  # type: ignore[no-untyped-call]
