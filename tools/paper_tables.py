"""Write the paper's Tables III, V and VI with what the models here cost, and plot them.

python tools/paper_tables.py --out work_dirs/paper_tables \
    --measured configs/coco/hrvmamba_tiny_256x192.py=work_dirs/hrvmamba_tiny_256x192/metrics.json
"""

import argparse
import csv
import json
import math
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from torch import Tensor, nn

import hrvmamba  # noqa: F401  (registers the backbones and lets the hosts import)
from hrvmamba.analysis import Cost, cost
from hrvmamba.analysis.timing import markdown_table
from hrvmamba.cli.errors import refuse
from hrvmamba.integrations.config import ConfigError, load_config
from hrvmamba.integrations.model_configs import build_model
from hrvmamba.whole_file import whole_file

if TYPE_CHECKING:
    from matplotlib.axes import Axes

OURS = "HRVMamba"
CONFIGS = Path(__file__).resolve().parents[1] / "configs"
FIGURES = Path(__file__).with_name("paper_figures.csv")
NOTHING = "—"

SOURCES = f"""\
"paper" is what HRVMamba's paper (arXiv 2410.03174) or its authors' release
(https://github.com/zhanghao5201/PoseVMamba, "Main Results" of the README) says, "here" what
`hrvmamba.analysis.cost` counts of the config's model as it is tested. An accuracy is *reported*, by
the paper or its release, or *measured*, by `tools/test.py` as the file named says; none that is
only reported was reproduced. {NOTHING} is what was found nowhere, or not measured.
"""


class Metric(NamedTuple):
    """A measure of accuracy, in percent.

    Attributes:
        name: its heading.
        key: its name in the metrics that tools/test.py writes.
        factor: what makes that value percent.
        suffix: of its columns in paper_figures.csv.
    """

    name: str
    key: str
    factor: float = 1.0
    suffix: str = ""


class Table(NamedTuple):
    """One of the paper's tables: what its accuracies are on, and its measures of accuracy."""

    title: str
    metrics: tuple[Metric, ...]


TABLES = {
    "III": Table("COCO val2017, detected boxes", (Metric("AP", "coco/AP", 100.0),)),
    "V": Table("ImageNet-1K", (Metric("top-1", "accuracy/top1"),)),
    "VI": Table(
        "ADE20K validation, UPerNet",
        (Metric("mIoU", "mIoU"), Metric("mIoU, several scales", "mIoU", suffix="_ms")),
    ),
}


class Measurement(NamedTuple):
    """An accuracy that was measured, in percent, and the file that says so."""

    percent: float
    file: str


class Row(NamedTuple):
    """A model of a table.

    Attributes:
        model: its name.
        input_size: height and width, in pixels.
        parameters: the paper's, in millions, as printed; None if unknown, as in what follows.
        gmacs: the paper's, in billions of multiply-accumulates, as printed.
        reported: the accuracy of each metric, as printed.
        source: where these are printed.
        configs: the config of each metric, or None.
        note: why what is counted here differs.
        counted: what the first config's model costs.
        measured: the accuracy of each metric, or None.
    """

    model: str
    input_size: tuple[int, int]
    parameters: str | None
    gmacs: str | None
    reported: tuple[str | None, ...]
    source: str | None
    configs: tuple[str | None, ...]
    note: str | None
    counted: Cost | None = None
    measured: tuple[Measurement | None, ...] = ()


# Reading what is known


def read_rows(number: str) -> list[Row]:
    """The rows of a table, from paper_figures.csv."""
    rows = []
    with FIGURES.open(newline="") as file:
        for line in csv.DictReader(file):
            if line["table"] != number:
                continue
            suffixes = [metric.suffix for metric in TABLES[number].metrics]
            height, width = line["input_size"].split("x")
            rows.append(
                Row(
                    line["model"],
                    (int(height), int(width)),
                    line["parameters"] or None,
                    line["gmacs"] or None,
                    tuple(line[f"accuracy{suffix}"] or None for suffix in suffixes),
                    line["source"] or None,
                    tuple(line[f"config{suffix}"] or None for suffix in suffixes),
                    line["note"] or None,
                )
            )
    return rows


