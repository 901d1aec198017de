"""Known attacks with the help of members, or of inventions; see `test_attacks`."""

import pytest
from adversary import EVERYBODY, VICTIM, Adversary, Lies, N, refused
from toy_round import Drops, network_of, signer_of

from proper_shared.errors import ProtocolError
from proper_shared.secagg import keys, masks, messages, shamir
from proper_shared.secagg.binding import View, two_bytes
from proper_shared.secagg.checks import Known
from proper_shared.secagg.keys import Suite
from proper_shared.secagg.member import Member
from proper_shared.secagg.messages import Advert, Phase, Roster, write
from proper_shared.secagg.recovery import Recovery


def inventions():
    """Ask one member, among nine that the coordinator made up and put into the log."""
    cohort = network_of(N).known.cohort
    members = dict.fromkeys(cohort, False)
    victim = Known(cohort, members, min_cohort=N, min_vouched=4)
    network = network_of(N, known=victim)
    found = network.run().result()
    made_up = network.round_id.ring.negate(network.sum_of(EVERYBODY[1:]))
    return network.vectors[VICTIM], network.round_id.ring.add([found.total, made_up])


def test_a_cohort_of_inventions_is_refused(without):
    with refused("too-few-vouched"):
        inventions()
    without("vouched")
    vector, found = inventions()
    assert (found == vector).all()


def test_those_one_vouches_for_have_to_stay_to_the_end():
    cohort = network_of(N).known.cohort
    members = {identity: place in (1, 2) for place, identity in enumerate(cohort)}
    network = network_of(N, known=Known(cohort, members, min_vouched=1))
    with refused("too-few-vouched"):
        network.run({Phase.MASK: [1, 2]})  # too few are left in the sum


@pytest.mark.parametrize("phase", [Phase.SHARE, Phase.MASK, Phase.AGREE])
def test_fewer_than_a_quorum_are_refused_in_every_phase(phase, without):
    network = network_of(N)
    collector = network.collector
    for _ in range(phase - 1):
        network.step(collector)
    request, few = collector.requests()[VICTIM], EVERYBODY[:6]
    header, body = request[:33], request[33:]
    fewer = {
        Phase.SHARE: body[: 6 * (2 + Advert.NBYTES)],
        Phase.MASK: messages.write_deal(few, [b"j" * messages.SEALED_NBYTES] * 5),
        Phase.AGREE: two_bytes(*few),
    }[phase]
    member = network.members[VICTIM]
    with refused("below-quorum"):
        member.answer(header + fewer)
    without("quorum")
    member.answer(header + fewer)  # unnoticed


def lowered_threshold():
    """Tell each honest member that it is left with three accomplices, or nearly so."""
    accomplices = (7, 8, 9)
    lies = Lies(network_of(N), accomplices)
    roster, view = lies.masked()
    told = {
        VICTIM: (VICTIM, *accomplices),
        1: (VICTIM, 1, *accomplices),  # gives the seed of the victim away
        2: (2, *accomplices),  # and these two its key
        3: (3, *accomplices),
    }
    for place, survivors in told.items():
        signatures = lies.agree([place], survivors)
        message = view.agreement(survivors)
        for accomplice in accomplices:
            signatures[accomplice] = lies.network.signers[accomplice].sign(message)
        lies.open(place, survivors, signatures)
    return lies.network.vectors[VICTIM], lies.vector_of_victim(roster, view)


def test_a_lowered_threshold_is_refused(without):
    with refused("below-quorum"):
        lowered_threshold()
    without("quorum")
    vector, found = lowered_threshold()
    assert (found == vector).all()


def careless(own, public):
    """X25519 without the look at the result: a library may leave it to its caller."""
    return bytes(32) if keys.has_low_order(public) else keys.agree(own, public)


