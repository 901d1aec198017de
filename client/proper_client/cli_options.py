"""Options that commands share: where private files are, and what opens them."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click
from click.shell_completion import CompletionItem

from proper_shared.friendly import Command

if TYPE_CHECKING:
    from proper_client.at_rest.unlocking import Secrets
    from proper_client.vault import Vault

_GIVEN, _NEW = "proper passphrase file", "proper new passphrase file"


def keep_for_secrets(
    context: click.Context, parameter: click.Parameter, value: Path | None
) -> None:
    """Keep a file of a passphrase for `secrets_given`; no command reads it."""
    context.meta[_NEW if parameter.name == "new_passphrase_file" else _GIVEN] = value


class _Home(click.Path):
    """A folder; an empty name is no name, where a path would be the current folder."""

    def convert(
        self,
        value: str | os.PathLike[str],
        param: click.Parameter | None,
        ctx: click.Context | None,
    ) -> Path:
        """Return the folder; `~` is one's own."""
        if not str(value).strip():
            self.fail("got an empty name, expected a folder", param, ctx)
        return Path(value).expanduser()


where = click.option(
    "--home",
    type=_Home(),
    help="Folder of your private files [default: $PROPER_HOME, or your data folder].",
)
passphrase_file = click.option(
    "--passphrase-file",
    type=click.Path(path_type=Path),
    expose_value=False,
    callback=keep_for_secrets,
    help="Holds the passphrase [default: $PROPER_PASSPHRASE, or you are asked].",
)
debug = click.option("--debug", is_flag=True, help="Show the traceback of an error.")


def home_options(command: Command) -> Command:
    """Add the options that say where the private files are, and what opens them."""
    return where(passphrase_file(command))


def passphrase_given() -> Path | None:
    """Return the file of the passphrase, if the option named one."""
    found = click.get_current_context().meta.get(_GIVEN)
    return found if isinstance(found, Path) else None


def secrets_given() -> "Secrets":
    """Return what opens a vault; it is looked for when the vault is read or written."""
    from proper_client.at_rest.passphrase import Passphrases  # noqa: PLC0415
    from proper_client.at_rest.unlocking import Secrets  # noqa: PLC0415

    given = click.get_current_context().meta
    return Secrets(Passphrases(os.environ, given.get(_GIVEN), given.get(_NEW)))


def folder_of(home: Path | None) -> Path:
    """Return the folder of the private files: the option --home, or the default."""
    from proper_client.home import default_home  # noqa: PLC0415

    return home or default_home(os.environ)


class _Task(click.types.StringParamType):
    """A name of a task; any text passes here, a shell completes the known ones."""

    def shell_complete(
        self,
        ctx: click.Context,
        param: click.Parameter,  # noqa: ARG002 - click's interface
        incomplete: str,
    ) -> list[CompletionItem]:
        """Return names of tasks; of the own models where there are some."""
        from proper_client.care.naming import task_names  # noqa: PLC0415

        own = ctx.info_name not in {"train", "import"}
        names = task_names(folder_of(ctx.params.get("home")), own=own)
        return [CompletionItem(name) for name in names if name.startswith(incomplete)]


def completes_tasks(command: click.Command) -> None:
    """Let each option `--task` of a command, and of those below, complete names."""
    for option in command.params:
        if option.name == "task" and option.type is click.STRING:
            option.type = _Task()
    if isinstance(command, click.Group):
        for below in command.commands.values():
            completes_tasks(below)


def vault_at(home: Path | None) -> "Vault":
    """Return the private files of the person, closed or open."""
    from proper_client.vault import Vault  # noqa: PLC0415

    return Vault(folder_of(home), secrets_given())