def read_measurements(
    arguments: Sequence[str], tables: Mapping[str, Sequence[Row]]
) -> dict[str, Measurement]:
    """Read the metrics files that --measured names.

    Returns:
        What was measured, by the name of its config in the folder configs.

    Raises:
        ConfigError: an argument is not CONFIG=FILE.json with a config of the tables and a file that
            has its metric.
    """
    metrics = {
        config: metric
        for number, rows in tables.items()
        for row in rows
        for config, metric in zip(row.configs, TABLES[number].metrics, strict=True)
        if config
    }
    measurements = {}
    for argument in arguments:
        path, equals, file = argument.partition("=")
        if not equals or not file.endswith(".json"):
            raise ConfigError(
                f"--measured: got {argument}, needs CONFIG=FILE.json, the file being what "
                "tools/test.py --out FILE.json wrote"
            )
        resolved = Path(path).resolve()
        config = str(resolved.relative_to(CONFIGS)) if resolved.is_relative_to(CONFIGS) else path
        if config not in metrics:
            raise ConfigError(
                f"--measured: {path} is no config of the tables, which are, in {CONFIGS}: "
                f"{', '.join(metrics)}"
            )
        measurements[config] = Measurement(read_metric(file, metrics[config]), file)
    return measurements


def read_metric(file: str, metric: Metric) -> float:
    """Read a metric, in percent, from what tools/test.py wrote.

    Raises:
        ConfigError: the file is missing, or has no such metric.
    """
    try:
        content = json.loads(Path(file).read_bytes())
    except (OSError, ValueError) as error:
        raise ConfigError(f"--measured: {file} cannot be read: {error}") from error
    value = content.get(metric.key) if isinstance(content, dict) else None
    if not isinstance(value, (int, float)) or not 0 <= metric.factor * value <= 100:
        raise ConfigError(
            f"--measured: {file} needs {metric.key!r}, from 0 to {100 / metric.factor:g}, "
            f"has {content}"
        )
    return metric.factor * value


class Network(nn.Module):
    """A host's model as it is tested, from images to what its head gives."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        if hasattr(model, "auxiliary_head"):
            model.auxiliary_head = None  # a segmentor's, for training alone
        self.model = model

    def forward(self, images: Tensor) -> object:
        return self.model(images, None, mode="tensor")


def count(config: str, input_size: tuple[int, int]) -> Cost:
    """Count parameters and multiply-accumulates of a config's model.

    Raises:
        ConfigError: there is no such config, or its model cannot be built.
    """
    return cost(
        Network(build_model(load_config(str(CONFIGS / config), None, ("model",)))), input_size
    )


def complete(rows: list[Row], measurements: Mapping[str, Measurement]) -> list[Row]:
    """Add to a table's rows what their configs' models cost, and what was measured."""
    completed = []
    for row in rows:
        counted = None
        if row.configs[0]:
            print(f"counting {row.configs[0]}", file=sys.stderr, flush=True)
            counted = count(row.configs[0], row.input_size)
        measured = tuple(measurements.get(config) for config in row.configs)
        completed.append(row._replace(counted=counted, measured=measured))
    return completed


# Writing the tables


def costs(row: Row) -> dict[str, str]:
    """A row's cells of parameters and cost by their headings; empty is what is not known."""
    parameters, gmacs = "", ""
    if row.counted:
        parameters = f"{row.counted.parameters / 1e6:.2f}"
        gmacs = f"{row.counted.macs / 1e9:.2f}"
    return {
        "M parameters, paper": row.parameters or "",
        "M parameters, here": parameters,
        "GMACs, paper": row.gmacs or "",
        "GMACs, here": gmacs,
    }


