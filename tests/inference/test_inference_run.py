"""What a run over files writes, and how it goes on after an end; the model is a stand-in."""

import json
from collections import deque
from pathlib import Path

import cv2
import numpy as np
import pytest

from hrvmamba.inference import inputs as inputs_module
from hrvmamba.inference.inference_run import OVERLAYS, InferenceRun, Outcome, journal_path
from hrvmamba.inference.inputs import find_inputs
from hrvmamba.inference.pose_result import PoseResult
from hrvmamba.visualization.skeleton import Skeleton

COLOURS = np.array([[255, 0, 0], [0, 255, 0]], np.uint8)


class StandIn:
    """Finds two keypoints in each box, whose places depend on the picture, some images late."""

    skeleton = Skeleton(("head", "foot"), ((0, 1),), COLOURS, COLOURS[:1])

    def __init__(self, ahead: int = 2, heatmaps: bool = False) -> None:
        self.ahead = ahead
        self.returns_heatmaps = heatmaps
        self.seen: list[float] = []

    def stream(self, images):
        waiting = deque()
        for image in images:
            waiting.append(image)
            if len(waiting) > self.ahead:
                yield self.find(*waiting.popleft())
        while waiting:
            yield self.find(*waiting.popleft())

    def find(self, image, boxes, scores):
        self.seen.append(image.mean().round())
        if boxes is None:
            boxes, scores = [[0, 0, *image.shape[1::-1]]], [1.0]
        boxes = np.array(boxes, np.float32).reshape(-1, 4)
        shift = image.mean() / 255
        ends = boxes[:, None, :2] + boxes[:, None, 2:] * np.array([[0.2], [0.8 * shift]])
        return PoseResult(
            ends.astype(np.float32),
            np.full((len(boxes), 2), 0.9, np.float32),
            boxes,
            np.array(scores, np.float32),
            boxes,
            np.ones((len(boxes), 2, 4, 4), np.float32) if self.returns_heatmaps else None,
        )


def infer_files(infer, inputs, out, **options) -> Outcome:
    return InferenceRun(infer, inputs, out, **options).run()


def write_image(path: Path, value: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.full((60, 80, 3), value, np.uint8))


def write_video(path: Path, values) -> None:
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 10, (80, 60))
    for value in values:
        writer.write(np.full((60, 80, 3), value, np.uint8))
    writer.release()


def frames_of(path: Path) -> list[float]:
    (video,) = find_inputs([str(path)])
    with video.open() as reading:
        return [frame.mean() for frame in reading.frames]


@pytest.fixture
def mixed(tmp_path):
    """Three images, a video of four frames, and two files that are none."""
    folder = tmp_path / "in"
    for number in (1, 2, 3):
        write_image(folder / f"{number}.png", 50 * number)
    write_video(folder / "clip.avi", (60, 90, 120, 150))
    (folder / "0bad.jpg").write_bytes(b"no image")
    (folder / "9bad.mp4").write_bytes(b"no video")
    return folder


def written(out: Path) -> list[dict]:
    return json.loads((out / "results.json").read_text())


def test_results_and_overlays_and_what_is_skipped(mixed, tmp_path, capsys):
    out = tmp_path / "out"
    outcome = infer_files(StandIn(), find_inputs([str(mixed)]), out)
    entries = written(out)
    assert [entry["image_id"] for entry in entries] == [1, 2, 3, 4, 5, 6, 7]
    assert [entry["file_name"] for entry in entries] == [
        *("1.png", "2.png", "3.png"),
        *["clip.avi"] * 4,
    ]
    assert [entry.get("frame") for entry in entries] == [None, None, None, 0, 1, 2, 3]
    first = entries[0]
    assert first["category_id"] == 1 and first["bbox"] == [0, 0, 80, 60]
    np.testing.assert_allclose(
        first["keypoints"], [16, 12, 0.9, 80 * 0.8 * 50 / 255, 60 * 0.8 * 50 / 255, 0.9], atol=1e-3
    )
    assert first["score"] == pytest.approx(0.9)
    assert (outcome.images, outcome.people, outcome.taken_over) == (7, 7, 0)

    assert [Path(name).name for name, _ in outcome.failures] == ["0bad.jpg", "9bad.mp4"]
    captured = capsys.readouterr().err
    assert f"skipped: {mixed / '0bad.jpg'}: is damaged, or no image" in captured
    assert "8/8" in captured and "image/s" in captured  # with the image that failed

    drawn = cv2.imread(str(out / OVERLAYS / "2.png"))
    assert (drawn == (0, 0, 255)).all(-1).any()  # the head's red
    assert len(frames_of(out / OVERLAYS / "clip.avi.mp4")) == 4
    files = {path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file()}
    assert files == {"results.json", *(f"overlays/{n}.png" for n in (1, 2, 3))} | {
        "overlays/clip.avi.mp4"
    }


