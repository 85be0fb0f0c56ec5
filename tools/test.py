"""Test a checkpoint of a pose, classification or segmentation model, and print its metrics.

python tools/test.py configs/coco/hrvmamba_tiny_256x192.py work_dirs/.../epoch_210.pth
"""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path
from types import ModuleType

from mmengine.config import Config, DictAction
from mmengine.dist import is_main_process
from mmengine.fileio import dump
from mmengine.model import is_model_wrapper

import hrvmamba  # noqa: F401  (registers the backbone and lets OpenMMLab's libraries import)
from hrvmamba.checkpoints import load_checkpoint
from hrvmamba.cli.errors import refuse
from hrvmamba.coco_files import check_image_info, check_results
from hrvmamba.integrations.config import ConfigError, as_list, load_config
from hrvmamba.integrations.hosts import host_of
from hrvmamba.integrations.runner import build_runner, check_launcher, unreadable_image

METRICS_FORMATS = (".json", ".yaml", ".yml", ".pkl", ".pickle")  # mmengine.fileio.dump's

TEST_DEV_RESULTS = "person_keypoints_test-dev2017_hrvmamba_results.json"

NEEDED = ("model", "test_dataloader", "test_evaluator")

POSE = "mmpose"


def parse_arguments(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("config", help="the config file")
    parser.add_argument(
        "checkpoint", help="of tools/train.py, of `hrvmamba convert` or of the authors"
    )
    parser.add_argument(
        "--work-dir", help="folder for logs and results (default: work_dirs/<config name>)"
    )
    parser.add_argument(
        "--out", metavar="FILE.json", help="write the metrics to this file (or .yaml, .pkl)"
    )
    parser.add_argument("--dump", metavar="FILE.pkl", help="pickle all predictions to this file")
    parser.add_argument("--show-dir", help="draw the predictions into this folder")
    boxes = parser.add_mutually_exclusive_group()
    boxes.add_argument(
        "--gt-boxes",
        action="store_true",
        help="pose: test on ground-truth boxes: no detection file is needed, and the AP is not "
        "comparable with AP on detected boxes",
    )
    boxes.add_argument(
        "--test-dev",
        action="store_true",
        help=f"pose: run on COCO test-dev2017 and write {TEST_DEV_RESULTS} for the COCO server",
    )
    parser.add_argument(
        "--cfg-options",
        nargs="+",
        action=DictAction,
        metavar="KEY=VALUE",
        help="settings that replace the config's, such as test_dataloader.batch_size=16",
    )
    parser.add_argument(
        "--launcher",
        choices=["none", "pytorch", "slurm", "mpi"],
        default="none",
        help="what started this process, if it is one of several",
    )
    return parser.parse_args(arguments)


def apply_arguments(config: Config, arguments: argparse.Namespace, host: ModuleType) -> None:
    """Write the command line's choices into the config; the host is what host_of gives for it."""
    check_launcher(arguments.launcher)
    config.launcher = arguments.launcher
    config.load_from = None
    config.resume = False
    if arguments.work_dir:
        config.work_dir = arguments.work_dir
    elif not config.get("work_dir"):
        config.work_dir = str(Path("work_dirs", Path(arguments.config).stem))
    if arguments.out and not arguments.out.endswith(METRICS_FORMATS):
        raise ConfigError(f"--out must name a .json, .yaml or .pkl file, not {arguments.out}")
    for option, given in (("--gt-boxes", arguments.gt_boxes), ("--test-dev", arguments.test_dev)):
        if given and config.default_scope != POSE:
            raise ConfigError(
                f"{option} is for configs of {POSE}, and {arguments.config} is one of "
                f"{config.default_scope}: leave it out"
            )
    if arguments.gt_boxes:
        host.use_ground_truth_boxes(config)
    if arguments.test_dev:
        host.use_test_dev(config)
    if arguments.show_dir:
        host.draw_predictions(config, os.path.abspath(arguments.show_dir))

    evaluators = as_list(config.test_evaluator)
    for evaluator in evaluators:
        if evaluator["type"] == "CocoMetric":
            evaluator["outfile_prefix"] = str(Path(config.work_dir, "coco"))
    if arguments.dump:
        if not arguments.dump.endswith((".pkl", ".pickle")):
            raise ConfigError(f"--dump must name a .pkl or .pickle file, not {arguments.dump}")
        evaluators.append({"type": "DumpResults", "out_file_path": arguments.dump})
    config.test_evaluator = evaluators


def write_test_dev_results(results: Path, annotations: Path) -> None:
    """Write CocoMetric's results as the file for the COCO server, and check its format."""
    keys = ("image_id", "category_id", "keypoints", "score")
    people = [{key: person[key] for key in keys} for person in json.loads(results.read_bytes())]
    check_results(people, check_image_info(annotations))
    path = results.with_name(TEST_DEV_RESULTS)
    dump(people, path)
    print(f"{path}: {len(people)} people, in the format that the COCO server takes")


def write_metrics(metrics: dict[str, float], path: str) -> None:
    """Write the metrics in the format that the path's ending names.

    Raises:
        SystemExit: With status 2, after one line on stderr, if the file cannot be written.
    """
    plain = {
        name: value.tolist() if hasattr(value, "tolist") else value  # of NumPy's types
        for name, value in metrics.items()
    }
    layout = {"indent": 2} if path.endswith(".json") else {}
    try:
        dump(plain, path, **layout)
    except OSError as error:
        refuse(f"--out: {error}")


def main(arguments: list[str] | None = None) -> None:
    """Run the command line, ``sys.argv`` if no arguments are given.

    Raises:
        SystemExit: With status 2, after one line on stderr, if the test cannot be done.
    """
    options = parse_arguments(arguments)
    try:
        config = load_config(options.config, options.cfg_options, NEEDED)
        host = host_of(config)
        apply_arguments(config, options, host)
        model = host.check_testing(config)
        load_checkpoint(model, options.checkpoint)
    except (ValueError, OSError) as error:
        refuse(error)

    runner = build_runner(config)
    tested = runner.model.module if is_model_wrapper(runner.model) else runner.model
    tested.load_state_dict(model.state_dict())
    try:
        metrics = runner.test()
    except Exception as error:
        reason = unreadable_image(error)
        if reason is None:
            raise
        refuse(reason)

    if not is_main_process():
        return
    if config.default_scope == POSE:
        print(host.boxes_used(config))
    if options.out:
        write_metrics(metrics, options.out)
    if options.test_dev:
        results = Path(config.work_dir, "coco.keypoints.json")
        write_test_dev_results(results, Path(config.test_evaluator[0]["ann_file"]))


if __name__ == "__main__":
    main()
