"""Running a pose model over images and videos, and writing what it finds."""

import dataclasses
import functools
import json
import os
import sys
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from tqdm import tqdm

from hrvmamba.inference.coco_boxes import PERSON
from hrvmamba.inference.inputs import ImageFile, Video
from hrvmamba.inference.journal import Journal, Key
from hrvmamba.inference.overlay_video import OverlayVideo
from hrvmamba.inference.pose_result import PoseResult
from hrvmamba.inference.streaming_inferencer import StreamingInferencer
from hrvmamba.visualization.drawing import draw_heatmaps, draw_people
from hrvmamba.whole_file import whole_file

BoxFinder = Callable[[str, np.ndarray], tuple[np.ndarray, np.ndarray]]
"""Finds the people in an image of a name, ``(H, W, 3)``, BGR: boxes ``(N, 4)``, scores ``(N,)``.

It raises a ValueError where it has none for that image.
"""

OVERLAYS = "overlays"
"""The folder of overlays in that of a run."""

_RESULTS = "results.json"


def journal_path(out: Path) -> Path:
    """Where an unfinished run keeps what it has done."""
    return out / ".unfinished.jsonl"


@dataclasses.dataclass
class Outcome:
    """What a run did.

    Attributes:
        results: the file of results.
        images: images and frames that are done, with or without people.
        taken_over: how many of them an earlier run did.
        people: people found.
        failures: inputs that could not be read, each with the reason.
    """

    results: Path
    images: int = 0
    taken_over: int = 0
    people: int = 0
    failures: list[tuple[str, str]] = dataclasses.field(default_factory=list)


@dataclasses.dataclass
class _Item:
    """An image or frame on its way: its people once they are known, and what writes its overlay."""

    key: Key
    image: np.ndarray | None = None
    write: Callable[[np.ndarray], None] | None = None
    people: list[dict] | None = None


@dataclasses.dataclass
class _End:
    """The end of a video."""

    name: str
    video: OverlayVideo | None


