"""Train ablations under one small budget on synthetic people, and compare them.

python tools/ablate.py --epochs 2 --seeds 2 --jobs 2
"""

import argparse
import asyncio
import copy
import dataclasses
import json
import os
import signal
import statistics
import sys
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import torch
from mmengine.config import Config
from tqdm import tqdm

from hrvmamba.analysis import Cost, cost
from hrvmamba.analysis.timing import environment, markdown_table, print_table
from hrvmamba.cli.errors import refuse
from hrvmamba.cli.measuring import write_report
from hrvmamba.integrations.config import ConfigError, load_config
from hrvmamba.integrations.mmpose import check_testing, check_training
from hrvmamba.models import ARCHS, Arch, HRVMamba
from hrvmamba.models.checks import resolve_arch
from hrvmamba.whole_file import whole_file

TOOLS = Path(__file__).resolve().parent
CONFIGS = TOOLS.parent / "configs"
RECIPE = CONFIGS / "synthetic/hrvmamba_nano_96x72.py"

AP = "coco/AP"

_POLL_SECONDS = 1.0


class Network(NamedTuple):
    """A config's network at the recipe's widths.

    Attributes:
        name: the config's.
        trained_as: the name of the first config of the same network, which is trained for both.
        arch: its block, with the recipe's widths.
        cost: parameters and multiply-accumulates of the backbone.
    """

    name: str
    trained_as: str
    arch: Arch
    cost: Cost


@dataclasses.dataclass(eq=False)
class Run:
    """One training of a network: its config, and the folder of all that comes of it.

    Attributes:
        name: the network's.
        seed: of weights and order of the people.
        config: the recipe with that network, seed and budget.
        folder: where everything goes.
        failure: why it failed, if it did.
    """

    name: str
    seed: int
    config: Config
    folder: Path
    failure: str | None = None

    @property
    def config_file(self) -> Path:
        """What training and test are given, beside the folder, into which MMEngine copies it."""
        return self.folder.with_suffix(".py")

    @property
    def metrics_file(self) -> Path:
        """What the test writes at the end: there is one if the run is finished."""
        return self.folder / "metrics.json"

    @property
    def output(self) -> Path:
        """What training and test print."""
        return self.folder / "output.log"

    @property
    def metrics(self) -> dict[str, float] | None:
        """What the test found; None if the run is not finished."""
        path = self.metrics_file
        return json.loads(path.read_text()) if path.is_file() else None

    @property
    def epochs_done(self) -> int:
        """How many epochs its checkpoints hold."""
        checkpoints = self.folder.glob("epoch_*.pth")
        return max((int(path.stem.removeprefix("epoch_")) for path in checkpoints), default=0)

    def __str__(self) -> str:
        return f"{self.name}, seed {self.seed}"


# What to train


def networks_of(paths: list[Path], recipe: Config) -> list[Network]:
    """The networks of some configs, with the recipe's widths for theirs.

    Raises:
        ConfigError: a config is missing, is named as another is, or is of no HRVMamba that can be
            built with these widths.
    """
    preset = resolve_arch(recipe.model.backbone.arch, ARCHS)
    width, height = recipe.codec.input_size
    networks: list[Network] = []
    for path in paths:
        if any(path.stem == network.name for network in networks):
            raise ConfigError(f"--configs: two are named {path.stem}, and runs go by that name")
        backbone = load_config(str(path), None, ["model"]).model.get("backbone") or {}
        if backbone.get("type") != "HRVMamba":
            raise ConfigError(
                f"--configs: {path} has the backbone {backbone.get('type')}: it needs HRVMamba, "
                "whose block is what is compared"
            )
        try:
            arch = dataclasses.replace(
                resolve_arch(backbone.get("arch", "small"), ARCHS),
                bottleneck_channels=preset.bottleneck_channels,
                channels=preset.channels,
            )
            same = next((network for network in networks if network.arch == arch), None)
            counted = same.cost if same else cost(HRVMamba(arch), (height, width))
        except (TypeError, ValueError) as error:
            raise ConfigError(f"--configs: {path}: {error}") from error
        networks.append(Network(path.stem, same.name if same else path.stem, arch, counted))
    return networks