def zero_keys(agree=keys.agree):
    """Announce mask keys of low order in eight places, in eight spellings."""
    network = network_of(N, suite=Suite(agree=agree))
    context = Adversary(network).context
    points = [
        point + top for point in (0, 1, 2**255 - 20, 2**255 - 19) for top in (0, 2**255)
    ]
    adverts = {}
    for place, member in enumerate(network.members):
        body = member.answer(write(Phase.JOIN, context, b""))[33:]
        adverts[place] = Advert.parse(body)
    for place, point in enumerate(points, start=1):
        own = adverts[place]
        bare = Advert(own.channel, point.to_bytes(32, "little"), own.commitment)
        signature = network.signers[place].sign(bare.signed(context, place))
        adverts[place] = Advert(bare.channel, bare.mask, bare.commitment, signature)
    roster = Roster(adverts)
    victim, junk = network.members[VICTIM], [b"j" * messages.SEALED_NBYTES] * 8
    victim.answer(write(Phase.SHARE, context, roster.dump()))
    own_seed = victim._state.secrets.seed
    sharers = EVERYBODY[:9]
    deal = messages.write_deal(sharers, junk)
    masked = victim.answer(write(Phase.MASK, context, deal))
    total, view = (
        network.round_id.ring.from_bytes(masked[33:]),
        View(context, roster.digest, sharers),
    )
    for other in sharers[1:]:  # what anybody can compute
        key = masks.pair_key(bytes(32), view, VICTIM, other)
        masks.add(network.round_id.ring, total, key, -1)
    masks.add(
        network.round_id.ring, total, masks.self_key(own_seed, context, VICTIM), -1
    )
    return network.vectors[VICTIM], total


def test_keys_of_low_order_are_refused(without):
    with refused("low-order-key"):
        zero_keys()
    without("no_low_order")
    with pytest.raises(ProtocolError, match="low order"):
        zero_keys()  # the library looks as well
    vector, without_own_mask = zero_keys(careless)
    assert (without_own_mask == vector).all()  # no pair mask was a secret


def test_a_copied_key_is_refused(without):
    network = network_of(N)
    network.step(collector := network.collector)
    request = collector.requests()[VICTIM]
    roster = Roster.parse(request[33:], N)
    own = roster[1]
    bare = Advert(roster[2].channel, own.mask, own.commitment)
    signature = network.signers[1].sign(bare.signed(request[1:33], 1))
    roster[1] = Advert(bare.channel, bare.mask, bare.commitment, signature)
    forged = request[:33] + roster.dump()
    with refused("same-keys"):
        network.members[VICTIM].answer(forged)
    without("distinct_keys")
    network.members[VICTIM].answer(forged)  # unnoticed


def forger_of(liars, spoilt=range(N)):
    """Return a `forge` by which some members open wrong shares of some secrets."""

    def forge(phase, seat, answer):
        if phase is not Phase.OPEN or seat not in liars:
            return answer
        rows = list(messages.read_rows(answer[33:], N, shamir.NBYTES))
        for owner in spoilt:
            lie = (int.from_bytes(rows[owner], "big") + 1) % shamir.ORDER
            rows[owner] = lie.to_bytes(shamir.NBYTES, "big")
        return answer[:33] + b"".join(rows)

    return forge


@pytest.mark.parametrize("liars", [{0}, {9}, {4, 5}], ids=str)
@pytest.mark.parametrize("spoilt", [range(N), [3]], ids=["all", "one"])
def test_lying_holders_are_named_and_the_sum_is_right(liars, spoilt):
    network = network_of(N)
    found = network.run(forge=forger_of(liars, spoilt)).result()
    assert found.refused.keys() == liars
    assert all("does not fit" in reason for reason in found.refused.values())
    assert found.seats == EVERYBODY
    assert (found.total == network.sum_of(EVERYBODY)).all()


def test_lying_holders_are_named_about_a_lost_member_too():
    network = network_of(N)
    losses = {Phase.MASK: [9]}
    found = network.run(losses, forge=forger_of({2}, [9])).result()
    assert found.refused.keys() == {2}
    assert (found.total == network.sum_of(EVERYBODY[:9])).all()


