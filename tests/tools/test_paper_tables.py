"""tools/paper_tables.py: what it writes, the marks of its accuracies, and what it refuses."""

import csv
import json
import re
from pathlib import Path

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from hrvmamba.analysis import Cost
from hrvmamba.analysis.cost import cost

HRNET = "baselines/coco/hrnet_w48_256x192.py"
SMALL = "coco/hrvmamba_small_256x192.py"
UPERNET = "ade20k/hrvmamba_base_upernet_160k_512x512.py"
SEVERAL_SCALES = "ade20k/hrvmamba_base_upernet_160k_512x512_ms.py"


@pytest.fixture
def tool(load_tool, monkeypatch, tmp_path):
    """The tool as a module, in an empty folder; it counts no models, which takes a minute."""
    tool = load_tool("paper_tables")
    tool.count_model = tool.count
    monkeypatch.setattr(tool, "count", lambda config, size: Cost(12_345_678, 10**9, {}, size))
    monkeypatch.chdir(tmp_path)
    return tool


def metrics_file(name: str, **metrics: object) -> str:
    Path(name).write_text(json.dumps({key.replace("__", "/"): v for key, v in metrics.items()}))
    return name


def markdown_rows(text: str, number: str) -> list[dict[str, str]]:
    """The rows of a table in Markdown, by their headings."""
    (block,) = re.findall(rf"^## Table {number}:.*\n\n((?:\|.*\n?)+)", text, re.MULTILINE)
    header, rule, *rows = (
        [cell.strip() for cell in line.strip("|").split("|")] for line in block.splitlines()
    )
    assert set(rule) == {":--", "--:"}
    return [dict(zip(header, row, strict=True)) for row in rows]


def csv_rows(path: str) -> list[dict[str, str]]:
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def test_every_config_exists_and_is_named_once(tool, repository):
    configs = [c for number in tool.TABLES for row in tool.read_rows(number) for c in row.configs]
    configs = list(filter(None, configs))
    assert len(configs) == len(set(configs))
    for config in configs:
        assert (repository / "configs" / config).is_file()
    baselines = (repository / "configs/baselines/coco").glob("*.py")
    assert {f"baselines/coco/{path.name}" for path in baselines} <= set(configs)


def test_figures_of_the_paper(tool):
    """Those that the project's own pages have, and nothing where none is known."""
    rows = {(row.model, row.input_size): row for row in tool.read_rows("III")}
    assert rows["VMamba-T", (256, 192)][2:5] == ("34.7", "6.0", (None,))
    assert rows["HRVMamba-B", (384, 288)][2:5] == ("47.1", "32.0", ("77.7",))
    assert rows["Swin-B", (256, 192)][2:6] == (None, None, (None,), None)
    for number, table in tool.TABLES.items():
        for row in tool.read_rows(number):
            assert len(row.reported) == len(row.configs) == len(table.metrics)
            printed = [row.parameters, row.gmacs, *row.reported]
            assert bool(row.source) == any(printed)
            assert all(re.fullmatch(r"\d+(\.\d)?", figure) for figure in printed if figure)


def test_writes_tables_and_plot(tool, capsys):
    tool.main(["--tables", "III", "VI", "--out", "out"])
    names = {path.name for path in Path("out").iterdir()}
    assert names == {"tables.md", "table_iii.csv", "table_vi.csv", "accuracy_against_cost.png"}
    text = Path("out/tables.md").read_text()
    said = capsys.readouterr()
    assert text in said.out and f"counting {SMALL}" in said.err

    rows = {(row["model"], row["input"]): row for row in markdown_rows(text, "III")}
    assert rows["HRVMamba-S", "256x192"] == {
        "model": "HRVMamba-S",
        "input": "256x192",
        "M parameters, paper": "8.0",
        "M parameters, here": "12.35",
        "GMACs, paper": "3.3",
        "GMACs, here": "1.00",
        "AP": "74.6 reported",
    }
    assert rows["Swin-B", "256x192"]["AP"] == rows["Swin-B", "256x192"]["GMACs, paper"] == "—"
    assert markdown_rows(text, "VI")[0] == {
        "model": "Swin-B",
        "input": "512x2048",
        "M parameters, paper": "121",
        "M parameters, here": "—",
        "GMACs, paper": "1188",
        "GMACs, here": "—",
        "mIoU": "48.1 reported",
        "mIoU, several scales": "49.7 reported",
    }
    assert "- VMamba-B at 256x192: 16.27 GMACs with 5 operations" in text
    assert Path("out/accuracy_against_cost.png").read_bytes().startswith(b"\x89PNG")