def run_config(recipe: Config, arch: Arch, seed: int, epochs: int, data: str) -> Config:
    """The recipe with another block, seed and budget, in one process and without validation."""
    config = copy.deepcopy(recipe)
    config.model.backbone.arch = dataclasses.asdict(arch)
    config.randomness.seed = seed
    config.train_cfg.max_epochs = epochs
    _, decay = config.param_scheduler
    decay.end = epochs
    config.train_dataloader.batch_size = config.auto_scale_lr.base_batch_size
    config.default_hooks.checkpoint = {
        "type": "CheckpointHook",
        "interval": 1,
        "max_keep_ckpts": 1,
    }
    config.val_cfg = config.val_dataloader = config.val_evaluator = None
    for loader in (config.train_dataloader, config.test_dataloader):
        loader.dataset.data_root = data
    config.test_evaluator.ann_file = str(Path(data, config.test_dataloader.dataset.ann_file))
    return config


def plan(options: argparse.Namespace) -> tuple[list[Network], list[Run]]:
    """The networks to compare, and the runs that takes.

    Raises:
        OSError: the work directory cannot be read.
        ValueError: an argument is out of its range, or what it names is missing or of no use.
    """
    for name in ("seeds", "epochs", "jobs"):
        value = getattr(options, name)
        if value < 1:
            raise ConfigError(f"--{name}: got {value}, needs at least 1")
    recipe = Config.fromfile(RECIPE)
    networks = networks_of([Path(path) for path in options.configs], recipe)
    if not Path(options.data).is_dir():
        raise ConfigError(
            f"--data: there is no folder {options.data}. Draw the people: python "
            f"tools/make_synthetic_coco.py {options.data} --num-train 2000 --cast simple"
        )
    runs = []
    for seed in range(options.seeds):
        for network in networks:
            if network.trained_as != network.name:
                continue
            config = run_config(recipe, network.arch, seed, options.epochs, options.data)
            folder = Path(options.work_dir, network.name, f"seed_{seed}")
            runs.append(Run(network.name, seed, config, folder))
    for check in (check_training, check_testing):  # all runs have the same data
        check(runs[0].config)
    for run in runs:
        if run.config_file.is_file() and run.config_file.read_text() != run.config.pretty_text:
            raise ConfigError(
                f"{run.folder} was begun with other settings or another version of its config: "
                "give those, or another --work-dir"
            )
    return networks, runs


# Training


def commands(run: Run) -> list[list[str]]:
    """Train the run, from its last checkpoint if it has one, then test it."""
    train = [sys.executable, str(TOOLS / "train.py"), str(run.config_file)]
    test = [sys.executable, str(TOOLS / "test.py"), str(run.config_file)]
    epochs = run.config.train_cfg.max_epochs
    test += [str(run.folder / f"epoch_{epochs}.pth"), "--out", str(run.metrics_file)]
    place = ["--work-dir", str(run.folder)]
    return [[*train, "--resume", *place], [*test, *place]]


async def execute(run: Run, threads: int, places: asyncio.Semaphore) -> Run:
    """Train and test the run, once there is a place for it; cancelled, end what that started."""
    async with places:
        run.folder.mkdir(parents=True, exist_ok=True)
        with whole_file(run.config_file) as partial:
            partial.write_text(run.config.pretty_text)
        with run.output.open("w") as output:
            for command in commands(run):
                process = await asyncio.create_subprocess_exec(
                    *command,
                    stdout=output,
                    stderr=output,
                    env=os.environ | {"OMP_NUM_THREADS": str(threads)},
                    start_new_session=True,  # Ctrl-C is for this program, which then ends them
                )
                try:
                    status = await process.wait()
                except asyncio.CancelledError:
                    _terminate(process)
                    await process.wait()
                    raise
                if status:
                    run.failure = _last_line(run.output) or f"it ended with status {status}"
                    break
    return run


def _terminate(process: asyncio.subprocess.Process) -> None:
    """End a process and, where there are sessions, the workers that load its data."""
    with suppress(ProcessLookupError):  # it has just ended by itself
        if hasattr(os, "killpg"):
            os.killpg(process.pid, signal.SIGTERM)
        else:
            process.terminate()


