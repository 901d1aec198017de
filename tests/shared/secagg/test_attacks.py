"""Known attacks: each refused, and each successful once its check is switched off.

A success is the honest vector itself, got from what was sent, wherever the attack aims
at one; else the attack passes unnoticed. The cohort has ten members: Q is 7, t is 5,
and 3 may side with the coordinator.
"""

import pytest
from adversary import EVERYBODY, VICTIM, Adversary, Lies, N, refused
from toy_round import Drops, network_of

from proper_shared.errors import ProtocolError
from proper_shared.secagg import masks, messages, shamir
from proper_shared.secagg.binding import RoundId, View
from proper_shared.secagg.keys import Suite
from proper_shared.secagg.member import Member
from proper_shared.secagg.messages import Phase, Roster, write


def lost_and_alive(accomplices, sides):
    """Tell one side that the victim is alive, the other that it is lost."""
    lies = Lies(network_of(N), accomplices)
    roster, view = lies.masked()
    views = EVERYBODY, EVERYBODY[1:]
    forged = []
    for survivors, side in zip(views, sides, strict=True):
        forged.append(lies.agree(side, survivors))
        message = view.agreement(survivors)
        signers = lies.network.signers
        forged[-1] |= {place: signers[place].sign(message) for place in accomplices}
    for survivors, side, signatures in zip(views, sides, forged, strict=True):
        for place in side:
            lies.open(place, survivors, dict(sorted(signatures.items())[:7]))
    return lies, lies.vector_of_victim(roster, view)


def test_the_same_client_is_not_lost_and_alive(without):
    sides = (range(5), range(5, N))
    with refused("below-quorum"):
        lost_and_alive((), sides)
    without("agreed")
    lies, found = lost_and_alive((), sides)
    assert (found == lies.network.vectors[VICTIM]).all()


def test_as_many_accomplices_as_allowed_complete_one_view_alone():
    for cut in range(1, 7):  # all ways to split seven honest members
        with refused("below-quorum"):
            lost_and_alive((7, 8, 9), (range(cut), range(cut, 7)))


def test_one_accomplice_more_than_allowed_completes_two_views():
    """The bound is exact: this is what `Quorum.colluders` does not cover."""
    lies, found = lost_and_alive((6, 7, 8, 9), (range(3), range(3, 6)))
    assert (found == lies.network.vectors[VICTIM]).all()


def test_signatures_on_another_view_are_no_agreement(without):
    lies = Lies(network_of(N))
    lies.masked()
    signatures = lies.agree(EVERYBODY[1:], EVERYBODY[1:])
    lies.agree([VICTIM], EVERYBODY)
    with refused("no-agreement"):
        lies.open(VICTIM, EVERYBODY, signatures)
    without("agreed")
    lies.open(VICTIM, EVERYBODY, signatures)


def two_rosters():
    """Show half of the members a roster in which another one never joined."""
    lies = Lies(network_of(N))
    adverts = {place: lies.ask(place, Phase.JOIN, b"") for place in EVERYBODY}
    whole = Roster({p: messages.Advert.parse(data) for p, data in adverts.items()})
    partial = Roster({place: whole[place] for place in EVERYBODY[:9]})
    told = {place: whole if place < 5 or place == 9 else partial for place in whole}
    for place, roster in told.items():
        lies.ask(place, Phase.SHARE, roster.dump())
    among, junk = EVERYBODY[:9], [b"j" * messages.SEALED_NBYTES] * 8
    for place in among:
        lies.ask(place, Phase.MASK, messages.write_deal(among, junk))
    signatures = lies.agree(among, among)
    for place in among:
        lies.ask(place, Phase.OPEN, messages.write_table(signatures))


def test_two_views_of_the_roster_come_to_no_agreement(without):
    with refused("no-agreement"):
        two_rosters()
    without("agreed")
    two_rosters()  # unnoticed