def accuracy(reported: str | None, measured: Measurement | None) -> str:
    """A cell of accuracies, each marked as what it is."""
    marked = [f"{reported} reported"] if reported else []
    if measured:
        marked.append(f"{measured.percent:.1f} measured ({measured.file})")
    return "; ".join(marked)


def markdown(number: str, rows: Sequence[Row]) -> str:
    """A table in Markdown under a heading, its notes below."""
    table = TABLES[number]
    header = ["model", "input", *costs(rows[0]), *(metric.name for metric in table.metrics)]
    body, notes = [], []
    for row in rows:
        accuracies = map(accuracy, row.reported, row.measured)
        named = [row.model, size_text(row), *costs(row).values(), *accuracies]
        body.append([cell or NOTHING for cell in named])
        if row.note:
            notes.append(f"- {row.model} at {size_text(row)}: {row.note}.")
    parts = [f"## Table {number}: {table.title}", markdown_table(header, body), "\n".join(notes)]
    return "\n\n".join(filter(None, parts))


def size_text(row: Row) -> str:
    """A row's input size as the tables have it, such as 256x192."""
    return "{}x{}".format(*row.input_size)


def write_csv(path: Path, number: str, rows: Sequence[Row]) -> None:
    """Write a table's rows with all that is known of them.

    Raises:
        OSError: the file cannot be written.
    """
    lines = []
    for row in rows:
        line = {"model": row.model, "input": size_text(row), **costs(row)}
        for metric, reported, measured in zip(
            TABLES[number].metrics, row.reported, row.measured, strict=True
        ):
            line[f"{metric.name}, reported"] = reported
            line[f"{metric.name}, measured"] = measured and f"{measured.percent:.2f}"
            line[f"{metric.name}, measured in"] = measured and measured.file
        lines.append(line | {"source": row.source, "config": row.configs[0], "note": row.note})
    with whole_file(path) as partial, partial.open("w", newline="") as file:
        writer = csv.DictWriter(file, lines[0])
        writer.writeheader()
        writer.writerows(lines)


# Drawing them


def points(row: Row) -> list[tuple[float, float, bool]]:
    """Where a row's first metric is in the plot: GMACs, percent, and whether it was measured.

    The cost is the one counted here, or the paper's where there is none.
    """
    gmacs = row.counted.macs / 1e9 if row.counted else float(row.gmacs or math.nan)
    found = [(row.reported[0], False)] if row.reported[0] else []
    if row.measured[0]:
        found.append((row.measured[0].percent, True))
    return [(gmacs, float(percent), measured) for percent, measured in found]


