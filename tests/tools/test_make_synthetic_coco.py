"""The command line of tools/make_synthetic_coco.py."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest

OPTIONS = ["--num-train", "2", "--num-val", "1", "--seed", "3", "--workers", "1"]
OPTIONS += ["--width", "96", "--height", "64", "--cast", "simple"]


def test_writes_what_was_asked_for(run_tool, tmp_path, capfd):
    folder = tmp_path / "people"
    run_tool("make_synthetic_coco", folder, *OPTIONS)
    said = capfd.readouterr()
    assert str(folder) in said.out
    assert "3/3" in said.err  # the progress bar
    content = json.loads((folder / "annotations/person_keypoints_train.json").read_text())
    assert content["info"]["parameters"] == {
        "generator_version": 1,
        "num_train": 2,
        "num_val": 1,
        "seed": 3,
        "image_size": [96, 64],
        "cast": "simple",
    }
    assert [image["width"] for image in content["images"]] == [96, 96]


def test_keeps_refuses_and_overwrites(run_tool, refused, tmp_path, capfd):
    folder = tmp_path / "people"
    run_tool("make_synthetic_coco", folder, *OPTIONS)
    first = (folder / "train/000000000001.jpg").read_bytes()
    run_tool("make_synthetic_coco", folder, *OPTIONS)
    assert "kept" in capfd.readouterr().out
    assert "--overwrite" in refused("make_synthetic_coco", folder, *OPTIONS, "--seed", 4)
    assert (folder / "train/000000000001.jpg").read_bytes() == first
    run_tool("make_synthetic_coco", folder, *OPTIONS, "--seed", 4, "--overwrite")
    assert (folder / "train/000000000001.jpg").read_bytes() != first


def test_bad_argument_is_named(refused, tmp_path):
    said = refused("make_synthetic_coco", tmp_path / "people", "--num-train", 0)
    assert "num_train: got 0" in said
    assert not (tmp_path / "people").exists()


@pytest.mark.skipif(os.name != "posix", reason="sends POSIX signals")
@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM])
def test_ended_from_outside_it_leaves_nothing(repository, tmp_path, ending):
    environment = {**os.environ, "PYTHONPATH": str(repository), "OMP_NUM_THREADS": "1"}
    arguments = [sys.executable, str(repository / "tools/make_synthetic_coco.py")]
    arguments += [str(tmp_path / "people"), "--num-train", "5000", "--workers", "2"]
    process = subprocess.Popen(
        arguments, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    try:
        deadline = time.monotonic() + 60
        while not list(tmp_path.glob(".people.partial-*/train/*.jpg")):
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.05)
        process.send_signal(ending)
        _, said = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 130
    assert "nothing was written" in said and "Traceback" not in said
    assert not list(tmp_path.iterdir())
