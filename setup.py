import os
import platform
import re
import shutil
import subprocess
import sys
import sysconfig
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from setuptools import Extension, find_packages, setup
from setuptools.command.build_ext import build_ext

ROOT = Path(__file__).parent


def version() -> str:
    """The version in hrvmamba/__init__.py, read without importing the package (it needs torch)."""
    text = (ROOT / "hrvmamba" / "__init__.py").read_text(encoding="utf-8")
    return re.search(r'^__version__ = "(.+)"$', text, re.MULTILINE).group(1)


def long_description() -> str:
    readme = ROOT / "README.md"
    return readme.read_text(encoding="utf-8") if readme.exists() else ""


# The compiled kernels. What is decided here is printed: pip shows it with --verbose.

TORCH_TARGET = (2, 10)  # of libtorch's stable ABI: one binary serves this torch and later ones
PYTHON_TARGET = (3, 10)
X86_FLAGS = {
    "kernels_avx2.cpp": ["-mavx2", "-mfma"],
    "kernels_avx512.cpp": [
        *("-mavx512f", "-mavx512dq", "-mavx512bw", "-mavx512vl", "-mfma"),
        "-mprefer-vector-width=512",
    ],
}


def say(text: str) -> None:
    print(f"hrvmamba: {text}", flush=True)


def torch_folder() -> Path | None:
    """The installed torch; pip's isolated build environment hides it from import alone."""
    folders = [*sys.path, sysconfig.get_paths()["platlib"], sysconfig.get_paths()["purelib"]]
    for folder in folders:
        if (Path(folder) / "torch" / "version.py").is_file():
            return Path(folder) / "torch"
    return None


def torch_version(folder: Path) -> tuple[int, int]:
    text = (folder / "version.py").read_text(encoding="utf-8")
    major, minor = re.search(r"__version__ = ['\"](\d+)\.(\d+)", text).groups()
    return int(major), int(minor)


def find_compiler() -> str | None:
    names = [os.environ["CXX"]] if os.environ.get("CXX") else ["c++", "g++", "clang++"]
    return next((path for name in names if (path := shutil.which(name.split()[0]))), None)


def obstacle() -> str | None:
    """What keeps the kernels from being built, or None."""
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


class BuildKernels(build_ext):
    """Compiles csrc/ with the C++ compiler, each file with the flags of its instruction set."""

    def build_extension(self, extension: Extension) -> None:
        compiler, torch = find_compiler(), torch_folder()
        say(f"compiling the CPU kernels with {compiler} against {torch}")
        objects_folder = Path(self.build_temp)
        jobs = [
            (source, objects_folder / Path(source).with_suffix(".o"))
            for source in extension.sources
        ]
        with ThreadPoolExecutor(int(os.environ.get("MAX_JOBS", os.cpu_count()))) as pool:
            list(pool.map(lambda job: self._compile(compiler, torch, *job), jobs))
        target = Path(self.get_ext_fullpath(extension.name))
        target.parent.mkdir(parents=True, exist_ok=True)
        shared = ["-shared"]
        if sys.platform == "darwin":
            shared = ["-bundle", "-undefined", "dynamic_lookup"]
        libraries = [f"-L{torch / 'lib'}", "-ltorch_cpu", "-lc10"]
        run([compiler, *shared, *(str(target) for _, target in jobs), "-o", target, *libraries])

    def _compile(self, compiler: str, torch: Path, source: str, target: Path) -> None:
        target.parent.mkdir(parents=True, exist_ok=True)
        flags = ["-std=c++17", "-O3", "-fPIC", "-fvisibility=hidden"]
        flags += ["-Wall", "-Wextra", "-Wno-psabi"]  # no vector crosses a file's border
        # What vectorising needs; the kernels do not look at errno or at floating-point flags.
        flags += ["-fno-math-errno", "-fno-trapping-math", "-ffp-contract=fast"]
        flags += [
            f"-DTORCH_TARGET_VERSION=0x{TORCH_TARGET[0]:02x}{TORCH_TARGET[1]:02x}000000000000",
            f"-DPy_LIMITED_API=0x{PYTHON_TARGET[0]:02x}{PYTHON_TARGET[1]:02x}0000",
            *("-isystem", torch / "include", "-isystem", sysconfig.get_paths()["include"]),
        ]
        if is_x86():
            flags += ["-DHRVMAMBA_X86", *X86_FLAGS.get(Path(source).name, [])]
        run([compiler, *flags, "-c", source, "-o", target])


def run(command: list) -> None:
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{' '.join(map(str, command))}\n{done.stderr}\nhrvmamba: this failed")


def is_x86() -> bool:
    return platform.machine().lower() in ("x86_64", "amd64")


def kernels() -> dict:
    """The arguments of setup() that build the kernels, none where they cannot be built."""
    reason = obstacle()
    if reason:
        say(f"no compiled kernels: {reason}. The ops run in plain PyTorch.")
        return {}
    sources = sorted(str(path.relative_to(ROOT)) for path in ROOT.glob("csrc/**/*.cpp"))
    if not is_x86():
        sources = [source for source in sources if Path(source).name not in X86_FLAGS]
    return {
        "ext_modules": [Extension("hrvmamba._C", sources, py_limited_api=True)],
        "cmdclass": {"build_ext": BuildKernels},
        "options": {"bdist_wheel": {"py_limited_api": "cp{}{}".format(*PYTHON_TARGET)}},
    }


# The pose stack but for mmpose itself, which requires chumpy, which cannot be built:
#   pip install --no-deps mmpose==1.3.2
# mmcv-lite is for an environment without mmcv. Beside a full mmcv, install hrvmamba alone.
POSE = [
    "mmengine>=0.10.7",
    "mmcv-lite>=2.1.0,<2.2.0",
    "torchvision",
    "numpy<2",
    "setuptools<81",
    "xtcocotools>=1.14.3",
    "json-tricks",
    "munkres",
    "scipy",
    "matplotlib",
    "pillow",
    "opencv-python<4.12",
]
TEST = ["pytest>=8"]

setup(
    name="hrvmamba",
    version=version(),
    description="High-resolution visual state-space (Mamba) backbones for human pose estimation",
    long_description=long_description(),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    python_requires=">=3.10",
    packages=find_packages(include=["hrvmamba", "hrvmamba.*"]),
    install_requires=["torch>=2.4"],
    extras_require={
        "pose": POSE,
        "mamba_ssm": ["mamba-ssm", "causal-conv1d"],  # peers of our scan, to compare with
        "test": TEST,
        "dev": [*TEST, "ruff", "clang-format"],
    },
    **kernels(),
)
