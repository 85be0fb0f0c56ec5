"""The data set on disk: format, determinism, and that it is written whole or not at all."""

import json

import cv2
import numpy as np
import pytest

from hrvmamba.datasets import make_synthetic_coco, synthetic_coco

SMALL = dict(num_train=3, num_val=2, image_size=(96, 80), workers=1)


def contents(folder) -> dict[str, bytes]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


@pytest.fixture(scope="module")
def people(tmp_path_factory):
    return make_synthetic_coco(tmp_path_factory.mktemp("synthetic") / "people", **SMALL)


def test_layout(people):
    assert list(contents(people)) == [
        "annotations/person_keypoints_train.json",
        "annotations/person_keypoints_val.json",
        "train/000000000001.jpg",
        "train/000000000002.jpg",
        "train/000000000003.jpg",
        "val/000000000001.jpg",
        "val/000000000002.jpg",
    ]
    assert [path.name for path in people.parent.iterdir()] == ["people"]


@pytest.mark.parametrize("split", ["train", "val"])
def test_xtcocotools_reads_it(people, split):
    coco = pytest.importorskip("xtcocotools.coco")
    coco = coco.COCO(str(people / "annotations" / f"person_keypoints_{split}.json"))
    person = coco.loadCats(coco.getCatIds("person"))[0]
    assert person["keypoints"][5] == "left_shoulder" and len(person["keypoints"]) == 17
    assert [16, 14] in person["skeleton"]  # left ankle to left knee, counted from 1
    for image in coco.loadImgs(coco.getImgIds()):
        drawn = cv2.imread(str(people / split / image["file_name"]))
        assert drawn.shape == (image["height"], image["width"], 3) == (80, 96, 3)
        annotations = coco.loadAnns(coco.getAnnIds(imgIds=image["id"]))
        assert annotations
        for annotation in annotations:
            assert annotation["iscrowd"] == 0 and annotation["category_id"] == person["id"]
            mask = coco.annToMask(annotation)
            # Polygons leave holes out and cut corners.
            assert annotation["area"] == pytest.approx(mask.sum(), rel=0.2)
            ys, xs = np.nonzero(mask)
            x, y, width, height = annotation["bbox"]
            assert x - 1 <= xs.min() and xs.max() <= x + width
            assert y - 1 <= ys.min() and ys.max() <= y + height


def test_mmpose_reads_it_unchanged(people):
    pytest.importorskip("mmpose")
    import hrvmamba  # noqa: F401  (makes MMPose importable without the full mmcv)

    body = pytest.importorskip("mmpose.datasets.datasets.body")
    dataset = body.CocoDataset(
        ann_file="annotations/person_keypoints_train.json",
        data_root=str(people),
        data_prefix=dict(img="train/"),
    )
    truth = json.loads((people / "annotations/person_keypoints_train.json").read_text())
    assert len(dataset) == len(truth["annotations"])
    sample, annotation = dataset[0], truth["annotations"][0]
    expected = np.reshape(annotation["keypoints"], (17, 3))
    np.testing.assert_allclose(sample["keypoints"][0], expected[:, :2], atol=1e-4)
    np.testing.assert_array_equal(sample["keypoints_visible"][0], np.minimum(1, expected[:, 2]))


def test_same_bytes_again_and_with_more_workers(people, tmp_path):
    again = make_synthetic_coco(tmp_path / "again", **SMALL)
    parallel = make_synthetic_coco(tmp_path / "parallel", **{**SMALL, "workers": 2})
    assert contents(again) == contents(people) == contents(parallel)


def test_images_do_not_depend_on_how_many_there_are_but_on_seed_and_split(people, tmp_path):
    fewer = make_synthetic_coco(tmp_path / "fewer", **{**SMALL, "num_train": 1})
    other = make_synthetic_coco(tmp_path / "other", **{**SMALL, "seed": 1})
    before, first = contents(people), "train/000000000001.jpg"
    assert contents(fewer)[first] == before[first]
    assert contents(other)[first] != before[first]
    assert before["val/000000000001.jpg"] != before[first]


def test_keeps_a_complete_set_with_the_same_parameters(people, capsys, monkeypatch):
    monkeypatch.setattr(synthetic_coco, "draw_scene", None)  # drawing would fail
    assert make_synthetic_coco(people, **SMALL) == people
    assert "kept" in capsys.readouterr().out


def test_refuses_other_parameters_unless_told_to_overwrite(tmp_path):
    folder = make_synthetic_coco(tmp_path / "people", **SMALL)
    before = contents(folder)
    with pytest.raises(FileExistsError, match=r"seed 0 instead of 7.*--overwrite"):
        make_synthetic_coco(folder, **SMALL, seed=7)
    assert contents(folder) == before
    make_synthetic_coco(folder, **SMALL, seed=7, overwrite=True)
    assert contents(folder).keys() == before.keys()
    assert contents(folder) != before
    assert [path.name for path in tmp_path.iterdir()] == ["people"]


def test_refuses_an_incomplete_set(tmp_path):
    folder = make_synthetic_coco(tmp_path / "people", **SMALL)
    before = contents(folder)
    (folder / "val" / "000000000002.jpg").unlink()
    with pytest.raises(FileExistsError, match=r"lacks.*--overwrite"):
        make_synthetic_coco(folder, **SMALL)
    make_synthetic_coco(folder, **SMALL, overwrite=True)
    assert contents(folder) == before


@pytest.mark.parametrize("overwrite", [False, True])
def test_never_touches_a_folder_that_is_something_else(tmp_path, overwrite):
    (tmp_path / "letters").mkdir()
    (tmp_path / "letters" / "a.txt").write_text("dear")
    with pytest.raises(FileExistsError, match="no synthetic data set"):
        make_synthetic_coco(tmp_path / "letters", **SMALL, overwrite=overwrite)
    assert contents(tmp_path) == {"letters/a.txt": b"dear"}


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
@pytest.mark.parametrize("overwrite", [False, True])
def test_interrupted_run_leaves_everything_as_it_was(tmp_path, monkeypatch, error, overwrite):
    if overwrite:
        make_synthetic_coco(tmp_path / "people", **SMALL)
    before = contents(tmp_path)
    draw, calls = synthetic_coco.draw_scene, []

    def failing(*arguments):
        calls.append(arguments)
        if len(calls) == 3:
            raise error("in the middle")
        return draw(*arguments)

    monkeypatch.setattr(synthetic_coco, "draw_scene", failing)
    with pytest.raises(error):
        make_synthetic_coco(tmp_path / "people", **SMALL, seed=2, overwrite=overwrite)
    assert len(calls) == 3
    assert contents(tmp_path) == before
    assert [path.name for path in tmp_path.iterdir()] == ["people"] * overwrite


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("num_train", 0),
        ("num_val", -1),
        ("num_val", 2.5),
        ("seed", -1),
        ("image_size", (96, 32)),
        ("image_size", 256),
        ("cast", "easy"),
        ("workers", 0),
    ],
)
def test_arguments_are_checked(tmp_path, name, value):
    with pytest.raises(ValueError, match=f"{name}: got .*needs"):
        make_synthetic_coco(tmp_path / "people", **{**SMALL, name: value})
    assert not list(tmp_path.iterdir())
