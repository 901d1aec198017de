"""The primitives answer as their standards publish, and masks never repeat."""

import hmac

import numpy as np
import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from hypothesis import given, settings
from hypothesis import strategies as st

from proper_shared.errors import ProtocolError
from proper_shared.secagg import keys, masks
from proper_shared.secagg.binding import Label, View, framed
from proper_shared.secagg.keys import HeldSigner, KeyPair
from proper_shared.secagg.ring import Ring
from proper_shared.secagg.shamir import ORDER

PRIME = 2**255 - 19
VIEW = View(b"c" * 32, b"r" * 32, (0, 1, 2))


def test_x25519_answers_as_rfc_7748_section_6_1():
    alice = KeyPair.of(
        bytes.fromhex(
            "77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a"
        )
    )
    bob = KeyPair.of(
        bytes.fromhex(
            "5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb"
        )
    )
    shared = "4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742"
    alices = "8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a"
    assert alice.public.hex() == alices
    assert keys.agree(alice, bob.public).hex() == shared
    assert keys.agree(bob, alice.public).hex() == shared


def test_ed25519_answers_as_rfc_8032_section_7_1_test_1():
    signer = HeldSigner(
        bytes.fromhex(
            "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60"
        )
    )
    public = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"
    signature = (
        "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e06522490155"
        "5fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b"
    )
    assert signer.identity.hex() == public
    assert signer.sign(b"").hex() == signature
    assert keys.verify(signer.identity, signer.sign(b""), b"")
    assert not keys.verify(signer.identity, signer.sign(b""), b"x")
    assert not keys.verify(b"\xff" * 32, signer.sign(b""), b"")