def test_marks_what_was_measured(tool, repository):
    """Beside what is reported, with its file; in the rows of its config alone."""
    ap = metrics_file("ap.json", coco__AP=0.7123, coco__AR=0.8)
    several = metrics_file("several.json", mIoU=50.26)
    configs = repository / "configs"
    tool.main(
        ["--tables", "III", "VI", "--out", "out"]
        + ["--measured", f"{configs / SMALL}={ap}", f"{configs / SEVERAL_SCALES}={several}"]
    )
    text = Path("out/tables.md").read_text()
    measured = {
        (row["model"], heading): cell
        for number in ("III", "VI")
        for row in markdown_rows(text, number)
        for heading, cell in row.items()
        if "measured" in cell
    }
    assert measured == {
        ("HRVMamba-S", "AP"): "74.6 reported; 71.2 measured (ap.json)",
        ("HRVMamba-B", "mIoU, several scales"): "52.2 reported; 50.3 measured (several.json)",
    }
    rows = csv_rows("out/table_iii.csv")
    assert [row["AP, reported"] for row in rows if row["AP, measured"]] == ["74.6"]
    (row,) = (row for row in rows if row["AP, measured"])
    assert (row["AP, measured"], row["AP, measured in"]) == ("71.23", "ap.json")
    assert (row["config"], row["source"]) == (SMALL, "paper and release")


def test_measures_alone_are_marked(tool, repository):
    ap = metrics_file("ap.json", coco__AP=0.75)
    tool.main(["--tables", "III", "--measured", f"{repository}/configs/{HRNET}={ap}"])
    text = Path("work_dirs/paper_tables/tables.md").read_text()
    assert markdown_rows(text, "III")[0]["AP"] == "75.0 measured (ap.json)"


def test_plot(tool, repository):
    """What was measured and what is reported, at the cost counted here or else the paper's."""
    ap = metrics_file("ap.json", coco__AP=0.7)
    rows = {number: tool.read_rows(number) for number in ("III", "V")}
    measurements = tool.read_measurements([f"{repository}/configs/{SMALL}={ap}"], rows)
    (small,) = (row for row in rows["III"] if SMALL in row.configs)
    (small,) = tool.complete([small], measurements)
    assert tool.points(small) == [(1.0, 74.6, False), (1.0, 70.0, True)]
    (elsewhere, *_) = tool.complete(rows["V"][:1], {})
    assert tool.points(elsewhere) == [(1.9, 74.3, False)]
    (unknown,) = tool.complete(rows["III"][:1], {})
    assert tool.points(unknown) == []


def test_counts_what_torch_counts(tool):
    """Of a model of convolutions, for another size than it is trained at as well."""
    counted = tool.count_model(HRNET, (64, 96))
    config = tool.load_config(str(tool.CONFIGS / HRNET), None, ())
    model = tool.build_model(config).to("meta").eval()
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(torch.empty(1, 3, 64, 96, device="meta"), None, mode="tensor")
    assert 2 * (counted.macs - counted.groups["normalisations"]) == counter.get_total_flops()
    assert counted.parameters == sum(parameter.numel() for parameter in model.parameters())


def test_a_segmentor_counts_without_its_auxiliary_head(tool):
    class Segmentor(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.decode_head, self.auxiliary_head = (torch.nn.Conv2d(3, 2, 1) for _ in range(2))

        def forward(self, images, samples, mode):
            assert samples is None and mode == "tensor"
            return self.decode_head(images)

    assert cost(tool.Network(Segmentor()), (8, 8))[:2] == (3 * 2 + 2, 3 * 2 * 64)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (("--tables", "IV"), "--tables: got IV, needs some of III, V, VI"),
        (("--measured", "a.py"), "got a.py, needs CONFIG=FILE.json"),
        (("--measured", "a.py=metrics.pkl"), "got a.py=metrics.pkl, needs CONFIG=FILE.json"),
        (("--measured", "a.py=m.json"), "a.py is no config of the tables, which are, in"),
        (("--tables", "V", "--measured", "{configs}/" + SMALL + "=m.json"), "which are, in"),
        (("--measured", "{configs}/" + SMALL + "=none.json"), "none.json cannot be read: "),
        (("--measured", "{configs}/" + SMALL + "={files}/text.json"), "cannot be read: "),
        (
            ("--measured", "{configs}/" + SMALL + "={files}/other.json"),
            "other.json needs 'coco/AP', from 0 to 1, has {'mIoU': 50.0}",
        ),
        (
            ("--measured", "{configs}/" + SMALL + "={files}/none.json"),
            "needs 'coco/AP', from 0 to 1, has {'coco/AP': -1.0}",
        ),
        (("--out", "{files}/text.json"), "text.json is a file: name a folder"),
    ],
)
def test_refuses(refused, repository, tmp_path, options, expected):
    for name, content in (
        ("text", "text"),
        ("other", '{"mIoU": 50.0}'),
        ("none", '{"coco/AP": -1.0}'),
    ):
        (tmp_path / f"{name}.json").write_text(content)
    places = {"{configs}": str(repository / "configs"), "{files}": str(tmp_path)}
    for place, folder in places.items():
        options = [option.replace(place, folder) for option in options]
    assert expected in refused("paper_tables", *options)
