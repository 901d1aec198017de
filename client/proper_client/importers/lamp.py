"""LaMP's files: one person's profile out of them, as that person's history.

Official: `dev_questions.json`, a list of people with `id`, `input` and `profile`,
beside `dev_outputs.json`, which names the task. Per user, as OPPU publishes it:
`user_top_100_history.json` with `user_id`, `profile` and `query`, beside
`user_top_100_history_label.json`. The questions themselves are not taken: they are what
a model is asked later. The wording of each task is that of `lamp_records`.
"""

from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath
from typing import Any

from proper_client.importers.formats import Format, Found, Item, Options
from proper_client.importers.look import Look
from proper_client.importers.moments import moment
from proper_client.importers.places import Place
from proper_client.importers.values import values
from proper_shared.errors import DataError
from proper_shared.json_file import read_json
from proper_shared.lamp_records import entries_from_profile
from proper_shared.tasks import get_task

# the ending of a file of people -> that of the file of golds beside it
_GOLDS = {
    "_questions.json": "_outputs.json",
    "user_top_100_history.json": "user_top_100_history_label.json",
}
_HINT = "see docs/history.md for LaMP's layouts"


def _recognises(look: Look) -> bool:
    if not look.is_file:
        return any(_is_people(name) for name in look.names)
    return bool({"profile", "golds"} & look.keys)


def _task(place: Place, options: Options) -> str:
    named = _named(place) or options.task
    if named is None:
        raise DataError(
            f"{place.path.name} has no file of outputs beside it, which names the task",
            hint="put it there, or give the task, such as --task LaMP_3",
        )
    name = named.replace("-", "_")
    if name in {"LaMP_2", "LaMP_2_movies", "LaMP_2_news"}:
        first: Any = next(iter(_records(_person(place, options), place.path.name)), {})
        name = "LaMP_2M" if "tag" in first else "LaMP_2N"
    return name


def _read(place: Place, options: Options) -> Iterator[Item]:
    task, where = get_task(_task(place, options)), place.path.name
    records = _in_time_order(_records(_person(place, options), where))
    for entry in entries_from_profile(task, records, f"{where}: profile"):
        yield Found(entry.text, entry.output, _date(entry.date))


def _named(place: Place) -> str | None:
    """Return the task that a file of outputs names; LaMP has one beside each split."""
    folder = place.path if place.path.is_dir() else place.path.parent
    for name in filter(_is_people, place.names):
        ending = next(ending for ending in _GOLDS if name.endswith(ending))
        path = folder / (name.removesuffix(ending) + _GOLDS[ending])
        if place.archive is None and path.is_file():
            content = read_json(path)
            named = content.get("task") if isinstance(content, dict) else None
            return named if isinstance(named, str) else None
    return None


def _person(place: Place, options: Options) -> Mapping[str, Any]:
    """Return the one person, or the one whom the options name."""
    found: Mapping[str, Any] | None = None
    for person in _people(place):
        if options.user is None and found is not None:
            raise DataError(
                f"{place.path.name} holds several people, {_id(found)!r} the first",
                hint=f"choose one, such as --user {_id(found)}",
            )
        if options.user in (None, _id(person)):
            found = person
        if found is not None and options.user is not None:
            break
    if found is None:
        who = "anybody" if options.user is None else f"the person {options.user!r}"
        raise DataError(f"{place.path.name} does not hold {who}", hint=_HINT)
    return found


def _people(place: Place) -> Iterator[Mapping[str, Any]]:
    for name in place.names if place.is_file else filter(_is_people, place.names):
        with place.text(name) as stream:
            for number, person in enumerate(values(stream, name), start=1):
                if not isinstance(person, dict) or "profile" not in person:
                    raise DataError(
                        f"{name}: person {number} has no profile",
                        hint="give the file of questions, not that of outputs",
                    )
                yield person


def _records(person: Mapping[str, Any], where: str) -> list[Any]:
    records = person["profile"]
    if not isinstance(records, list):
        raise DataError(f"{where} has a profile that is no list", hint=_HINT)
    return records


def _in_time_order(records: list[Any]) -> list[Any]:
    """Sort by date where all have one: days, years, or numbers that only count."""
    days = [str(r.get("date", "")) if isinstance(r, dict) else "" for r in records]
    if not all(days):
        return records
    numbers = all(day.isdecimal() for day in days)
    keys: list[Any] = [int(day) for day in days] if numbers else days
    return [records[index] for index in sorted(range(len(days)), key=keys.__getitem__)]


def _date(written: str | None) -> str | None:
    """Return a day; a year alone, or a number that only counts, is none."""
    try:
        return None if written is None or written.isdecimal() else moment(written)
    except ValueError:
        return None


def _id(person: Mapping[str, Any]) -> str:
    return str(person.get("user_id", person.get("id", "")))


def _is_people(name: str) -> bool:
    return PurePosixPath(name).name.endswith(tuple(_GOLDS))


FORMAT = Format(
    "lamp", "LaMP: questions beside outputs, one user", _recognises, _task, _read
)
