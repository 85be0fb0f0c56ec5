"""The `hrvmamba` command as a function."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from hrvmamba.cli.main import main


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """Run a subcommand in a new folder, on one thread; it returns the exit status."""
    folder = tmp_path / "current"
    folder.mkdir()
    monkeypatch.chdir(folder)
    torch.set_num_threads(1)

    def run(*arguments: object) -> int:
        return main([str(argument) for argument in arguments])

    return run


@pytest.fixture
def refused(command: Callable[..., int], capfd: pytest.CaptureFixture) -> Callable[..., str]:
    """Run a subcommand that must refuse its arguments, in one line and leaving nothing behind."""

    def run(*arguments: object) -> str:
        capfd.readouterr()
        with pytest.raises(SystemExit) as end:
            command(*arguments)
        assert end.value.code == 2
        lines = [line for line in capfd.readouterr().err.splitlines() if line.startswith("error: ")]
        assert len(lines) == 1
        assert not any(Path.cwd().iterdir())
        return lines[0]

    return run