def test_ids_and_boxes_are_those_of_their_functions(mixed, tmp_path):
    def find_boxes(name, image):
        if name == "2.png":
            raise ValueError("is not known")
        return ([[1, 2, 10, 10], [3, 4, 10, 10]], [0.5, 1.0]) if name == "1.png" else ([], [])

    out = tmp_path / "out"
    outcome = infer_files(
        StandIn(),
        find_inputs([str(mixed / "*.png")]),
        out,
        find_boxes=find_boxes,
        image_id=lambda name: int(name[0]) + 100,
        overlays=False,
    )
    assert [(e["image_id"], e["bbox"][0], e["score"]) for e in written(out)] == [
        (101, 1, pytest.approx(0.45)),
        (101, 3, pytest.approx(0.9)),
    ]
    assert outcome.images == 2 and [reason for _, reason in outcome.failures] == ["is not known"]
    assert not (out / OVERLAYS).exists()


@pytest.mark.parametrize("ahead", [0, 3])
@pytest.mark.parametrize("after", [1, 2, 4, 6])
def test_an_interrupted_run_goes_on(mixed, tmp_path, monkeypatch, after, ahead):
    """What is done is not done again, and all is as if nothing had happened."""
    inputs = find_inputs([str(mixed)])
    whole, out = tmp_path / "whole", tmp_path / "out"
    infer_files(StandIn(ahead), inputs, whole)

    broken, find, calls = StandIn(ahead), StandIn.find, []

    def interrupted(self, *image):
        calls.append(1)
        if len(calls) > after:
            raise KeyboardInterrupt
        return find(self, *image)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(StandIn, "find", interrupted)
        infer_files(broken, inputs, out)
    assert not (out / "results.json").exists()
    assert not list(out.rglob("*partial*"))
    assert not (out / OVERLAYS / "clip.avi.mp4").exists()

    second = StandIn(ahead)
    outcome = infer_files(second, inputs, out)
    assert outcome.taken_over == after and len(second.seen) == 7 - after
    assert written(out) == written(whole)
    for path in whole.rglob("*.png"):
        assert (out / path.relative_to(whole)).read_bytes() == path.read_bytes()
    expected = frames_of(whole / OVERLAYS / "clip.avi.mp4")
    assert frames_of(out / OVERLAYS / "clip.avi.mp4") == expected
    assert not journal_path(out).exists()


def interrupt(out, inputs, after=4, **options):
    """Run, and interrupt it where it writes the overlay behind `after` results."""
    model = StandIn(0, **options)

    def stream(images, inner=model.stream):
        for number, result in enumerate(inner(images)):
            if number == after:
                raise KeyboardInterrupt
            yield result

    model.stream = stream
    with pytest.raises(KeyboardInterrupt):
        infer_files(model, inputs, out, settings={"checkpoint": "a.pth"})


def test_other_settings_do_not_go_on(mixed, tmp_path):
    out, inputs = tmp_path / "out", find_inputs([str(mixed)])
    interrupt(out, inputs)
    for settings, others in (
        ({"checkpoint": "b.pth"}, inputs),
        ({"checkpoint": "a.pth"}, inputs[:2]),
    ):
        name = "checkpoint" if settings["checkpoint"] == "b.pth" else "inputs"
        with pytest.raises(ValueError, match=f"interrupted run with another {name}.*remove"):
            infer_files(StandIn(), others, out, settings=settings)
    journal_path(out).unlink()
    assert infer_files(StandIn(), inputs, out, settings={"checkpoint": "b.pth"}).taken_over == 0


def test_a_journal_that_was_cut_off_loses_its_last_line_alone(mixed, tmp_path):
    out, inputs = tmp_path / "out", find_inputs([str(mixed)])
    interrupt(out, inputs, after=3)
    path = journal_path(out)
    path.write_bytes(path.read_bytes()[:-9])
    assert infer_files(StandIn(), inputs, out, settings={"checkpoint": "a.pth"}).taken_over == 2
    interrupt(out, inputs, after=3)
    path.write_bytes(b"{}\n" + path.read_bytes())
    with pytest.raises(ValueError, match="is damaged: remove it"):
        infer_files(StandIn(), inputs, out, settings={"checkpoint": "a.pth"})


