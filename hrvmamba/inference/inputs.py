"""The images, videos and cameras that a command line names."""

import dataclasses
import glob
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff")
VIDEO_SUFFIXES = (".mp4", ".avi", ".mov", ".mkv", ".webm", ".m4v", ".mpg", ".mpeg")

_FRAME_RATE = 25.0  # of what does not tell its own


@dataclasses.dataclass(frozen=True)
class ImageFile:
    """An image.

    Attributes:
        source: the file.
        name: its path, from the folder that all inputs are in.
    """

    source: Path
    name: str

    def read(self) -> np.ndarray:
        """The image, ``(H, W, 3)``, BGR, uint8, turned as its EXIF data says.

        Raises:
            ValueError: it is missing, damaged or no image.
        """
        try:
            content = np.frombuffer(self.source.read_bytes(), np.uint8)
        except OSError as error:
            raise ValueError(f"cannot be read: {error.strerror or error}") from error
        image = cv2.imdecode(content, cv2.IMREAD_COLOR) if content.size else None
        if image is None:
            raise ValueError("is damaged, or no image")
        return image


@dataclasses.dataclass(frozen=True)
class OpenVideo:
    """A video that is being read.

    Attributes:
        frames: those that are left, ``(H, W, 3)``, BGR, uint8; each once.
        frame_rate: frames a second.
        count: how many frames it has, as it says; 0 if it does not.
    """

    frames: Iterator[np.ndarray]
    frame_rate: float
    count: int


@dataclasses.dataclass(frozen=True)
class Video:
    """A video, or a camera.

    Attributes:
        source: the file, or the camera's number.
        name: its path, from the folder that all inputs are in, or camera-0.
    """

    source: Path | int
    name: str

    @property
    def live(self) -> bool:
        """Whether it is a camera, which goes on until it is stopped."""
        return isinstance(self.source, int)

    @contextmanager
    def open(self) -> Iterator[OpenVideo]:
        """Open it for reading.

        Raises:
            ValueError: it is missing, damaged or no video.
        """
        if not self.live and not self.source.is_file():
            raise ValueError("cannot be read: no such file")
        capture = cv2.VideoCapture(self.source if self.live else str(self.source))
        try:
            opened, first = capture.read()
            if not opened:
                raise ValueError("gives no pictures" if self.live else "is damaged, or no video")
            rate, count = (capture.get(key) for key in (cv2.CAP_PROP_FPS, cv2.CAP_PROP_FRAME_COUNT))
            yield OpenVideo(
                _frames(capture, first),
                rate if np.isfinite(rate) and rate > 0 else _FRAME_RATE,
                int(count) if np.isfinite(count) and count > 0 and not self.live else 0,
            )
        finally:
            capture.release()


def _frames(capture: cv2.VideoCapture, frame: np.ndarray) -> Iterator[np.ndarray]:
    more = True
    while more:
        yield frame
        more, frame = capture.read()


def find_inputs(texts: Sequence[str]) -> list[ImageFile | Video]:
    """Find what is named: files, folders of them, patterns such as ``*.jpg``, camera numbers.

    Folders are taken without their subfolders; the pattern ``**/*.jpg`` reaches into these. A file
    that is named twice counts once. Whether files can be read shows when they are.

    Raises:
        ValueError: a folder or pattern holds no image or video, or a camera is not alone.
    """
    found: dict[Path | int, None] = {}
    for text in texts:
        path = Path(text)
        if path.is_dir():
            matches = [entry for entry in sorted(path.iterdir()) if _is_known(entry)]
            if not matches:
                raise ValueError(f"the folder {text} holds no image or video")
        elif path.exists():
            matches = [path]
        elif text.isdecimal():
            matches = [int(text)]
        elif glob.has_magic(text):
            paths = map(Path, sorted(glob.glob(text, recursive=True)))
            matches = [entry for entry in paths if _is_known(entry)]
            if not matches:
                raise ValueError(f"no image or video matches {text}")
        else:
            matches = [path]
        for match in matches:
            found[match if isinstance(match, int) else Path(os.path.abspath(match))] = None
    if len(found) > 1 and any(isinstance(source, int) for source in found):
        raise ValueError("a camera goes on until it is stopped: it must be the only input")
    folders = [path.parent for path in found if isinstance(path, Path)]
    common = os.path.commonpath(folders) if folders else ""
    return [_input(source, common) for source in found]


def _is_known(path: Path) -> bool:
    return path.suffix.lower() in (*IMAGE_SUFFIXES, *VIDEO_SUFFIXES) and path.is_file()


def _input(source: Path | int, folder: str) -> ImageFile | Video:
    if isinstance(source, int):
        return Video(source, f"camera-{source}")
    name = source.relative_to(folder).as_posix()
    if source.suffix.lower() in VIDEO_SUFFIXES:
        return Video(source, name)
    return ImageFile(source, name)
