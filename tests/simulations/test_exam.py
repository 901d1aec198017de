"""Points of the learning curve: who is examined anew, and who is taken over."""

import tiny

from proper_shared.history import User
from proper_simulations.exam import Exam, Point
from proper_simulations.pieces import Pieces

PEOPLE = [tiny.user("ann", 9), tiny.user("bob", 2), User("nobody", ())]
METHODS = ("stage1", "stage2", "stage3", "chosen", "oppu")


class Counting(Exam):
    """Answers with the number of entries that a user had."""

    def __init__(self, pieces, curve):
        self.pieces, self.settings = pieces, type("S", (), {"curve": curve})
        self.asked, self.alike = [], 0

    def _population(self, users):
        self.alike += 1
        return [[f"all to {user.user_id}"] for user in users]

    def _examine(self, users, _, alike):
        self.asked.append([(user.user_id, len(user.profile)) for user in users])
        own = [[f"{u.user_id} {len(u.profile)}"] for u in users]
        answers = dict.fromkeys(METHODS, own) | {"stage1": alike}
        return Point(answers, ["group"] * len(users))


def points(tmp_path, curve):
    exam = Counting(Pieces(tmp_path, "a"), curve)
    return exam, exam.points(PEOPLE, lambda *_: None)


def test_only_those_with_more_entries_are_examined_again(tmp_path):
    exam, found = points(tmp_path, (0, 2, 4))
    assert found.keys() == {None, 0, 2, 4}
    assert sorted(map(str, exam.asked)) == sorted(
        map(
            str,
            [
                [("ann", 9), ("bob", 2), ("nobody", 0)],
                [("ann", 0), ("bob", 0)],
                [("ann", 2)],
                [("ann", 4)],
            ],
        )
    )
    told = {count: point.answers["chosen"] for count, point in found.items()}
    assert told[None] == [["ann 9"], ["bob 2"], ["nobody 0"]]
    assert told[0] == [["ann 0"], ["bob 0"], ["nobody 0"]]
    assert told[2] == [["ann 2"], ["bob 2"], ["nobody 0"]]


def test_the_newest_entries_are_the_ones_that_are_kept(tmp_path):
    seen = []

    class Watching(Counting):
        def _examine(self, users, *rest):
            seen.append(users[0].profile)
            return super()._examine(users, *rest)

    Watching(Pieces(tmp_path, "a"), (3,)).points(PEOPLE, lambda *_: None)
    assert PEOPLE[0].profile[-3:] in seen


def test_the_population_is_asked_once_and_answers_alike_at_every_point(tmp_path):
    exam, found = points(tmp_path, (0, 2, 4))
    expected = [[f"all to {user.user_id}"] for user in PEOPLE]
    assert exam.alike == 1
    assert all(point.answers["stage1"] == expected for point in found.values())


def test_a_point_longer_than_all_histories_is_the_one_of_all(tmp_path):
    exam, found = points(tmp_path, (32,))
    assert found[32] == found[None]
    assert len(exam.asked) == 1


def test_finished_points_are_not_examined_again(tmp_path):
    _, first = points(tmp_path, (0,))
    exam, second = points(tmp_path, (0,))
    assert not exam.asked
    assert not exam.alike
    assert second == first
