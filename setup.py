import re
from pathlib import Path

from setuptools import find_packages, setup

ROOT = Path(__file__).parent


def version() -> str:
    """The version in hrvmamba/__init__.py, read without importing the package (it needs torch)."""
    text = (ROOT / "hrvmamba" / "__init__.py").read_text(encoding="utf-8")
    return re.search(r'^__version__ = "(.+)"$', text, re.MULTILINE).group(1)


def long_description() -> str:
    readme = ROOT / "README.md"
    return readme.read_text(encoding="utf-8") if readme.exists() else ""


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
    extras_require={"pose": POSE, "test": TEST, "dev": [*TEST, "ruff"]},
)