def _last_line(path: Path) -> str | None:
    lines = path.read_text(errors="replace").strip().splitlines()
    return lines[-1] if lines else None


async def execute_all(runs: list[Run], options: argparse.Namespace, report: dict) -> None:
    """Train what is not finished, and write the report after each run."""
    waiting = [run for run in runs if not run.metrics_file.is_file()]
    print(f"{len(waiting)} runs to do; {len(runs) - len(waiting)} are finished already", flush=True)
    threads = max(1, torch.get_num_threads() // options.jobs)
    places = asyncio.Semaphore(options.jobs)

    def epochs_done() -> int:
        return sum(run.epochs_done for run in waiting)

    pending = {asyncio.ensure_future(execute(run, threads, places)) for run in waiting}
    epochs = options.epochs * len(waiting)
    bar = tqdm(total=epochs, initial=epochs_done(), desc="ablating", unit="epoch", disable=None)
    with bar:
        while pending:
            ended, pending = await asyncio.wait(
                pending, timeout=_POLL_SECONDS, return_when=asyncio.FIRST_COMPLETED
            )
            bar.update(epochs_done() - bar.n)
            for task in ended:
                run = task.result()
                bar.write(f"{run}: {_outcome(run)}")
                write_report(str(report_file(options)), report | {"runs": results(runs)})


def _outcome(run: Run) -> str:
    if run.failure:
        return f"FAILED: {run.failure} (all that it said is in {run.output})"
    return f"AP {run.metrics[AP]:.3f}"


# What came of it


def report_file(options: argparse.Namespace) -> Path:
    """Where the report is written."""
    return Path(options.work_dir, "ablation.json")


def results(runs: list[Run]) -> list[dict]:
    """The metrics of each run that is finished, and why those that failed did."""
    found = []
    for run in runs:
        outcome = {"error": run.failure} if run.failure else {"metrics": run.metrics}
        if any(outcome.values()):
            found.append({"config": run.name, "seed": run.seed, **outcome})
    return found


def begin_report(options: argparse.Namespace, networks: list[Network]) -> dict:
    """The report without results: what is compared, how and on what."""
    return {
        "recipe": RECIPE.name,
        "settings": {name: getattr(options, name) for name in ("epochs", "seeds", "data")},
        "input_size": networks[0].cost.input_size,
        "environment": environment(torch.device("cuda" if torch.cuda.is_available() else "cpu")),
        "networks": [
            {
                "config": network.name,
                "trained_as": network.trained_as,
                "arch": dataclasses.asdict(network.arch),
                "parameters": network.cost.parameters,
                "macs": network.cost.macs,
            }
            for network in networks
        ],
        "runs": [],
    }


def average_precisions(report: dict, name: str) -> list[float]:
    """The AP of each finished run of a network."""
    return [
        run["metrics"][AP] for run in report["runs"] if run["config"] == name and "metrics" in run
    ]


def table(report: dict) -> tuple[list[str], list[list[str]]]:
    """The printed table's header and rows; '-' is what there is not, or not yet.

    The deviation is the sample's standard deviation over the seeds.
    """
    rows = []
    for network in report["networks"]:
        name, trained_as = network["config"], network["trained_as"]
        values = average_precisions(report, trained_as)
        rows.append(
            [
                name if name == trained_as else f"{name} (= {trained_as})",
                f"{statistics.mean(values):.3f}" if values else "-",
                f"{statistics.stdev(values):.3f}" if len(values) > 1 else "-",
                str(len(values)),
                f"{network['parameters']:,}",
                f"{network['macs'] / 1e6:.2f}",
            ]
        )
    return ["config", "mean AP", "deviation", "seeds", "parameters", "MMACs"], rows


def title_of(report: dict) -> str:
    """What the table and the plot show, in one line."""
    size = "x".join(map(str, report["input_size"]))
    epochs = report["settings"]["epochs"]
    budget = "1 epoch" if epochs == 1 else f"{epochs} epochs"
    return f"AP on held-out synthetic people after {budget} at {size}, with nano's widths"


def draw(path: Path, report: dict) -> None:
    """Draw the AP of every run and the mean of each network, a row each."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    networks = [n for n in report["networks"] if n["config"] == n["trained_as"]]
    figure = Figure(figsize=(8, 1.5 + 0.4 * len(networks)), dpi=120, layout="constrained")
    FigureCanvasAgg(figure)
    axis = figure.subplots()
    for row, network in enumerate(networks):
        values = average_precisions(report, network["config"])
        axis.plot(values, [row] * len(values), "o", color="C0", alpha=0.6)
        if values:
            axis.plot(statistics.mean(values), row, "|", color="C3", ms=18, mew=2)
    axis.plot([], [], "o", color="C0", alpha=0.6, label="one seed")
    axis.plot([], [], "|", color="C3", ms=12, mew=2, label="mean")
    names = [
        f"{network['config']}\n"
        f"{network['parameters'] / 1e6:.2f} M parameters, {network['macs'] / 1e6:.1f} MMACs"
        for network in networks
    ]
    axis.set_yticks(range(len(networks)), names, fontsize=8)
    axis.set_ylim(len(networks) - 0.5, -0.5)  # the first on top
    axis.set_xlabel("AP")
    axis.set_title(title_of(report), fontsize=10)
    axis.grid(True, alpha=0.25)
    axis.legend(fontsize=8)
    with whole_file(path) as partial:
        figure.savefig(partial, format="png")


def write(options: argparse.Namespace, report: dict) -> None:
    """Print the table, and write it, the report and the plot into the work directory.

    Raises:
        OSError: a file cannot be written.
    """
    header, rows = table(report)
    print_table(title_of(report), header, rows)
    path = report_file(options)
    write_report(str(path), report)
    with whole_file(path.with_suffix(".md")) as partial:
        partial.write_text(f"{title_of(report)}\n\n{markdown_table(header, rows)}\n")
    draw(path.with_suffix(".png"), report)
    print(f"{path.with_suffix('')}.json, .md, .png: {len(report['runs'])} runs")


def parse_arguments(arguments: list[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description="Train ablations under one small budget on synthetic people, and compare them.",
        epilog="Each run has a folder of its own. A finished one is not repeated, and one that was "
        "cut short goes on from its last epoch.",
    )
    parser.add_argument(
        "--configs",
        nargs="+",
        metavar="CONFIG",
        default=sorted(map(str, (CONFIGS / "ablation").glob("*.py"))),
        help="whose HRVMamba blocks to compare, at the recipe's widths (configs/ablation/*.py)",
    )
    parser.add_argument("--seeds", type=int, default=2, help="runs of each network (%(default)s)")
    parser.add_argument("--epochs", type=int, default=2, help="of each run (%(default)s)")
    parser.add_argument(
        "--data",
        default="data/synthetic_people",
        help="folder of tools/make_synthetic_coco.py (%(default)s)",
    )
    parser.add_argument("--work-dir", default="work_dirs/ablation", help="(%(default)s)")
    parser.add_argument(
        "--jobs", type=int, default=1, help="runs at once, which share the threads (%(default)s)"
    )
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> None:
    """Run the command line, ``sys.argv`` if no arguments are given.

    Raises:
        SystemExit: With status 2, after one line on stderr, if an argument is refused; with status
            1 if a run failed; with status 130 if interrupted, after writing what came of it.
    """
    options = parse_arguments(arguments)
    try:
        networks, runs = plan(options)
    except (ValueError, OSError) as error:
        refuse(error)
    report = begin_report(options, networks)
    interrupted = False
    try:
        try:
            asyncio.run(execute_all(runs, options, report))
        except KeyboardInterrupt:
            interrupted = True
        report["runs"] = results(runs)
        write(options, report)
    except OSError as error:
        refuse(error)
    for run in runs:
        if run.failure:
            print(f"{run}: {_outcome(run)}")
    if interrupted:
        print("interrupted: the same command goes on from the last epochs")
        raise SystemExit(130)
    if any(run.failure for run in runs):
        raise SystemExit(1)


if __name__ == "__main__":
    # Ended by a job scheduler or a time limit, it ends its runs as it does after Ctrl-C.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    main()
