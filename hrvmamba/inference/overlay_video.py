"""A video that is written whole or not at all."""

from contextlib import ExitStack
from pathlib import Path

import cv2
import numpy as np

from hrvmamba.whole_file import whole_file

_CODEC = "mp4v"  # which OpenCV's wheels bring everywhere


class OverlayVideo:
    """Takes frames, and becomes the file when it is finished.

    Args:
        path: the file, an .mp4.
        frame_rate: frames a second.

    Raises:
        OSError: there is no writing to that path.
    """

    def __init__(self, path: Path, frame_rate: float) -> None:
        self._files = ExitStack()
        self._partial = self._files.enter_context(whole_file(path))
        self._frame_rate = frame_rate
        self._writer: cv2.VideoWriter | None = None

    def write(self, frame: np.ndarray) -> None:
        """Add a frame, ``(H, W, 3)``, BGR, uint8; all must be of one size.

        Raises:
            OSError: OpenCV cannot write videos here.
        """
        if self._writer is None:
            size = (frame.shape[1], frame.shape[0])
            codec = cv2.VideoWriter_fourcc(*_CODEC)
            self._writer = cv2.VideoWriter(str(self._partial), codec, self._frame_rate, size)
            if not self._writer.isOpened():
                raise OSError(f"{self._partial}: this OpenCV cannot write {_CODEC} videos")
        self._writer.write(frame)

    def finish(self) -> None:
        """Make it the file, if it has frames."""
        if self._writer is None:
            self.discard()
            return
        self._writer.release()
        self._files.close()

    def discard(self) -> None:
        """Remove what was written."""
        if self._writer is not None:
            self._writer.release()
        self._files.__exit__(InterruptedError, InterruptedError(), None)
