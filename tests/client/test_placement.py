"""Where a model goes, decided from numbers alone."""

import pytest

from proper_client import machine as machine_module
from proper_client.footprint import Shape, Share, Where, Work, footprint, whole
from proper_client.machine import Machine, free_memory, this_machine
from proper_client.placement import Wanted, gigabytes, place
from proper_shared.errors import ConfigError, ModelError
from proper_shared.method.config import Method

SEVEN = Shape(4096, 11008, 4096, 4096, 32, 32000, tied=False, stored=16)
SMALL = Shape(128, 352, 128, 128, 3, 4096)
WORK = Work(tokens=200, answer=10, batch=8, asked=16)
METHOD = Method()


def machine(memory=None, gpu=None, *, four_bits=True, cuda=False):
    def nbytes(size):
        return None if size is None else round(size * 1e9)

    has_gpu = cuda or gpu is not None
    return Machine(nbytes(memory), nbytes(gpu), "card", has_gpu, four_bits)


def placed(wish=None, *, shape=SEVEN, work=WORK, **has):
    return place(wish or Wanted(), machine(**has), shape, METHOD, work)


def test_a_small_model_on_a_machine_without_gpu_computes_as_ever():
    found = placed(shape=SMALL, memory=8)
    assert (found.device, found.precision, found.rows) == ("cpu", "float32", None)
    assert found.share == Share(8, 16)


@pytest.mark.parametrize(
    ("gpu", "precision"), [(80, "bfloat16"), (24, "bfloat16"), (9, "4bit")]
)
def test_a_gpu_is_taken_where_the_model_fits(gpu, precision):
    found = placed(memory=64, gpu=gpu)
    assert (found.device, found.precision) == ("cuda", precision)
    assert found.needs.total <= found.has


def test_a_gpu_that_is_too_small_leaves_the_work_to_the_cpu():
    found = placed(memory=64, gpu=2)
    assert (found.device, found.precision) == ("cpu", "float32")


@pytest.mark.parametrize(("memory", "precision"), [(60, "float32"), (24, "bfloat16")])
def test_a_cpu_takes_the_most_exact_that_fits(memory, precision):
    assert placed(memory=memory).precision == precision


def test_weights_are_not_widened_on_a_gpu():
    assert placed(memory=64, gpu=80).precision == "bfloat16"
    wide = Shape(*vars(SEVEN).values())
    assert wide.stored == 16
    assert placed(shape=SMALL, gpu=80, memory=8).precision == "float32"


def test_less_is_computed_at_once_before_a_weight_gets_fewer_bits():
    need = footprint(SEVEN, METHOD, WORK, whole(WORK), Where("cpu", 32)).total
    found = placed(memory=need / 1e9)
    assert found.precision == "float32"
    assert found.rows is not None


def test_computing_twice_comes_last():
    one = footprint(SEVEN, METHOD, WORK, Share(1, 1), Where("cpu", 4)).total
    found = placed(Wanted(precision="4bit"), memory=one * 1.05 / 1e9)
    assert found.share == Share(1, 1, checkpointing=True)
    assert "1 of 8 entries at once, each computed twice" in found.line()


@pytest.mark.parametrize("precision", ["float32", "bfloat16", "4bit"])
@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_what_is_asked_for_is_kept(device, precision):
    found = placed(Wanted(device, precision), memory=200, gpu=200)
    assert (found.device, found.precision) == (device, precision)


def test_what_a_model_learnt_over_is_tried_first():
    found = placed(Wanted(first="4bit"), memory=64)
    assert found.precision == "4bit"
    assert placed(Wanted(precision="bfloat16", first="4bit"), memory=64).bits == 16


def test_weights_that_are_added_to_are_never_in_4_bits():
    wish = Wanted(first="4bit", plain=True)
    assert placed(wish, memory=64).precision == "float32"
    with pytest.raises(ModelError, match="bfloat16") as caught:
        placed(wish, memory=6, four_bits=False)
    assert "4 bits" not in caught.value.hint


