"""Load LaMP data from a folder: the official files, or OPPU's per-user layout.

* Per user: `user_top_100_history.json` (the users), `user_others.json` and
  `user_top_100_history_label.json` (the golds of the users' queries).
* Official: `{split}_questions.json` with `{split}_outputs.json` for one or more of
  train, dev and test; each question stands for one user, and of questions to one
  person the one with the longest history. The longest histories are the users,
  everybody else is in others. A test split without outputs, which LaMP does not
  publish, is passed over if another split is there.

Whatever is malformed is an error that names file, user and record. Two things are left
out without one, because the official files have them: records with a blank text or
output, and queries of others that have no gold (nobody is tested on those).
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from proper_shared.errors import DataError
from proper_shared.history import User
from proper_shared.tasks import Task, get_task
from proper_simulations.dataset import Dataset, fingerprint_of
from proper_simulations.lamp_files import (
    LABELS_FILE,
    LAYOUT_HINT,
    LAYOUTS,
    OTHERS_FILE,
    USERS_FILE,
    Labels,
    UserReader,
    check_unique,
    decide_task,
    id_of,
    read_labels,
    read_objects,
)

SPLITS = ("train", "dev", "test")
TEST_USERS = 100  # as published


def load_data(
    folder: str | Path,
    task: str | None = None,
    *,
    test_users: int = TEST_USERS,
    choose: Literal["longest", "shortest"] = "longest",
) -> Dataset:
    """Load users and their queries.

    Args:
        folder: Holds one of the two layouts.
        task: Name of the task; must agree with the files. It is needed only where
            they say no more than "LaMP_2" and have no profile to tell tags by.
        test_users: How many histories of the official files become users. Of the
            per-user layout, which has decided who they are, the first so many are
            left, or all where there are fewer.
        choose: Whether the longest or the shortest histories of the official files
            become users.

    Returns:
        The data set; profiles in time order where records have dates (stable, so
        equal days keep the file's order), else as in the file.

    Raises:
        DataError: The folder or anything in it is malformed.
        ConfigError: `task` is not the name of a task.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise DataError(f"there is no folder {folder}", hint="check the path")
    wanted = None if task is None else get_task(task)
    if (folder / USERS_FILE).exists() or (folder / OTHERS_FILE).exists():
        found, others, users = _load_per_user(folder, wanted)
        users = users[:test_users]
    else:
        found, everybody = _load_official(folder, wanted)
        others, users = _split(everybody, test_users, choose)
    return Dataset(
        name=folder.resolve().name,
        task=found,
        others=others,
        users=users,
        fingerprint=fingerprint_of(found.name, others, users),
    )


def _load_per_user(
    folder: Path, wanted: Task | None
) -> tuple[Task, tuple[User, ...], tuple[User, ...]]:
    labels = read_labels(folder / LABELS_FILE)
    raw_users = read_objects(folder / USERS_FILE)
    raw_others = read_objects(folder / OTHERS_FILE)
    task = decide_task(labels, wanted, [*raw_users, *raw_others])
    reader = UserReader(USERS_FILE, task, labels.golds)
    users = tuple(reader.read(raw) for raw in raw_users)
    asked = [query.id for user in users for query in user.queries]
    check_unique(asked, f"{USERS_FILE}, queries")  # golds are found by id alone
    labels.check_all_asked(asked)
    reader = UserReader(OTHERS_FILE, task, None)
    others = tuple(reader.read(raw) for raw in raw_others)
    check_unique((user.user_id for user in (*users, *others)), folder.name)
    return task, others, users


def _load_official(folder: Path, wanted: Task | None) -> tuple[Task, tuple[User, ...]]:
    splits = _splits_in(folder)
    everybody: list[User] = []
    task = wanted
    for split in splits:
        task, users = _load_split(folder, split, task)
        everybody.extend(users)
    if task is None or not splits:
        raise DataError(f"{folder.name} holds no data, {LAYOUTS}", hint=LAYOUT_HINT)
    check_unique((user.user_id for user in everybody), folder.name)
    return task, _one_each(everybody)


def _one_each(everybody: Sequence[User]) -> tuple[User, ...]:
    """Keep the longest history of each person.

    LaMP's time splits ask one person under several question ids, with histories that
    grow from the same first entry. Kept apart, one person could be trained on and
    tested; put together, a later history could hold the answer to an earlier question.
    """
    longest: dict[object, User] = {}
    for user in everybody:
        first = user.profile[0] if user.profile else None
        person = user.user_id if first is None else (first.text, first.output)
        known = longest.get(person)
        if known is None or len(user.profile) > len(known.profile):
            longest[person] = user
    return tuple(longest.values())


def _splits_in(folder: Path) -> list[str]:
    """Return the splits to load; refuse one without outputs, except LaMP's test."""
    asked = [s for s in SPLITS if (folder / f"{s}_questions.json").exists()]
    known = [s for s in asked if (folder / f"{s}_outputs.json").exists()]
    if known and set(asked) - set(known) == {"test"}:
        return known
    return asked


def _load_split(
    folder: Path, split: str, wanted: Task | None
) -> tuple[Task, list[User]]:
    name = f"{split}_questions.json"
    labels = read_labels(folder / f"{split}_outputs.json")
    questions = read_objects(folder / name)
    task = decide_task(labels, wanted, questions)
    reader = UserReader(name, task, labels.golds)
    users = [_user_of_question(reader, labels, question) for question in questions]
    labels.check_all_asked(user.user_id for user in users)
    return task, users


def _user_of_question(
    reader: UserReader, labels: Labels, question: Mapping[str, Any]
) -> User:
    user_id = id_of(question, "id", f"{reader.name}: a question")
    where = f"{reader.name}: question {user_id!r}"
    gold = labels.golds.get(user_id)
    if gold is None:
        raise DataError(
            f"{where} has no gold in {labels.name}",
            hint="take questions and outputs from the same download",
        )
    query = reader.query(question, gold, where)
    return User(user_id, reader.profile(question, where), (query,))


def _split(
    everybody: Sequence[User], test_users: int, choose: str
) -> tuple[tuple[User, ...], tuple[User, ...]]:
    """Cut off the users with the longest (or shortest) profiles, ties in file order."""
    if len(everybody) <= test_users:
        raise DataError(
            f"got {len(everybody)} histories, expected more than {test_users}: "
            f"{test_users} users to test and others to learn from",
            hint="add another split to the folder, or test fewer users",
        )
    sign = -1 if choose == "longest" else 1
    order = sorted(everybody, key=lambda user: sign * len(user.profile))
    users = tuple(order[:test_users])
    chosen = {user.user_id for user in users}
    return tuple(user for user in everybody if user.user_id not in chosen), users
