"""What building the compiled kernels takes, and what stands in the way of it here.

Of the standard library alone: setup.py loads this file by its path, before the package can be
imported.
"""

import os
import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

TORCH_TARGET = (2, 10)
"""Of libtorch's stable ABI: one binary serves this torch and later ones."""


def site_packages() -> list[Path]:
    """Folders of installed packages; pip's isolated build environment hides them from import."""
    paths = sysconfig.get_paths()
    return [Path(folder) for folder in [*sys.path, paths["platlib"], paths["purelib"]]]


def torch_folder() -> Path | None:
    """Where the torch that would be built against is installed."""
    folders = (folder / "torch" for folder in site_packages())
    return next((folder for folder in folders if (folder / "version.py").is_file()), None)


def torch_version(folder: Path) -> tuple[int, int]:
    """Major and minor version of the torch in a folder."""
    text = (folder / "version.py").read_text(encoding="utf-8")
    major, minor = re.search(r"__version__ = ['\"](\d+)\.(\d+)", text).groups()
    return int(major), int(minor)


def find_compiler() -> str | None:
    """The C++ compiler: $CXX, or the first on the PATH."""
    names = [os.environ["CXX"]] if os.environ.get("CXX") else ["c++", "g++", "clang++"]
    return next((path for name in names if (path := shutil.which(name.split()[0]))), None)


def find_nvcc() -> Path | None:
    """The compiler of the CUDA toolkit. What is on the PATH may be a script that runs it."""
    home = os.environ.get("CUDA_HOME")
    found = shutil.which("nvcc", path=f"{home}/bin" if home else None)
    if found is None:
        return None
    dry_run = subprocess.run(
        [found, "--dryrun", "-x", "cu", "-c", os.devnull], capture_output=True, text=True
    )
    folder = re.search(r"^#\$ _HERE_=(.+)$", dry_run.stderr, re.MULTILINE)
    return Path(folder.group(1)) / "nvcc" if folder else None


def obstacle() -> str | None:
    """What keeps the compiled kernels from being built here, or None."""
    torch = torch_folder()
    if torch is None:
        return "no torch is installed to build against; install torch, then hrvmamba again"
    if torch_version(torch) < TORCH_TARGET:
        return f"they need torch {'.'.join(map(str, TORCH_TARGET))} or later"
    if sys.platform == "win32":
        return "they need GCC or Clang"
    if find_compiler() is None:
        return "no C++ compiler is found (c++, g++, clang++ or $CXX)"
    if not (Path(sysconfig.get_paths()["include"]) / "Python.h").is_file():
        return "Python.h is missing (on Debian: python3-dev)"
    return None


def cuda_obstacle() -> str | None:
    """What keeps the CUDA kernels from being built, where the others are, or None."""
    if os.environ.get("WITH_CUDA") == "0":
        return "WITH_CUDA=0"
    if find_nvcc() is None:
        return "no nvcc is found (on the PATH or in $CUDA_HOME/bin)"
    return None
