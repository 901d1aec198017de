"""What PROPER is held against, on the same backbone and with the same steps."""

from collections import Counter
from collections.abc import Iterator, Sequence

from proper_client.answer import Answerer
from proper_client.personal import Personaliser
from proper_shared.history import User
from proper_shared.method.cohort import train_cohort
from proper_shared.method.config import Recipe
from proper_shared.method.job import Job, generator_for

Answers = list[list[str]]  # of each user, in the order of their queries


def majority(users: Sequence[User], seen: Sequence[User]) -> Answers:
    """Answer always what is most frequent in the profiles of `seen`.

    Args:
        users: whose queries are answered.
        seen: whose profiles are counted.
    """
    counts = Counter(entry.output for user in seen for entry in user.profile)
    best = max(sorted(counts), key=lambda output: counts[output])
    return [[best for _ in user.queries] for user in users]


def own_majority(users: Sequence[User], seen: Sequence[User]) -> Answers:
    """Answer always what is most frequent in the user's own profile.

    Args:
        users: whose queries are answered; who has no profile gets the global majority.
        seen: whose profiles make up the global majority.
    """
    return [majority([user], [user] if user.profile else seen)[0] for user in users]


def oppu(personaliser: Personaliser, users: Sequence[User], recipe: Recipe) -> Answers:
    """Answer with one LoRA for each user on stage 1 alone.

    OPPU (arXiv 2402.04401), its variant on the feed-forward layers, without its error
    of one user's entries in another's adapter.

    Args:
        personaliser: over the model that holds the release; groups are left out.
        users: with a profile each.
        recipe: of the user LoRA.
    """
    answers: Answers = [[] for _ in users]
    for seats in oppu_cohorts(personaliser, users, recipe):
        texts = [[query.text for query in users[seat].queries] for seat in seats]
        answerer = Answerer(personaliser.adapted, personaliser.encoder)
        for seat, own in zip(seats, answerer.answers(texts), strict=True):
            answers[seat] = own
    return answers


def oppu_cohorts(
    personaliser: Personaliser, users: Sequence[User], recipe: Recipe
) -> Iterator[list[int]]:
    """Train OPPU's adapters; yield which users sit in the model with theirs.

    Args:
        personaliser: over the model that holds the release; groups are left out.
        users: with a profile each.
        recipe: of the user LoRA.
    """
    adapted, encoder = personaliser.adapted, personaliser.encoder
    order = sorted(range(len(users)), key=lambda i: len(users[i].profile))
    for start in range(0, len(order), personaliser.cohort_size):
        seats = order[start : start + personaliser.cohort_size]
        cohort = [users[i] for i in seats]
        personaliser.seat([personaliser.newcomer() for _ in cohort])
        adapted.users.use("user")
        job = Job(
            stage="user",
            examples=[[encoder.example(e) for e in u.profile] for u in cohort],
            generators=[
                generator_for(personaliser.seed, "oppu", u.user_id) for u in cohort
            ],
            recipe=recipe,
            padding=encoder.padding,
        )
        train_cohort(adapted, job)
        yield seats