def test_too_many_liars_come_to_no_sum_rather_than_a_wrong_one(monkeypatch):
    def run():
        network = network_of(N)
        return network, network.run(forge=forger_of({0, 1, 2})).result()

    with pytest.raises(ProtocolError, match="no sum without seat 0"):
        run()
    believe = Recovery.secret
    monkeypatch.setattr(
        Recovery, "secret", lambda own, owner, _: believe(own, owner, lambda _: True)
    )
    network, found = run()
    assert (found.total != network.sum_of(EVERYBODY)).any()


def restarted(network, place):
    args = network.signers[place], network.round_id, network.known
    return Member(*args, network.vectors[place], Drops("restarted", place))


def test_who_restarts_does_not_answer_in_the_same_session(without):
    network = network_of(N)
    network.run()
    for phase in list(Phase)[1:]:
        with refused("out-of-order"):
            restarted(network, VICTIM).answer(network.asked[phase][VICTIM])
    again = restarted(network, VICTIM)
    again.answer(network.asked[Phase.JOIN][VICTIM])
    with refused("not-my-keys"):
        again.answer(network.asked[Phase.SHARE][VICTIM])
    without("own_advert")
    again.answer(network.asked[Phase.SHARE][VICTIM])  # unnoticed


def test_a_session_brought_back_answers_twice_and_gives_an_update_away():
    """Why a device never restores a snapshot: all checks are on."""
    lies = Lies(network_of(N))
    roster, view = lies.masked()
    network, kept = lies.network, [member.snapshot() for member in lies.network.members]
    for survivors in (EVERYBODY, EVERYBODY[1:]):
        for place, snapshot in enumerate(kept):
            args = network.signers[place], network.round_id, network.known
            network.members[place] = Member.restore(*args, snapshot, Drops())
        signatures = lies.agree(survivors, survivors)
        for place in survivors[:7]:
            lies.open(place, survivors, signatures)
    assert (lies.vector_of_victim(roster, view) == network.vectors[VICTIM]).all()


def test_who_is_declared_lost_does_not_help(without):
    lies = Lies(network_of(N))
    lies.masked()
    with refused("declared-lost"):
        lies.agree([VICTIM], EVERYBODY[1:])
    without("self_among")
    lies.agree([VICTIM], EVERYBODY[1:])  # unnoticed


def test_who_did_not_share_does_not_come_back(without):
    network = network_of(N)
    collector = network.collector
    network.step(collector)
    network.step(collector, silent=[9])
    network.step(collector)
    header, body = bytes([Phase.AGREE]), two_bytes(*EVERYBODY)
    request = header + Adversary(network).context + body
    with refused("not-a-subset"):
        network.members[VICTIM].answer(request)
    without("within")
    network.members[VICTIM].answer(request)  # unnoticed


def known_with(**changes):
    cohort = network_of(N).known.cohort
    return Known(
        **({"cohort": cohort, "members": dict.fromkeys(cohort, True)} | changes)
    )


COHORT = network_of(N).known.cohort
OUTSIDER = signer_of("outsider").identity


@pytest.mark.parametrize(
    ("known", "name"),
    [
        (known_with(min_cohort=11), "small-cohort"),
        (known_with(min_vouched=10), "too-few-vouched"),  # oneself does not count
        (known_with(members=dict.fromkeys(COHORT[:9], True)), "outside-the-log"),
        (known_with(cohort=COHORT[::-1]), "cohort-order"),
        (known_with(cohort=(COHORT[0], *COHORT)), "cohort-order"),
        (known_with(cohort=COHORT[1:]), "not-asked"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_cohort_outside_of_what_is_known_is_refused(known, name):
    network = network_of(N)
    drawn = []
    with refused(name):
        Member(
            network.signers[VICTIM],
            network.round_id,
            known,
            network.vectors[VICTIM],
            drawn.append,
        )
    assert not drawn  # before any secret was made


def test_members_outside_the_cohort_have_no_say():
    members = dict.fromkeys((*COHORT, OUTSIDER), True)
    network = network_of(N, known=known_with(members=members, min_vouched=9))
    assert network.run().result().seats == EVERYBODY