def test_an_overlay_that_is_gone_is_drawn_anew(mixed, tmp_path):
    out, inputs = tmp_path / "out", find_inputs([str(mixed)])
    interrupt(out, inputs, after=5)
    (out / OVERLAYS / "1.png").unlink()
    model = StandIn()
    outcome = infer_files(model, inputs, out, settings={"checkpoint": "a.pth"})
    assert outcome.taken_over == 4 and model.seen[0] == 50
    assert (out / OVERLAYS / "1.png").exists()


def test_a_video_that_was_done_is_not_read_again(mixed, tmp_path):
    write_video(mixed / "next.avi", (200, 210, 220))
    out, inputs = tmp_path / "out", find_inputs([str(mixed)])
    interrupt(out, inputs, after=8)
    overlay = out / OVERLAYS / "clip.avi.mp4"
    before = overlay.stat().st_mtime_ns
    model = StandIn()
    infer_files(model, inputs, out, settings={"checkpoint": "a.pth"})
    assert model.seen == [210, 220] and overlay.stat().st_mtime_ns == before
    assert len(written(out)) == 10


def test_heatmaps_are_drawn_and_their_videos_done_anew(mixed, tmp_path):
    plain, out = tmp_path / "plain", tmp_path / "out"
    inputs = find_inputs([str(mixed)])
    infer_files(StandIn(), inputs, plain)
    interrupt(out, inputs, after=5, heatmaps=True)
    model = StandIn(heatmaps=True)
    infer_files(model, inputs, out, settings={"checkpoint": "a.pth"})
    assert len(model.seen) == 4  # all frames: their heatmaps are not kept
    assert written(out) == written(plain)
    one, other = (cv2.imread(str(folder / OVERLAYS / "3.png")) for folder in (plain, out))
    assert np.abs(one.astype(int) - other).mean() > 10


class FakeCamera:
    """Gives frames until Ctrl-C, which it presses itself."""

    def __init__(self, source):
        assert source == 0
        self.left = 6

    def read(self):
        self.left -= 1
        if self.left < 0:
            raise KeyboardInterrupt
        return True, np.full((60, 80, 3), 100 + self.left, np.uint8)

    def get(self, key):
        return 0.0

    def release(self):
        pass


def test_a_camera_ends_with_ctrl_c(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(inputs_module.cv2, "VideoCapture", FakeCamera)
    out = tmp_path / "out"
    outcome = infer_files(StandIn(ahead=2), find_inputs(["0"]), out)
    monkeypatch.undo()
    assert outcome.images == 4  # two more were on their way
    assert [entry["frame"] for entry in written(out)] == [0, 1, 2, 3]
    assert written(out)[0]["file_name"] == "camera-0"
    assert len(frames_of(out / OVERLAYS / "camera-0.mp4")) == 4
    assert not journal_path(out).exists()


def test_overlays_never_replace_their_inputs(tmp_path):
    write_image(tmp_path / OVERLAYS / "1.png", 50)
    content = (tmp_path / OVERLAYS / "1.png").read_bytes()
    with pytest.raises(ValueError, match="would replace the inputs"):
        infer_files(StandIn(), find_inputs([str(tmp_path / OVERLAYS)]), tmp_path)
    assert (tmp_path / OVERLAYS / "1.png").read_bytes() == content
    inputs = find_inputs([str(tmp_path / OVERLAYS)])
    assert infer_files(StandIn(), inputs, tmp_path, overlays=False).images == 1


def test_keypoints_scored_too_low_are_not_drawn(mixed, tmp_path):
    inputs = find_inputs([str(mixed / "1.png")])
    infer_files(StandIn(), inputs, tmp_path / "out", threshold=0.95)
    assert (cv2.imread(str(tmp_path / "out" / OVERLAYS / "1.png")) == 50).all()


def test_when_all_fail_the_results_are_empty(mixed, tmp_path):
    outcome = infer_files(StandIn(), find_inputs([str(mixed / "0bad.jpg")]), tmp_path / "out")
    assert len(outcome.failures) == 1 and written(tmp_path / "out") == []