def draw(path: Path, tables: Mapping[str, Sequence[Row]]) -> None:
    """Draw accuracy against cost, one panel for each table, as the paper's Figures 1 and 5.

    Raises:
        OSError: the file cannot be written.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

    figure = Figure(figsize=(6.4 * len(tables), 5.6), dpi=120, layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(1, len(tables), squeeze=False)[0]
    drawn = [row for rows in tables.values() for row in rows if points(row)]
    colors = {name: f"C{index}" for index, name in enumerate(dict.fromkeys(map(family, drawn)))}
    for axis, (number, rows) in zip(panels, tables.items(), strict=True):
        draw_panel(axis, rows, colors)
        table = TABLES[number]
        axis.set_title(f"Table {number}: {table.title}")
        axis.set_ylabel(f"{table.metrics[0].name} [%]")
    marks = [
        Line2D([], [], ls="", marker="o", mfc="white", mec="0.3", label="reported, not reproduced"),
        Line2D([], [], ls="", marker="o", mfc="0.3", mec="0.3", label="measured"),
    ]
    figure.legend(handles=marks, loc="outside lower center", ncols=2, frameon=False)
    with whole_file(path) as partial:
        figure.savefig(partial, format="png")


def draw_panel(axis: "Axes", rows: Sequence[Row], colors: Mapping[str, str]) -> None:
    """Draw a table's rows: a colour for each family, a marker for each input size."""
    from matplotlib.lines import Line2D
    from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

    lines: dict[tuple, list[tuple[Row, float, float]]] = {}
    for row in rows:
        for gmacs, percent, measured in points(row):
            key = (family(row), row.input_size, measured)
            lines.setdefault(key, []).append((row, gmacs, percent))
    markers = dict(zip(dict.fromkeys(size for _, size, _ in lines), "osD^v", strict=False))
    alone = {name for name in colors if sum(family(row) == name for row in rows) == 1}
    series = {}
    for (name, size, measured), marks in lines.items():
        style = dict(marker=markers[size], ms=7, c=colors[name], lw=1.2)
        _, gmacs, percents = zip(*marks, strict=True)
        axis.plot(gmacs, percents, mfc=colors[name] if measured else "white", **style)
        if name not in alone:
            series[name, size] = Line2D([], [], mfc="white", **style)
        above = dict(xytext=(0, 8), ha="center", va="bottom")
        below = dict(xytext=(0, -8), ha="center", va="top")
        beside = dict(xytext=(9, 0), ha="left", va="center")
        place = beside if measured else above if name == OURS else below
        for row, x, y in marks:
            text = row.model if name in alone else row.model.removeprefix(f"{name}-")
            axis.annotate(text, (x, y), textcoords="offset points", c=colors[name], **place)
    axis.margins(x=0.14, y=0.12)
    drawn = [x for marks in lines.values() for _, x, _ in marks]
    if drawn and max(drawn) > 4 * min(drawn):
        axis.set_xscale("log")
        axis.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axis.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
        axis.xaxis.set_minor_formatter(NullFormatter())
    if series:
        names = ["{}, {}x{}".format(name, *size) for name, size in series]
        axis.legend(series.values(), names, loc="lower right")
    axis.set_xlabel("GMACs, counted here; the paper's where there is no config")
    axis.grid(True, which="both", alpha=0.25)


def family(row: Row) -> str:
    """What a row's model is called without its size: HRFormer for HRFormer-S."""
    return row.model.rpartition("-")[0]


# The command line


def parse_arguments(arguments: list[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--tables", nargs="+", default=list(TABLES), metavar="TABLE", help="(%(default)s)"
    )
    parser.add_argument(
        "--measured",
        nargs="+",
        default=[],
        metavar="CONFIG=FILE.json",
        help="the accuracy that a config's model was measured to have: what tools/test.py --out "
        "FILE.json wrote of a test on all of the validation data, for pose on detected boxes",
    )
    parser.add_argument(
        "--out",
        default="work_dirs/paper_tables",
        metavar="FOLDER",
        help="for the tables in Markdown and CSV, and the plot (%(default)s)",
    )
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> None:
    """Run the command line, ``sys.argv`` if no arguments are given.

    Raises:
        SystemExit: with status 2, after one line on stderr, if an argument is refused.
    """
    options = parse_arguments(arguments)
    folder = Path(options.out)
    try:
        for number in options.tables:
            if number not in TABLES:
                raise ConfigError(f"--tables: got {number}, needs some of {', '.join(TABLES)}")
        if folder.exists() and not folder.is_dir():
            raise ConfigError(f"--out: {folder} is a file: name a folder")
        tables = {number: read_rows(number) for number in options.tables}
        measurements = read_measurements(options.measured, tables)
        tables = {number: complete(rows, measurements) for number, rows in tables.items()}
        text = "\n\n".join([*(markdown(number, rows) for number, rows in tables.items()), SOURCES])
        print(text)
        with whole_file(folder / "tables.md") as partial:
            partial.write_text(text)
        for number, rows in tables.items():
            write_csv(folder / f"table_{number.lower()}.csv", number, rows)
        draw(folder / "accuracy_against_cost.png", tables)
    except (ConfigError, OSError) as error:
        refuse(error)
    print(f"{folder}: tables.md, a CSV file for each table, and accuracy_against_cost.png")


if __name__ == "__main__":
    main()
