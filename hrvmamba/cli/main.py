"""The `hrvmamba` command.

A subcommand is the module of its name in this folder, dashes become underscores. It has

- ``HELP``: what it does, in one line;
- ``EXAMPLES``: command lines, each with a comment;
- ``add_arguments(parser)``;
- ``run(options) -> int | None``: the exit status, None for 0.

What it does is in a module outside this folder, which Python programs use as well. Modules here
import what is slow (torch, MMEngine, ...) inside their functions, since every `--help` reads all.
"""

import argparse
import sys
import textwrap
from importlib import import_module

import hrvmamba

COMMANDS = ("check", "infer", "web", "export", "benchmark", "cost", "convert", "check-dataset")
"""In the order of `hrvmamba --help`."""

STATUSES = """\
exit status:
  0    all went well
  1    some inputs failed, or problems were found
  2    the command cannot be run as it was given
  130  interrupted
"""

INTERRUPTED = 130


def build_parser() -> argparse.ArgumentParser:
    """The parser of the command with all its subcommands."""
    commands = {name: import_module(f"hrvmamba.cli.{name.replace('-', '_')}") for name in COMMANDS}
    listed = "\n".join(f"  {name:<15}{command.HELP}" for name, command in commands.items())
    parser = argparse.ArgumentParser(
        prog="hrvmamba",
        usage="hrvmamba [-h] [--version] COMMAND ...",
        description="HRVMamba: human pose estimation with high-resolution state-space backbones.",
        epilog=f"commands (COMMAND --help shows examples):\n{listed}\n\n{STATUSES}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"hrvmamba {hrvmamba.__version__}")
    subparsers = parser.add_subparsers(prog="hrvmamba", metavar="COMMAND", help=argparse.SUPPRESS)
    for name, command in commands.items():
        examples = textwrap.indent(textwrap.dedent(command.EXAMPLES).strip(), "  ")
        subparser = subparsers.add_parser(
            name,
            description=f"{command.HELP[0].upper()}{command.HELP[1:]}.",
            epilog=f"examples:\n{examples}",
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        command.add_arguments(subparser)
        subparser.set_defaults(run=command.run)
    return parser


def main(arguments: list[str] | None = None) -> int:
    """Run the command line, ``sys.argv`` if no arguments are given, and return its exit status.

    Raises:
        SystemExit: with status 2, after one line on stderr, if an argument is refused.
    """
    parser = build_parser()
    options = parser.parse_args(arguments)
    if not hasattr(options, "run"):
        parser.print_help(sys.stderr)
        return 2
    try:
        return options.run(options) or 0
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return INTERRUPTED