def two_lists_of_sharers():
    """Tell half of the members that another one dealt no shares."""
    lies = Lies(network_of(N))
    network = lies.network
    collector = network.collector
    for _ in range(2):
        network.step(collector)
    fewer = EVERYBODY[:9]
    for place, request in collector.requests().items():
        sharers, sealed = messages.read_deal(request[33:], place, N)
        if 5 <= place < 9:
            sharers = fewer
            del sealed[9]
        body = messages.write_deal(sharers, sealed.values())
        lies.ask(place, Phase.MASK, body)
    signatures = lies.agree(fewer, fewer)
    for place in fewer:
        lies.ask(place, Phase.OPEN, messages.write_table(signatures))


def test_two_lists_of_sharers_come_to_no_agreement(without):
    with refused("no-agreement"):
        two_lists_of_sharers()
    without("agreed")
    two_lists_of_sharers()  # unnoticed


def two_models():
    """Give all but the victim a model on which their updates are zero.

    The sum would be the victim's update (Pasquini et al. 2022). The coordinator puts
    each member's own context on its messages, and takes every signature for good.
    """
    honest, crafted = network_of(N), network_of(N, parameters=b"c" * 32)
    zero = honest.round_id.ring.zeros(honest.round_id.length)
    for place in EVERYBODY[1:]:
        args = honest.signers[place], crafted.round_id, honest.known, zero
        honest.members[place] = Member(*args, Drops("crafted", place))
    crafted.suite = Suite(verify=lambda *_: True)
    own = [Adversary(network).context for network in (honest, crafted)]
    collector = crafted.collector
    while requests := collector.requests():
        told = {p: r[:1] + own[p != VICTIM] + r[33:] for p, r in requests.items()}
        said = {p: honest.members[p].answer(request) for p, request in told.items()}
        collector.receive({p: a[:1] + own[1] + a[33:] for p, a in said.items()})
    return honest.vectors[VICTIM], collector


def test_two_models_come_to_no_sum(without):
    with refused("bad-signature"):
        two_models()
    without("signed_keys")
    with refused("no-agreement"):
        two_models()
    without("agreed")
    _, collector = two_models()
    with pytest.raises(ProtocolError, match=f"no sum without seat {VICTIM}"):
        collector.result()  # keys are bound as well: there is nothing to add


def test_two_models_would_come_to_a_sum_if_the_round_did_not_bind_them(monkeypatch):
    bound, same = RoundId.context, network_of(N).round_id
    monkeypatch.setattr(RoundId, "context", lambda _, cohort: bound(same, cohort))
    vector, collector = two_models()
    assert (collector.result().total == vector).all()


def swapped_keys():
    """Put keys of the coordinator's in the place of everybody else's."""
    lies = Lies(network_of(N))
    own = network_of(N, seed=99)
    lies.adversary = Adversary(own, EVERYBODY[1:])
    advert = messages.Advert.parse(lies.ask(VICTIM, Phase.JOIN, b""))
    request = write(Phase.JOIN, lies.context, b"")
    forged = {p: own.members[p].answer(request)[33:] for p in EVERYBODY[1:]}
    unsigned = {p: data[:96] + bytes(64) for p, data in forged.items()}
    others = {p: messages.Advert.parse(data) for p, data in unsigned.items()}
    roster = Roster({VICTIM: advert} | others)
    dealt = lies.ask(VICTIM, Phase.SHARE, roster.dump())
    lies.adversary.read_deals(roster, {VICTIM: bytes(33) + dealt})
    junk = [b"j" * messages.SEALED_NBYTES] * 9
    masked = lies.ask(VICTIM, Phase.MASK, messages.write_deal(EVERYBODY, junk))
    view = View(lies.context, roster.digest, EVERYBODY)
    found = lies.adversary.update_of(VICTIM, roster, view, bytes(33) + masked)
    return lies.network.vectors[VICTIM], found


def test_swapped_keys_are_refused(without):
    with refused("bad-signature"):
        swapped_keys()
    without("signed_keys")
    vector, found = swapped_keys()
    assert (found == vector).all()