def hkdf(secret, salt, info, nbytes):
    """HKDF-SHA256 straight from its definition in RFC 5869."""
    extracted = hmac.digest(salt, secret, "sha256")
    block, output = b"", b""
    for count in range(1, -(-nbytes // 32) + 1):
        block = hmac.digest(extracted, block + info + bytes([count]), "sha256")
        output += block
    return output[:nbytes]


def test_derived_keys_are_hkdf_as_rfc_5869_appendix_a_1():
    info = bytes.fromhex("f0f1f2f3f4f5f6f7f8f9")
    assert hkdf(b"\x0b" * 22, bytes(range(13)), info, 42).hex() == (
        "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf"
        "34007208d5b887185865"
    )
    found = keys.derive(b"secret", b"s" * 32, Label.CHANNEL, b"one", b"two")
    bound = framed(Label.CHANNEL, b"one", b"two")
    assert found == hkdf(b"secret", b"s" * 32, bound, 32)


def ctr(key, start, nbytes):
    """AES-CTR from single blocks, as NIST SP 800-38A defines it."""
    block = Cipher(algorithms.AES(key), modes.ECB()).encryptor()  # noqa: S305
    counters = range(start, start + -(-nbytes // 16))
    return b"".join(block.update(c.to_bytes(16, "big")) for c in counters)[:nbytes]


def test_keystreams_are_aes_256_ctr_as_nist_sp_800_38a_f_5_5():
    key = bytes.fromhex(
        "603deb1015ca71be2b73aef0857d77811f352c073b6108d72d9810a30914dff4"
    )
    start = int.from_bytes(range(0xF0, 0x100), "big")
    clear = bytes.fromhex("6bc1bee22e409f96e93d7e117393172a")
    stream = ctr(key, start, 16)
    assert bytes(a ^ b for a, b in zip(clear, stream, strict=True)).hex() == (
        "601ec313775789a5b7a7f504bbf3d228"
    )
    assert keys.keystream(key, 100) == ctr(key, 0, 100)


def test_sealing_is_aes_256_gcm_as_in_its_specification_test_case_14():
    sealed = keys.seal(bytes(32), bytes(16))
    assert sealed.hex() == (
        "cea7403d4d606b6e074ec5d3baf39d18d0d1c8a799996bf0265b98b5d48ab919"
    )
    assert keys.unseal(bytes(32), sealed) == bytes(16)


@settings(deadline=None)
@given(st.integers(0, 80 * 8 - 1))
def test_every_flipped_bit_of_sealed_shares_is_noticed(bit):
    sealed = bytearray(keys.seal(b"k" * 32, b"m" * 64))
    sealed[bit // 8] ^= 1 << bit % 8
    assert keys.unseal(b"k" * 32, bytes(sealed)) is None


@pytest.mark.parametrize("bits", [16, 24])
def test_a_mask_is_the_keystream_in_words_of_the_ring(bits):
    ring, total = Ring(bits), Ring(bits).zeros(50)
    masks.add(ring, total, b"k" * 32, 1)
    word = 2 if bits == 16 else 4
    stream = ctr(b"k" * 32, 0, 50 * word)
    words = [
        int.from_bytes(stream[i : i + word], "little")
        for i in range(0, 50 * word, word)
    ]
    assert ring.reduce(total).tolist() == [w % (1 << bits) for w in words]
    masks.add(ring, total, b"k" * 32, -1)
    assert not total.any()


def mask_of(key):
    total = Ring(16).zeros(64)
    masks.add(Ring(16), total, key, 1)
    return total


def test_every_flipped_bit_of_a_seed_gives_another_mask():
    seed = bytearray(b"s" * 32)
    own, found = masks.self_key(bytes(seed), b"c" * 32, 1), []
    for bit in range(256):
        seed[bit // 8] ^= 1 << bit % 8
        found.append(masks.self_key(bytes(seed), b"c" * 32, 1))
        seed[bit // 8] ^= 1 << bit % 8
    streams = [mask_of(key) for key in [own, *found]]
    assert len({stream.tobytes() for stream in streams}) == 257
    # Half of the bits change: no part of a seed is folded away.
    flipped = np.unpackbits((streams[0] ^ np.array(streams[1:])).view(np.uint8), axis=1)
    assert 0.4 < flipped.mean(1).min() <= flipped.mean(1).max() < 0.6


@settings(deadline=None)
@given(st.binary(min_size=32, max_size=32), st.binary(min_size=32, max_size=32))
def test_two_seeds_never_give_one_mask(one, other):
    same = one == other
    own = [mask_of(masks.self_key(seed, b"c" * 32, 1)) for seed in (one, other)]
    pair = [mask_of(masks.pair_key(seed, VIEW, 0, 1)) for seed in (one, other)]
    assert (own[0] == own[1]).all() == (pair[0] == pair[1]).all() == same
    assert (own[0] != pair[0]).any()


def test_a_mask_serves_one_round_one_view_one_pair_one_purpose():
    other_views = [
        View(b"C" * 32, VIEW.roster, VIEW.sharers),
        View(VIEW.context, b"R" * 32, VIEW.sharers),
        View(VIEW.context, VIEW.roster, (0, 1)),
    ]
    seed = b"s" * 32
    found = {masks.pair_key(seed, view, 0, 1) for view in [VIEW, *other_views]}
    found |= {masks.pair_key(seed, VIEW, 0, 2), masks.pair_key(seed, VIEW, 1, 2)}
    found |= {masks.self_key(seed, VIEW.context, place) for place in (0, 1)}
    ends = [(0, 1), (1, 0)]
    found |= {masks.channel_key(seed, VIEW.context, VIEW.roster, *end) for end in ends}
    assert len(found) == 10
    assert masks.pair_key(seed, VIEW, 2, 1) == masks.pair_key(seed, VIEW, 1, 2)


def low_order_points():
    eight = (
        0x00B8495F16056286FDB1329CEB8D09DA6AC49FF1FAE35616AEB8413B7C7AEBE0,
        0x57119FD0DD4E22D8868E1C58C45C44045BEF839C55B1D0B1248C50A3BC959C5F,
    )
    forms = {0, 1, PRIME - 1, PRIME, PRIME + 1, *eight}
    return sorted(forms | {u + 2**255 for u in forms})


@pytest.mark.parametrize("point", low_order_points(), ids=hex)
def test_points_of_low_order_are_known_in_all_their_forms(point):
    public = point.to_bytes(32, "little")
    assert keys.has_low_order(public)
    with pytest.raises(ProtocolError, match="low order"):
        keys.agree(KeyPair.of(b"k" * 32), public)


@settings(deadline=None)
@given(st.binary(min_size=32, max_size=32))
def test_honest_keys_have_no_low_order_and_fit_the_field(seed):
    pair = KeyPair.of(seed)
    assert not keys.has_low_order(pair.public)
    assert int.from_bytes(pair.secret, "little") < ORDER
    assert KeyPair.of(pair.secret) == pair
    assert pair.secret.hex() not in repr(pair)


def test_scalars_are_drawn_again_when_they_lie_outside_the_field():
    answers = [b"\xff" * 32 + (7).to_bytes(32, "big"), (9).to_bytes(32, "big")]
    assert keys.draw_scalars(lambda nbytes: answers.pop(0)[:nbytes], 2) == [7, 9]


def test_a_memo_answers_as_the_standard_does():
    memo, one, two = keys.memoising(), KeyPair.of(b"1" * 32), KeyPair.of(b"2" * 32)
    for _ in range(2):
        assert memo.agree(one, two.public) == memo.agree(two, one.public)
        assert memo.agree(one, two.public) == keys.agree(one, two.public)
        purpose = b"s" * 32, Label.CHANNEL, b"one", b"two"
        assert memo.derive(b"secret", *purpose) == keys.derive(b"secret", *purpose)
    signer = HeldSigner(b"3" * 32)
    signature = signer.sign(b"yes")
    for message in (b"yes", b"no", b"yes"):
        assert memo.verify(signer.identity, signature, message) == (message == b"yes")