def test_full_precision_on_a_gpu_is_for_who_asks_for_it():
    assert placed(Wanted("cuda", "float32"), memory=8, gpu=80).precision == "float32"
    assert placed(Wanted(first="float32"), memory=8, gpu=80).precision == "float32"


@pytest.mark.parametrize(
    ("cuda", "message", "hint"),
    [(True, "torch finds no GPU", "nvidia-smi"), (False, "without CUDA", "pytorch")],
)
def test_a_gpu_that_is_not_there_is_an_error(cuda, message, hint):
    with pytest.raises(ConfigError, match=message) as caught:
        placed(Wanted("cuda"), memory=64, cuda=cuda)
    assert hint in caught.value.hint


@pytest.mark.parametrize("wish", [Wanted(precision="4bit"), Wanted(first="4bit")])
def test_4_bits_need_their_library(wish):
    with pytest.raises(ModelError, match="need bitsandbytes"):
        placed(wish, memory=64, four_bits=False)


def test_4_bits_are_left_out_without_their_library():
    with pytest.raises(ModelError, match="bfloat16"):
        placed(memory=6, four_bits=False)


def test_too_little_memory_says_how_much_and_what_would_help():
    with pytest.raises(ModelError, match=r"about \d.\d GB at the least .*have 2.0"):
        placed(memory=2)
    with pytest.raises(ModelError) as caught:
        placed(Wanted("cpu", "float32"), memory=2)
    assert "leave --precision out" in caught.value.hint
    assert "leave --device out" in caught.value.hint
    assert "shorten the entries" in caught.value.hint


def test_a_machine_that_does_not_tell_is_believed_to_be_large():
    found = placed(memory=None)
    assert found.share == whole(WORK)
    assert "you have" not in found.line()


def test_the_line_says_what_it_needs_and_what_there_is():
    line = placed(memory=8, shape=SMALL).line()
    assert line.startswith("needs about 0.")
    assert line.endswith("GB, you have 8.0 (cpu, float32)")


@pytest.mark.parametrize(
    ("nbytes", "text"), [(5.86e9, "5.9"), (24e9, "24"), (6e8, "0.6")]
)
def test_gigabytes_read_well(nbytes, text):
    assert gigabytes(nbytes) == text


V2 = ("", "memory.max", "memory.current")
V1 = ("memory", "memory.limit_in_bytes", "memory.usage_in_bytes")


@pytest.mark.parametrize(("folder", "most", "taken"), [V1, V2])
def test_a_container_counts_with_its_own_limit(
    tmp_path, folder, most, taken, monkeypatch
):
    monkeypatch.setattr(machine_module, "_own", lambda: 7)
    meminfo, own = tmp_path / "meminfo", tmp_path / folder
    meminfo.write_text("MemTotal: 9000 kB\nMemAvailable:    8000 kB\n")
    assert free_memory(meminfo, tmp_path) == 8000 * 1024 + 7
    own.mkdir(exist_ok=True)
    (own / most).write_text("3000000\n")
    (own / taken).write_text("1000000\n")
    assert free_memory(meminfo, tmp_path) == 2_000_000 + 7
    # what only caches files is given back when somebody needs it
    (own / "memory.stat").write_text("anon 5\nactive_file 300000\ninactive_file 1\n")
    assert free_memory(meminfo, tmp_path) == 2_300_001 + 7
    (own / most).write_text("max\n")
    assert free_memory(meminfo, tmp_path) == 8000 * 1024 + 7


@pytest.mark.parametrize("text", [None, "", "MemAvailable: lots", "nonsense"])
def test_a_system_that_does_not_tell_is_unknown(tmp_path, text):
    if text is not None:
        (tmp_path / "meminfo").write_text(text)
    assert free_memory(tmp_path / "meminfo", tmp_path) is None


def test_this_machine_tells_its_memory():
    found = this_machine()
    assert found.memory is None or found.memory > 2**27