def reflected_shares():
    """Hand a member its own shares as those of three whom it believes lost.

    When the round is opened it gives its shares of their keys away: its own key, at
    three places. Two accomplices know it at two more, and t is five.
    """
    lies = Lies(network_of(N), (1, 2))
    collector, network = lies.network.collector, lies.network
    for _ in range(2):
        network.step(collector)
    roster = Roster.parse(network.asked[Phase.SHARE][VICTIM][33:], N)
    lies.adversary.read_deals(roster, network.said[Phase.SHARE])
    requests, lost = dict(collector.requests()), (7, 8, 9)
    _, sealed = messages.read_deal(requests[VICTIM][33:], VICTIM, N)
    dealt = messages.read_rows(network.said[Phase.SHARE][VICTIM][33:], 9)
    sealed |= {place: dealt[place - 1] for place in lost}
    body = messages.write_deal(EVERYBODY, sealed.values())
    requests[VICTIM] = write(Phase.MASK, lies.context, body)
    alive = [place for place in EVERYBODY if place not in lost]
    said = {place: network.members[place].answer(requests[place]) for place in alive}
    collector.receive(said)
    network.said[Phase.MASK] = said
    for _ in range(2):
        network.step(collector)
    opened = network.said[Phase.OPEN]
    for holder, answer in opened.items():
        lies.adversary.read_opened(holder, EVERYBODY, alive, answer)
    rows = messages.read_rows(opened[VICTIM][33:], N, shamir.NBYTES)
    for place in lost:
        lies.adversary.hold("key", VICTIM, place, rows[place])
    view = View(lies.context, roster.digest, EVERYBODY)
    return network.vectors[VICTIM], lies.vector_of_victim(roster, view), rows[7:]


def test_replayed_shares_do_not_open(monkeypatch):
    _, found, rows = reflected_shares()
    assert found is None
    assert set(rows) == {messages.NO_SHARE}
    derive = masks.channel_key
    monkeypatch.setattr(
        masks,
        "channel_key",
        lambda *args, **how: derive(*args[:3], *sorted(args[3:]), **how),
    )
    vector, found, _ = reflected_shares()
    assert (found == vector).all()


def replayed_session():
    """Show a member an older roster, all keys of which are known by now."""
    old, lies = network_of(N, serial=2), Lies(network_of(N))
    lies.adversary = Adversary(old, EVERYBODY[1:])
    old.step(old.collector)
    adverts = {
        p: messages.Advert.parse(a[33:]) for p, a in old.said[Phase.JOIN].items()
    }
    own = messages.Advert.parse(lies.ask(VICTIM, Phase.JOIN, b""))
    roster = Roster(adverts | {VICTIM: own})
    dealt = lies.ask(VICTIM, Phase.SHARE, roster.dump())
    lies.adversary.context = lies.context
    lies.adversary.read_deals(roster, {VICTIM: bytes(33) + dealt})
    junk = [b"j" * messages.SEALED_NBYTES] * 9
    masked = lies.ask(VICTIM, Phase.MASK, messages.write_deal(EVERYBODY, junk))
    view = View(lies.context, roster.digest, EVERYBODY)
    found = lies.adversary.update_of(VICTIM, roster, view, bytes(33) + masked)
    return lies.network.vectors[VICTIM], found


def test_keys_of_an_older_session_are_refused(without):
    with refused("bad-signature"):
        replayed_session()
    without("signed_keys")
    vector, found = replayed_session()
    assert (found == vector).all()


def test_a_recorded_session_is_refused_by_each_of_three_checks(without):
    old = network_of(N, serial=2)
    old.run()
    join, share = (old.asked[phase][VICTIM] for phase in (Phase.JOIN, Phase.SHARE))
    fresh = network_of(N, seed=1).members[VICTIM]  # other keys, in another round
    with refused("another-round"):
        fresh.answer(join)
    without("same_round")
    fresh.answer(join)
    with refused("not-my-keys"):
        fresh.answer(share)
    without("own_advert")
    with refused("bad-signature"):
        fresh.answer(share)
    without("signed_keys")
    fresh.answer(share)  # unnoticed
