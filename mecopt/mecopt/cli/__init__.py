"""The command `mecopt`: finds its commands, and turns every error into one line and an exit status.

Commands are entry points of group ``mecopt.commands``, each naming a `click.Command`. Nothing else lists
them, and their modules keep heavy imports inside their functions, so that `mecopt --help` stays fast.
"""

from __future__ import annotations

import codecs
import errno
import gc
import os
import signal
import sys
import traceback
import warnings
from collections.abc import Sequence
from contextlib import suppress
from functools import cached_property
from importlib.metadata import EntryPoint
from types import FrameType
from typing import Any, NoReturn

import click

from mecopt import interrupts
from mecopt._version import __version__
from mecopt.cli.streams import finish, open_streams
from mecopt.errors import PREFIX, InputError, MecoptError, said, terminal_line, words
from mecopt.offers import offered
from mecopt.processes import left_behind
from mecopt.text import like_ascii

GROUP = "mecopt.commands"

ERROR, BAD_INPUT, INTERRUPTED = 1, 2, 130  # exit statuses; those of what was found are in `mecopt.cli.solve`

NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS)  # the disk's fault, not ours

HINT = "MECOPT_DEBUG=1 shows the traceback"

EPILOG = (
    "Exit status: 0 done, 2 bad usage or input, 130 interrupted, 1 any other error; 3 infeasible (solve, "
    "bounds, explain, export, sweep, pareto, robust, stress), 4 nothing found (solve, explain, sweep), 5 a "
    "limit is violated (solve, explain, evaluate)."
)


class Commands(click.Group):
    """A group whose commands are found by entry points and imported one by one."""

    @cached_property
    def _found(self) -> dict[str, EntryPoint]:
        return offered(GROUP)

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of all commands."""
        return sorted(self._found)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import and return a command; one that cannot be imported says so when it is called."""
        entry = self._found.get(cmd_name)
        if entry is None:
            return None
        try:
            command = entry.load()
        except KeyboardInterrupt:
            raise
        except Exception as error:  # the code of a third party may raise anything
            return _broken(entry, f"cannot be loaded: {words(error)}", error)
        except BaseException as error:
            return _broken(entry, f"cannot be loaded: {said(error)}", error)
        if not isinstance(command, click.Command):
            return _broken(entry, f"is a {type(command).__name__}, expected a click.Command")
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command of the arguments; for an unknown one, offer the nearest names."""
        if args[0] not in self._found and not args[0].startswith("-"):
            import difflib

            near = difflib.get_close_matches(args[0], self._found, n=3, cutoff=0.5)
            offer = (
                f"did you mean {' or '.join(near)}?"
                if near
                else f"there are {', '.join(sorted(self._found))}"
            )
            raise click.UsageError(f"no command {args[0]!r}; {offer}", ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands with the whole first sentence of each, wrapped rather than cut off."""
        commands = [(name, self.get_command(ctx, name)) for name in self.list_commands(ctx)]
        rows = [(name, c.get_short_help_str(200)) for name, c in commands if c is not None and not c.hidden]
        with formatter.section("Commands"):
            formatter.write_dl(rows)

    def invoke(self, ctx: click.Context) -> int:
        """Run the command; what a callback returns is no exit status, only `ctx.exit` sets one."""
        try:
            super().invoke(ctx)
        except KeyboardInterrupt:  # click would print an empty line, whether there is a terminal or not
            if sys.stderr.isatty():
                click.echo(err=True)  # leave the line of the ^C
            raise click.Abort from None
        return 0


def _broken(entry: EntryPoint, reason: str, cause: BaseException | None = None) -> click.Command:
    """Return a stand-in for a command that cannot be had, so that the others still work."""
    text = f"command {entry.name!r} ({entry.value}) {reason}"

    def complain() -> None:
        raise MecoptError(text) from cause

    anything = {"ignore_unknown_options": True, "allow_extra_args": True}
    return click.Command(
        entry.name,
        callback=complain,
        short_help=f"(broken: {reason})",
        add_help_option=False,
        context_settings=anything,
    )


@click.command(
    cls=Commands,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=EPILOG,
)
@click.version_option(__version__, "--version", prog_name="mecopt")
@click.option("--debug", is_flag=True, help="Show the traceback of an error (also: MECOPT_DEBUG=1).")
@click.pass_context
def cli(ctx: click.Context, debug: bool) -> None:
    """Plan where each block of a deep network runs, device or edge server, and prove how good the plan is."""
    if debug:
        os.environ["MECOPT_DEBUG"] = "1"
    help_without_command(ctx)


