"""Names of tasks that a shell offers; without pydantic and torch, so a tab is quick."""

from pathlib import Path

from proper_shared.tasks import TASKS


def task_names(home: Path, *, own: bool) -> list[str]:
    """Return names of tasks, sorted.

    Args:
        home: folder of the private files; it need not be there.
        own: those of the person's models, where there are any.
    """
    names = sorted(path.stem for path in home.glob("personal/[!.]*.safetensors"))
    return names if own and names else sorted(TASKS)
