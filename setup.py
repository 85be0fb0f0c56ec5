import importlib.util
import os
import platform
import re
import subprocess
import sys
import sysconfig
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import ModuleType

from setuptools import Extension, find_packages, setup
from setuptools.command.build_ext import build_ext
from setuptools.command.build_py import build_py

ROOT = Path(__file__).parent


def load_toolchain() -> ModuleType:
    """hrvmamba/ops/toolchain.py, without importing the package."""
    path = ROOT / "hrvmamba" / "ops" / "toolchain.py"
    spec = importlib.util.spec_from_file_location("toolchain", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


toolchain = load_toolchain()


def version() -> str:
    """The version in hrvmamba/__init__.py, read without importing the package (it needs torch)."""
    text = (ROOT / "hrvmamba" / "__init__.py").read_text(encoding="utf-8")
    return re.search(r'^__version__ = "(.+)"$', text, re.MULTILINE).group(1)


def long_description() -> str:
    readme = ROOT / "README.md"
    return readme.read_text(encoding="utf-8") if readme.exists() else ""


# What OpenMMLab's libraries look for in a package's folder .mim. A checkout has them at its top.
MIM = ["model-index.yml", "configs", "tools"]


class BuildPackage(build_py):
    """Puts the configs, their index and the tools into the package that is installed."""

    def _get_data_files(self) -> list[tuple[str, str, str, list[str]]]:
        """Add them to the package's data: its folders here and in the build, and their files."""
        folders = {}
        for name in MIM:
            for path in sorted([ROOT / name, *(ROOT / name).rglob("*")]):
                if path.is_file() and "__pycache__" not in path.parts:
                    folders.setdefault(path.relative_to(ROOT).parent, []).append(path.name)
        target = Path(self.build_lib, "hrvmamba", ".mim")
        return [
            *super()._get_data_files(),
            *(("hrvmamba", str(at), str(target / at), names) for at, names in folders.items()),
        ]


# The compiled kernels: hrvmamba._C for the CPU, and hrvmamba._C_cuda, which needs a CUDA build of
# torch to load. What is decided here is printed: pip shows it with --verbose.
#   WITH_CUDA=0             no CUDA kernels
#   FORCE_CUDA=1            CUDA kernels, or an error
#   TORCH_CUDA_ARCH_LIST    architectures, as PyTorch takes them: "8.0;9.0+PTX"
#   CUDA_HOME, CXX          the toolkit's folder, the C++ compiler
#   MAX_JOBS                files compiled at a time

PYTHON_TARGET = (3, 10)
CUDA_ARCHITECTURES = "8.0;8.6;8.9;9.0+PTX"
X86_FLAGS = {
    "kernels_avx2.cpp": ["-mavx2", "-mfma"],
    "kernels_avx512.cpp": [
        *("-mavx512f", "-mavx512dq", "-mavx512bw", "-mavx512vl", "-mfma"),
        "-mprefer-vector-width=512",
    ],
}


def say(text: str) -> None:
    print(f"hrvmamba: {text}", flush=True)


def architecture_flags() -> list[str]:
    flags = []
    names = os.environ.get("TORCH_CUDA_ARCH_LIST") or CUDA_ARCHITECTURES
    for name in re.split(r"[;,\s]+", names.strip()):
        match = re.fullmatch(r"(\d+)\.(\d+a?)(\+PTX)?", name)
        if match is None:
            raise SystemExit(
                f"hrvmamba: TORCH_CUDA_ARCH_LIST: got {name!r}, needs numbers such as 8.0;9.0+PTX"
            )
        number = match.group(1) + match.group(2)
        flags += ["-gencode", f"arch=compute_{number},code=sm_{number}"]
        if match.group(3):
            flags += ["-gencode", f"arch=compute_{number},code=compute_{number}"]
    return flags


def is_x86() -> bool:
    return platform.machine().lower() in ("x86_64", "amd64")


def run(command: list) -> None:
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{' '.join(map(str, command))}\n{done.stderr}\nhrvmamba: this failed")


class BuildKernels(build_ext):
    """Compiles csrc/: C++ with the flags of each file's instruction set, CUDA with nvcc."""

    def build_extension(self, extension: Extension) -> None:
        self.torch = toolchain.torch_folder()
        self.compiler, self.nvcc = toolchain.find_compiler(), toolchain.find_nvcc()
        cuda = any(source.endswith(".cu") for source in extension.sources)
        say(f"compiling {extension.name} with {self.nvcc if cuda else self.compiler}")
        folder = Path(self.build_temp)
        jobs = [(source, folder / f"{source}.o") for source in extension.sources]
        with ThreadPoolExecutor(int(os.environ.get("MAX_JOBS", os.cpu_count()))) as pool:
            list(pool.map(lambda job: self._compile(*job), jobs))
        target = Path(self.get_ext_fullpath(extension.name))
        target.parent.mkdir(parents=True, exist_ok=True)
        shared = ["-shared"]
        if sys.platform == "darwin":
            shared = ["-bundle", "-undefined", "dynamic_lookup"]
        libraries = [f"-L{self.torch / 'lib'}", "-ltorch_cpu", "-lc10"]
        if cuda:
            libraries += self._cuda_libraries()
        objects = [path for _, path in jobs]
        run([self.compiler, *shared, *objects, "-o", target, *libraries])

    def _compile(self, source: str, target: Path) -> None:
        target.parent.mkdir(parents=True, exist_ok=True)
        major, minor = toolchain.TORCH_TARGET
        flags = [
            "-std=c++17",
            "-O3",
            f"-DTORCH_TARGET_VERSION=0x{major:02x}{minor:02x}000000000000",
        ]
        flags += [f"-DPy_LIMITED_API=0x{PYTHON_TARGET[0]:02x}{PYTHON_TARGET[1]:02x}0000"]
        flags += ["-isystem", self.torch / "include"]
        flags += ["-isystem", sysconfig.get_paths()["include"]]
        if source.endswith(".cu"):
            flags += ["-DUSE_CUDA", "-Xcompiler", "-fPIC,-fvisibility=hidden", "--threads", "0"]
            command = [self.nvcc, *flags, *architecture_flags(), *self._cuda_headers()]
        else:
            flags += ["-fPIC", "-fvisibility=hidden"]
            flags += ["-Wall", "-Wextra", "-Wno-psabi"]  # no vector crosses a file's border
            # What vectorising needs: the kernels look at no errno and no floating-point flags.
            flags += ["-fno-math-errno", "-fno-trapping-math", "-ffp-contract=fast"]
            if is_x86():
                flags += ["-DHRVMAMBA_X86", *X86_FLAGS.get(Path(source).name, [])]
            command = [self.compiler, *flags]
        run([*command, "-c", source, "-o", target])

    def _cuda_folders(self, name: str) -> list[Path]:
        """Folders of the toolkit, and of the CUDA packages that come with torch."""
        folders = toolchain.site_packages()
        wheels = (path for folder in folders for path in folder.glob(f"nvidia/cu*/{name}"))
        return [self.nvcc.parent.parent / name, *wheels]

    def _cuda_headers(self) -> list[str]:
        return [part for path in self._cuda_folders("include") for part in ("-isystem", path)]

    def _cuda_libraries(self) -> list[str]:
        # The runtime is linked in, so that the binary asks for no version of it.
        folders = [*self._cuda_folders("lib64"), *self._cuda_folders("lib")]
        libraries = [f"-L{folder}" for folder in folders if folder.is_dir()]
        libraries += ["-lcudart_static", "-lpthread", "-ldl", "-lrt"]
        if (self.torch / "lib" / "libtorch_cuda.so").is_file():
            libraries += ["-ltorch_cuda", "-lc10_cuda"]
        return libraries


def kernels() -> dict:
    """The arguments of setup() that build the kernels, none where they cannot be built."""
    force_cuda = os.environ.get("FORCE_CUDA") == "1"
    reason, cuda_reason = toolchain.obstacle(), toolchain.cuda_obstacle()
    if force_cuda and (reason or cuda_reason):
        raise SystemExit(f"hrvmamba: FORCE_CUDA=1, but {reason or cuda_reason}")
    if reason:
        say(f"no compiled kernels: {reason}. The ops run in plain PyTorch.")
        return {}
    cpu = [ROOT / "csrc" / "registration.cpp", *sorted(ROOT.glob("csrc/cpu/*.cpp"))]
    if not is_x86():
        cpu = [path for path in cpu if path.name not in X86_FLAGS]
    cuda = [*sorted(ROOT.glob("csrc/cuda/*.cpp")), *sorted(ROOT.glob("csrc/cuda/*.cu"))]
    if cuda_reason:
        say(f"no CUDA kernels: {cuda_reason}")
        cuda = []
    extensions = [
        Extension(name, [str(path.relative_to(ROOT)) for path in paths], py_limited_api=True)
        for name, paths in (("hrvmamba._C", cpu), ("hrvmamba._C_cuda", cuda))
        if paths
    ]
    return {
        "ext_modules": extensions,
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
    "tqdm",
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
    entry_points={"console_scripts": ["hrvmamba = hrvmamba.cli.main:main"]},
    install_requires=["torch>=2.4"],
    extras_require={
        "pose": POSE,
        "web": ["gradio>=6,<7"],  # the page of `hrvmamba web`, beside pose
        "onnx": ["onnx>=1.16", "onnxruntime>=1.18"],  # to export models, and to check and run them
        "mamba_ssm": ["mamba-ssm", "causal-conv1d"],  # peers of our scan, to compare with
        "test": TEST,
        "dev": [*TEST, "ruff", "clang-format"],
    },
    cmdclass={"build_py": BuildPackage, "build_ext": BuildKernels},
    **kernels(),
)
