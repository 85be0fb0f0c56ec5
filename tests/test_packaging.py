import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import hrvmamba

# Answers as Python 3.10 does, and makes a .venv whose pip writes down what it is asked.
FAKE_PYTHON = """#!/bin/sh
case "$*" in
    *version_info*2*) echo 3.10 ;;
    *version_info*) echo 3.10.9 ;;
    *--version*) echo Python 3.10.9 ;;
    "-m venv"*) mkdir -p .venv/bin; cp "$0" .venv/bin/python ;;
    "-m pip"*) echo "$*" >>pip.log; test ! -e interrupt ;;
esac
"""
BROKEN_PYTHON = "#!/bin/sh\necho 'pyenv: version not installed' >&2\nexit 127\n"
NEW_PYTHON = "#!/bin/sh\necho 3.12.1\n"


@pytest.fixture
def checkout(tmp_path, repository) -> Path:
    """A folder with what `make setup` reads."""
    folder = tmp_path / "checkout"
    folder.mkdir()
    for name in ("Makefile", "requirements.txt", "requirements-no-deps.txt", "setup.py"):
        shutil.copy(repository / name, folder)
    shutil.copy(repository / "pyproject.toml", folder)
    return folder


@pytest.fixture
def make(checkout, tmp_path):
    """Run make in the checkout, where the named scripts are the only Pythons on the PATH."""
    if not shutil.which("make"):
        pytest.skip("needs make")

    def run(*arguments: str, **pythons: str) -> subprocess.CompletedProcess:
        programs = tmp_path / "bin"
        programs.mkdir(exist_ok=True)
        for name in ("python3.11", "python3.10", "python3"):
            program = programs / name
            program.write_text(pythons.get(name.replace(".", "_"), BROKEN_PYTHON))
            program.chmod(0o755)
        inherited = {k: v for k, v in os.environ.items() if k not in ("MAKEFLAGS", "PYTHON")}
        path = f"{programs}{os.pathsep}{os.environ['PATH']}"
        return subprocess.run(
            ["make", *arguments],
            cwd=checkout,
            env={**inherited, "PATH": path},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
        )

    return run


def test_setup_takes_the_first_python_that_runs(make, checkout):
    result = make("setup", python3_10=FAKE_PYTHON)
    assert result.returncode == 0, result.stderr
    log = (checkout / "pip.log").read_text()
    assert "-r requirements.txt" in log
    assert "--no-deps -r requirements-no-deps.txt" in log
    assert "--no-deps --no-build-isolation -e ." in log

    (checkout / "pip.log").unlink()
    assert make("setup").returncode == 0
    assert not (checkout / "pip.log").exists()  # nothing left to do

    requirements = checkout / "requirements.txt"
    later = (checkout / ".venv" / ".complete").stat().st_mtime + 10
    os.utime(requirements, (later, later))
    assert make("setup").returncode == 0
    assert (checkout / "pip.log").exists()


def test_setup_after_an_interruption_installs(make, checkout):
    (checkout / "interrupt").touch()
    assert make("setup", python3_10=FAKE_PYTHON).returncode != 0
    (checkout / "interrupt").unlink()
    (checkout / "pip.log").unlink()
    assert make("setup", python3_10=FAKE_PYTHON).returncode == 0
    assert "-e ." in (checkout / "pip.log").read_text()


@pytest.mark.parametrize("named", [False, True])
def test_setup_refuses_other_pythons(make, checkout, named):
    arguments = ["PYTHON=python3"] if named else []
    result = make("setup", *arguments, python3=NEW_PYTHON)
    assert result.returncode != 0
    assert "needs Python 3.10 or 3.11" in result.stderr
    assert "python3: 3.12.1" in result.stderr
    assert ("python3.11: does not run" in result.stderr) is not named
    assert "make setup PYTHON=/path/to/python3.11" in result.stderr
    assert not (checkout / ".venv").exists()


def test_setup_refuses_another_python_than_that_of_the_venv(make, checkout):
    assert make("setup", python3_10=FAKE_PYTHON).returncode == 0
    other = FAKE_PYTHON.replace("3.10", "3.11")
    result = make("setup", "PYTHON=python3.11", python3_11=other)
    assert result.returncode != 0
    assert ".venv holds Python 3.10" in result.stderr
    assert "rm -r .venv && make setup PYTHON=python3.11" in result.stderr


