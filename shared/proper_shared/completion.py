"""Shell completion: a command that prints what a shell has to read once.

    proper-client completion bash >> ~/.bashrc

Not covered: shells that click does not know. The script calls the program at each tab,
so what that imports by then is what a person waits for.
"""

import click
from click.shell_completion import get_completion_class

SHELLS = ("bash", "zsh", "fish")


def completion_of(name: str) -> click.Command:
    """Return the command `completion` of a program.

    Args:
        name: as the program is called.
    """

    @click.command("completion")
    @click.argument("shell", type=click.Choice(SHELLS), default=SHELLS[0])
    @click.pass_context
    def completion(context: click.Context, shell: str) -> None:
        """Print a script by which SHELL completes commands, options and names."""
        click.echo(script(context.find_root().command, name, shell))

    return completion


def script(command: click.Command, name: str, shell: str) -> str:
    """Return the lines that a shell has to read.

    Args:
        command: the whole program.
        name: as it is called.
        shell: one of SHELLS.

    Raises:
        LookupError: it is none.
    """
    found = get_completion_class(shell)
    if found is None:
        raise LookupError(shell)
    variable = f"_{name}_COMPLETE".replace("-", "_").upper()
    return found(command, {}, name, variable).source()