class InferenceRun:
    """A run of a model over images and videos, with a progress bar.

    It writes ``out/results.json``, a list in COCO's result format: ``image_id``, ``category_id``,
    ``keypoints`` (x, y, score of each), ``score``, and beside these ``bbox``, ``file_name`` and,
    for videos, ``frame``, from 0; and the inputs with skeletons to ``out/overlays``, with heatmaps
    if ``infer`` returns them. A video becomes an .mp4. Each file is written whole.

    An input that cannot be read is told on stderr, and the others go on. A run that is interrupted
    leaves a journal in ``out``, which the next one goes on from. A camera goes on until it is
    interrupted, which ends it.

    Args:
        infer: the model.
        inputs: of :func:`hrvmamba.inference.inputs.find_inputs`.
        out: the folder to write to.
        find_boxes: None makes each image one person's.
        image_id: the id of an image's name, or a ValueError where it has none. None counts from 1.
        overlays: whether to draw.
        threshold: keypoints scored less are not drawn.
        settings: of JSON's types: what else results depend on. An interrupted run goes on with the
            same ones alone.

    Raises:
        ValueError: an overlay would replace its input, or ``out`` holds an interrupted run with
            other settings.
        OSError: there is no writing to ``out``.
    """

    def __init__(
        self,
        infer: StreamingInferencer,
        inputs: Sequence[ImageFile | Video],
        out: Path,
        *,
        find_boxes: BoxFinder | None = None,
        image_id: Callable[[str], int] | None = None,
        overlays: bool = True,
        threshold: float = 0.3,
        settings: dict[str, Any] | None = None,
    ) -> None:
        self.infer = infer
        self.inputs = inputs
        self.out = out
        self.find_boxes = find_boxes
        self.image_id = image_id
        self.overlays = overlays
        self.threshold = threshold
        self.live = any(isinstance(entry, Video) and entry.live for entry in inputs)
        self._check_overlays()
        settings = {**(settings or {}), "inputs": [str(entry.source) for entry in inputs]}
        self.journal = Journal(journal_path(out), settings)
        self.outcome = Outcome(out / _RESULTS)
        self.entries: list[dict] = []
        self.queue: deque[_Item | _End] = deque()
        self.open_videos: list[OverlayVideo] = []

    def run(self) -> Outcome:
        """Do what an earlier run has not done.

        Raises:
            OSError: a file cannot be written.
            KeyboardInterrupt: interrupted; what is done is kept.
        """
        total = sum(isinstance(entry, ImageFile) for entry in self.inputs)
        try:
            with tqdm(total=total, unit="image", desc="inferring") as self.progress:
                self._infer()
            with whole_file(self.outcome.results) as partial:
                partial.write_text(json.dumps(self.entries) + "\n")
            self.journal.remove()
        finally:
            self.journal.close()
            for video in self.open_videos:
                video.discard()
        return self.outcome

    def _infer(self) -> None:
        try:
            for result in self.infer.stream(self._feed()):
                self._settle()
                self._finish(self.queue.popleft(), result)
            self._settle()
        except KeyboardInterrupt:
            if not self.live:
                raise
            for video in [*self.open_videos]:
                self._end_video(video)

    def _check_overlays(self) -> None:
        for entry in self.inputs:
            if self.overlays and os.path.abspath(self._overlay(entry)) == str(entry.source):
                raise ValueError(f"the overlays in {self.out} would replace the inputs there")

    def _overlay(self, entry: ImageFile | Video) -> Path:
        path = self.out / OVERLAYS / entry.name
        if isinstance(entry, Video):
            return path.with_name(f"{path.name}.mp4" if path.suffix != ".mp4" else path.name)
        return path if cv2.haveImageWriter(path.name) else path.with_name(f"{path.name}.png")

    # What goes to the model

    def _feed(self) -> Iterator[tuple]:
        for entry in self.inputs:
            try:
                if self.image_id is not None:
                    self.image_id(entry.name)  # known, before anything is done with it
                if isinstance(entry, ImageFile):
                    yield from self._feed_image(entry)
                else:
                    yield from self._feed_video(entry)
            except ValueError as error:
                self._fail(entry, error)

    def _feed_image(self, entry: ImageFile) -> Iterator[tuple]:
        key, overlay = (entry.name, None), self._overlay(entry)
        done = self.journal.done.get(key)
        if done is not None and (not self.overlays or overlay.exists()):
            self.queue.append(_Item(key, people=done))
            return
        write = functools.partial(_write_image, overlay) if self.overlays else None
        yield self._for_the_model(_Item(key, entry.read(), write))

    def _feed_video(self, entry: Video) -> Iterator[tuple]:
        overlay = self._overlay(entry)
        if entry.name in self.journal.ended and (not self.overlays or overlay.exists()):
            for key, people in self.journal.done.items():
                if key[0] == entry.name:
                    self.queue.append(_Item(key, people=people))
            return
        # Heatmaps are not kept: a frame whose overlay shows them is done anew.
        anew = entry.live or (self.overlays and self.infer.returns_heatmaps)
        with entry.open() as reading:
            if reading.count:
                self.progress.total += reading.count
            video = self._open_overlay(overlay, reading.frame_rate)
            for number, frame in enumerate(reading.frames):
                key = (entry.name, number)
                item = _Item(key, frame, video.write if video else None)
                item.people = None if anew else self.journal.done.get(key)
                if item.people is None:
                    yield self._for_the_model(item)
                else:
                    self.queue.append(item)
                    self._settle()
        self.queue.append(_End(entry.name, video))

    def _open_overlay(self, path: Path, frame_rate: float) -> OverlayVideo | None:
        if not self.overlays:
            return None
        self.open_videos.append(OverlayVideo(path, frame_rate))
        return self.open_videos[-1]

    def _for_the_model(self, item: _Item) -> tuple:
        boxes, scores = None, None
        if self.find_boxes is not None:
            boxes, scores = self.find_boxes(item.key[0], item.image)
        self.queue.append(item)
        return item.image, boxes, scores

    def _fail(self, entry: ImageFile | Video, error: ValueError) -> None:
        self.outcome.failures.append((str(entry.source), str(error)))
        self.progress.write(f"skipped: {entry.source}: {error}", file=sys.stderr)
        self.progress.update(isinstance(entry, ImageFile))

    # What comes back

    def _settle(self) -> None:
        """Finish what needs no result any more, up to the first that does."""
        while self.queue and (isinstance(self.queue[0], _End) or self.queue[0].people is not None):
            entry = self.queue.popleft()
            if isinstance(entry, _Item):
                self._finish(entry)
                continue
            if entry.video is not None:
                self._end_video(entry.video)
            self.journal.end(entry.name)

    def _finish(self, item: _Item, result: PoseResult | None = None) -> None:
        """Draw and note an image or frame, found just now or in an earlier run."""
        people = item.people if result is None else _people_of(item.key, result)
        if item.write is not None:
            item.write(self._draw(item.image, people, result))
        if result is not None:
            self.journal.add(item.key, people)
        self.outcome.images += 1
        self.outcome.taken_over += result is None
        self.outcome.people += len(people)
        name = item.key[0]
        number = self.outcome.images if self.image_id is None else self.image_id(name)
        self.entries += [{"image_id": number, **person} for person in people]
        self.progress.update()

    def _end_video(self, video: OverlayVideo) -> None:
        video.finish()
        self.open_videos.remove(video)

    def _draw(self, image: np.ndarray, people: list[dict], result: PoseResult | None) -> np.ndarray:
        skeleton = self.infer.skeleton
        if result is not None and result.heatmaps is not None:
            image = draw_heatmaps(image, result.heatmaps, result.crops, skeleton)
        points = np.array([person["keypoints"] for person in people], np.float32)
        points = points.reshape(len(people), len(skeleton.names), 3)
        lengths = [max(person["bbox"][2:]) for person in people]
        shown = points[..., 2] >= self.threshold
        return draw_people(image, points[..., :2], shown, skeleton, lengths=lengths)


def _people_of(key: Key, result: PoseResult) -> list[dict]:
    """The people of a result as COCO has them, but for the image's id."""
    name, frame = key
    where = {"file_name": name} | ({} if frame is None else {"frame": frame})
    points = np.concatenate([result.keypoints, result.scores[..., None]], 2)
    return [
        {
            "category_id": PERSON,
            "keypoints": _numbers(keypoints),
            "score": round(float(score), 5),
            "bbox": _numbers(box),
            **where,
        }
        for keypoints, score, box in zip(points, result.person_scores, result.boxes, strict=True)
    ]


def _numbers(array: np.ndarray) -> list[float]:
    return array.astype(float).round(4).ravel().tolist()


def _write_image(path: Path, image: np.ndarray) -> None:
    encoded, content = cv2.imencode(path.suffix, image)
    if not encoded:
        raise OSError(f"{path}: OpenCV cannot encode this image")
    with whole_file(path) as partial:
        partial.write_bytes(content.tobytes())