def test_metadata(tmp_path, repository):
    command = [sys.executable, "setup.py", "-q", "egg_info", "--egg-base", str(tmp_path)]
    subprocess.run(command, cwd=repository, check=True, capture_output=True)
    folder = tmp_path / "hrvmamba.egg-info"

    information = (folder / "PKG-INFO").read_text()
    assert f"\nVersion: {hrvmamba.__version__}\n" in information

    core, *extras = (folder / "requires.txt").read_text().split("\n[")
    assert core.split() == ["torch>=2.4"]
    names = {line for extra in extras for line in extra.splitlines()}
    assert any(name.startswith("mmengine") for name in names)
    assert not any(name.startswith(("mmpose", "chumpy")) for name in names)  # cannot be built

    commands = (folder / "entry_points.txt").read_text().splitlines()
    assert "hrvmamba = hrvmamba.cli.main:main" in commands

    packaged = (folder / "SOURCES.txt").read_text().split()
    sources = (repository / "hrvmamba").rglob("*.py")
    assert {str(source.relative_to(repository)) for source in sources} <= set(packaged)


def test_every_requirement_is_pinned(repository):
    for name in ("requirements.txt", "requirements-no-deps.txt"):
        for line in (repository / name).read_text().splitlines():
            requirement = line.partition("#")[0].strip()
            assert not requirement or "==" in requirement, f"{name}: {line}"


def decisions(repository, **environment: str) -> subprocess.CompletedProcess:
    """What setup.py says it will build."""
    return subprocess.run(
        [sys.executable, "setup.py", "--name"],
        cwd=repository,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
    )


def test_without_a_compiler_the_package_has_no_kernels(repository):
    result = decisions(repository, CXX="no-such-compiler")
    assert result.returncode == 0, result.stderr
    assert "no compiled kernels: no C++ compiler is found" in result.stdout


def test_cuda_is_a_choice(repository, tmp_path):
    if not shutil.which("c++"):
        pytest.skip("needs a C++ compiler")
    assert "no CUDA kernels: WITH_CUDA=0" in decisions(repository, WITH_CUDA="0").stdout
    without = decisions(repository, CUDA_HOME=str(tmp_path))
    assert without.returncode == 0
    assert "no CUDA kernels: no nvcc is found" in without.stdout
    forced = decisions(repository, CUDA_HOME=str(tmp_path), FORCE_CUDA="1")
    assert forced.returncode != 0
    assert "FORCE_CUDA=1, but no nvcc is found" in forced.stderr


@pytest.fixture(scope="module")
def installed(repository, tmp_path_factory) -> Path:
    """A folder with what the wheel installs that an archive of the sources builds, uncompiled."""
    checkout = tmp_path_factory.mktemp("checkout")
    for name in ("hrvmamba", "csrc", "configs", "tools"):
        shutil.copytree(repository / name, checkout / name, ignore=_BUILT)
    for name in ("setup.py", "pyproject.toml", "README.md", "MANIFEST.in", "model-index.yml"):
        shutil.copy(repository / name, checkout)
    run_setup(checkout, "sdist")
    (archive,) = checkout.glob("dist/*.tar.gz")
    shutil.unpack_archive(archive, checkout / "unpacked")
    (unpacked,) = (checkout / "unpacked").iterdir()
    run_setup(unpacked, "bdist_wheel")
    (wheel,) = unpacked.glob("dist/*.whl")
    shutil.unpack_archive(wheel, checkout / "installed", "zip")
    return checkout / "installed"


def run_setup(folder: Path, command: str) -> None:
    subprocess.run(
        [sys.executable, "setup.py", "-q", command],
        cwd=folder,
        env={**os.environ, "CXX": "no-such-compiler"},
        check=True,
        capture_output=True,
    )


def test_what_openmmlab_looks_for_is_installed(repository, installed):
    """The wheel that the sources' archive builds holds every config, the index and the tools."""
    mim = installed / "hrvmamba" / ".mim"
    found = {str(path.relative_to(mim)) for path in mim.rglob("*") if path.is_file()}
    expected = {
        str(path.relative_to(repository))
        for name in ("configs", "tools")
        for path in (repository / name).rglob("*")
        if path.is_file() and path.suffix != ".pyc"
    }
    assert found == expected | {"model-index.yml"}
    assert "configs/coco/metafile.yml" in found


def test_configs_of_an_installed_package(installed, tmp_path):
    """They load by name, as the base of another config too, where no checkout is about."""
    config = tmp_path / "mine.py"
    config.write_text("_base_ = 'hrvmamba::coco/hrvmamba_tiny_256x192.py'\n")
    program = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "import hrvmamba\n"
        "from hrvmamba.integrations.model_index import config_file\n"
        "from mmengine.config import Config\n"
        "print(config_file('hrvmamba-small'), Config.fromfile(sys.argv[2]).model.backbone.arch)"
    )
    result = subprocess.run(
        [sys.executable, "-c", program, str(installed), str(config)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr
    small = installed / "hrvmamba/.mim/configs/coco/hrvmamba_small_256x192.py"
    assert result.stdout.split() == [str(small), "tiny"]


_BUILT = shutil.ignore_patterns("*.so", "__pycache__")