def help_without_command(ctx: click.Context) -> None:
    """Show a group's help as bad usage when no command was named."""
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help(), err=True)
        ctx.exit(BAD_INPUT)


def main(args: Sequence[str] | None = None) -> NoReturn:
    """Run the command line and leave with the exit status.

    Parameters
    ----------
    args : sequence of str, optional
        The arguments; those of the process by default.
    """
    signal.signal(signal.SIGTERM, _interrupt)
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # else it is not wanted
        signal.signal(signal.SIGINT, _interrupt)
    interrupts.give_up = _give_up
    codecs.register_error("mecopt", like_ascii)  # a name that the terminal cannot show is no error
    open_streams(errors="mecopt")
    with warnings.catch_warnings():
        warnings.showwarning = _warn
        status = finish(_run(args))
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)  # all is done, and Python takes a while to leave
    # An interrupt that came while a text was executed, as where libraries make classes, is remembered though
    # it was caught: Python would end itself by a signal. The next text that is executed clears that.
    exec("")
    if left_behind():
        os._exit(status)
    gc.freeze()  # Python would look through all that is in use for garbage, several times, before it leaves
    sys.exit(status)


def _run(args: Sequence[str] | None) -> int:
    try:
        status: Any = cli.main(args, prog_name="mecopt", standalone_mode=False)
        return status if isinstance(status, int) else 0
    except click.UsageError as error:
        path = error.ctx.command_path if error.ctx else "mecopt"
        return _say(
            [f"{path}: {_sentence(_joined(error.format_message()))} (see '{path} --help')"], BAD_INPUT
        )
    except click.ClickException as error:
        return _say([PREFIX + _joined(error.format_message())], error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        return _say([PREFIX + "interrupted"], INTERRUPTED)
    except SystemExit:  # a command of a third party that ends so means that status
        raise
    except BaseException as error:
        if _came:  # it is what a library made of an interrupt, as where one is being loaded
            return _say([PREFIX + "interrupted"], INTERRUPTED)
        return _failed(error)


def _failed(error: BaseException) -> int:
    """Say what went wrong, and return the exit status."""
    if isinstance(error, MecoptError):
        shown = _traceback()
        lines = str(error).split("\n") if isinstance(error, InputError) else [_joined(str(error))]
        if error.__cause__ is not None and not shown:
            lines[-1] += f" ({HINT})"
        return _say([PREFIX + line for line in lines], error.exit_status)
    if isinstance(error, MemoryError):
        _traceback()
        return _say([PREFIX + "out of memory"], ERROR)
    if isinstance(error, OSError) and error.errno in NO_ROOM:
        return _no_room(error)
    return _unexpected(error)  # nothing that goes wrong shows a traceback unasked


def _no_room(error: OSError) -> int:
    _traceback()
    place = error.filename or "a file"
    return _say([f"{PREFIX}{place}: could not be written: {error.strerror}"], ERROR)


def _unexpected(error: BaseException) -> int:
    if not _traceback():
        _say([f"{PREFIX}unexpected {said(error)} ({HINT})"], ERROR)
    return ERROR


def _say(lines: Sequence[str], status: int) -> int:
    with suppress(OSError):  # where messages cannot be written, the status still tells
        click.echo("\n".join(terminal_line(line, sys.stderr.encoding) for line in lines), err=True)
    return status


def _warn(message: Warning | str, *_: Any, **__: Any) -> None:
    """Show a warning of Python's as the others: in one line, without the place in the code."""
    _say([f"{PREFIX}warning: {_joined(str(message))}"], 0)


def _joined(text: str) -> str:
    """Return the lines of a text as one."""
    return " ".join(text.split())


def _sentence(text: str) -> str:
    """Return a message of click's in the form of ours: no capital at its start, no full stop."""
    return text[:1].lower() + text[1:].rstrip(".")


def _traceback() -> bool:
    """Show the traceback if it is asked for, and say whether it was."""
    wanted = os.environ.get("MECOPT_DEBUG", "") not in ("", "0")
    if wanted:
        traceback.print_exc()
    return wanted


_came: list[int] = []  # interrupts so far


def _give_up() -> NoReturn:
    """End at once: a method swallows every interrupt."""
    os.write(2, b"mecopt: interrupted; the method did not end, and what it found is lost\n")
    os._exit(INTERRUPTED)


def _interrupt(number: int, frame: FrameType | None) -> NoReturn:
    _came.append(number)
    raise KeyboardInterrupt
