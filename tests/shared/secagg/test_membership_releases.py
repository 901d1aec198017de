"""A release in the membership log: named once, for everybody, by the coordinator."""

import json
from datetime import date, timedelta

import pytest
from toy_round import signer_of

from proper_shared.errors import FormatError, ProtocolError
from proper_shared.secagg.membership import Log

COORDINATOR, STRANGER = signer_of("c"), signer_of("x")
ANNA = signer_of("anna").identity
DAY = date(2026, 3, 1)
ONE, TWO = bytes([1]) * 32, bytes([2]) * 32
LATER = DAY + timedelta(1)


def named():
    log = Log.found(COORDINATOR, None, DAY).add(COORDINATOR, ANNA, DAY)
    return log.name_release(COORDINATOR, ONE, 3, LATER)


def test_a_log_names_releases_by_version_and_its_members_stay():
    log = named().name_release(COORDINATOR, TWO, 5, LATER)
    assert log.releases == {3: ONE.hex(), 5: TWO.hex()}
    assert log.members.keys() == {ANNA}
    read = Log.parse(log.dump(), pinned=named().head)
    assert (read.releases, read.head) == (log.releases, log.head)


def test_the_same_content_may_come_out_again_as_a_new_version():
    log = named().name_release(COORDINATOR, ONE, 4, LATER)
    assert log.releases == {3: ONE.hex(), 4: ONE.hex()}


@pytest.mark.parametrize("version", [3, 2, 1])
def test_a_version_is_named_once_and_never_afterwards(version):
    with pytest.raises(ProtocolError, match="after version 3"):
        named().name_release(COORDINATOR, TWO, version, LATER)


def test_a_log_from_before_releases_has_the_same_bytes_and_hashes():
    log = Log.found(COORDINATOR, None, DAY).add(COORDINATOR, ANNA, DAY)
    for entry in log.entries:
        assert {"release", "version"}.isdisjoint(json.loads(entry.dump()))
    assert {"release", "version"} <= json.loads(named().entries[-1].dump()).keys()


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"release": TWO.hex()}, "did not sign"),
        ({"version": 9}, "did not sign"),
        ({"kind": "add"}, "half of a release"),
        ({"version": None}, "half of a release"),
        ({"release": None}, "half of a release"),
    ],
)
def test_an_entry_of_a_release_cannot_be_changed(change, match):
    *before, last = named().entries
    with pytest.raises(ProtocolError, match=match):
        Log((*before, last.model_copy(update=change)))


def test_only_the_coordinator_names_a_release():
    *before, last = named().entries
    other = last.model_copy(update={"identity": STRANGER.identity.hex()})
    signed = COORDINATOR.sign(other.signed()).hex()
    with pytest.raises(ProtocolError, match="the coordinator does not name"):
        Log((*before, other.model_copy(update={"signature": signed})))
    with pytest.raises(ProtocolError, match="did not sign"):
        Log(tuple(before)).name_release(STRANGER, ONE, 3, LATER)


@pytest.mark.parametrize("version", ["true", "0", "-1", '"3"', "3.0"])
def test_a_version_is_a_whole_number(version):
    line = (
        named()
        .entries[-1]
        .dump()
        .replace(b'"version":3', b'"version":%b' % (version.encode()))
    )
    with pytest.raises(FormatError, match="version"):
        Log.parse(named().dump().rpartition(b"{")[0] + line + b"\n")
