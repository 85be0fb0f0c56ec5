import shlex
import subprocess
import sys

import pytest

import hrvmamba
from hrvmamba.cli import main as cli


def said_of(arguments, capsys):
    with pytest.raises(SystemExit) as end:
        cli.main(arguments)
    assert end.value.code == 0
    return capsys.readouterr().out


def test_help_names_every_command_and_the_exit_statuses(capsys):
    said = said_of(["--help"], capsys)
    for name in cli.COMMANDS:
        assert f"\n  {name} " in said
    assert "interrupted" in said and "exit status" in said


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_every_command_shows_examples_of_itself(name, capsys):
    _, examples = said_of([name, "--help"], capsys).split("examples:\n")
    assert f"hrvmamba {name}" in examples


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_the_examples_are_accepted(name, capsys):
    """By the parser: each is a whole command line."""
    parser = cli.build_parser()
    _, examples = said_of([name, "--help"], capsys).split("examples:\n")
    for line in examples.replace("\\\n", " ").splitlines():
        if words := shlex.split(line, comments=True):
            program, *arguments = words
            assert program == "hrvmamba"
            assert hasattr(parser.parse_args(arguments), "run")


def test_without_a_command_it_shows_its_help(capsys):
    assert cli.main([]) == 2
    assert "COMMAND" in capsys.readouterr().err


def test_version(capsys):
    assert said_of(["--version"], capsys) == f"hrvmamba {hrvmamba.__version__}\n"


def test_an_interruption_has_a_status_of_its_own(monkeypatch, capsys):
    def interrupted(options):
        raise KeyboardInterrupt

    monkeypatch.setattr("hrvmamba.cli.cost.run", interrupted)
    assert cli.main(["cost"]) == 130
    assert capsys.readouterr().err == "interrupted\n"


def test_runs_as_a_module(repository):
    result = subprocess.run(
        [sys.executable, "-m", "hrvmamba", "cost", "huge"],
        cwd=repository,
        text=True,
        capture_output=True,
    )
    assert result.returncode == 2
    assert result.stderr.splitlines()[-1].startswith("error: MODEL: got 'huge'")
