import json

import pytest


def test_presets(command, tmp_path, capsys):
    """The paper's figures, DESIGN's table."""
    path = tmp_path / "cost.json"
    assert command("cost", "tiny", "small", "--json", path) == 0
    said = capsys.readouterr().out
    rows = {row["model"]: row for row in json.loads(path.read_text())}
    assert list(rows) == ["tiny", "small"]
    for name, parameters, gmacs in (("tiny", 2_322_656, 1.1), ("small", 8_033_840, 3.3)):
        assert rows[name]["parameters"] == parameters and f"{parameters:,}" in said
        assert rows[name]["macs"] == pytest.approx(gmacs * 1e9, rel=0.02)
        assert rows[name]["macs"] == sum(rows[name]["groups"].values())
        assert rows[name]["input_size"] == [256, 192]


def test_a_config_counts_its_head_at_its_own_size(command, repository, tmp_path):
    pytest.importorskip("mmpose")
    config, path = repository / "configs/coco/hrvmamba_nano_384x288.py", tmp_path / "cost.json"
    assert command("cost", config, "--json", path) == 0
    (row,) = json.loads(path.read_text())
    assert row["input_size"] == [384, 288]
    assert row["parameters"] == 676_664 + 8 * 17 + 17  # the head is one 1x1 convolution
    assert command("cost", config, "nano", "--size", "384x288", "--json", path) == 0
    config_row, preset = json.loads(path.read_text())
    assert config_row == row
    assert row["macs"] - preset["macs"] == 96 * 72 * 8 * 17


def test_a_config_by_name(command, repository, tmp_path):
    report = tmp_path / "cost.json"
    path = str(repository / "configs/coco/hrvmamba_nano_256x192.py")
    assert command("cost", "hrvmamba-nano", path, "--json", report) == 0
    by_name, by_path = json.loads(report.read_text())
    assert by_name.pop("model") == "hrvmamba-nano"
    assert by_path.pop("model") == path
    assert by_name == by_path


def test_refuses(refused, tmp_path):
    assert "one of nano, tiny" in refused("cost", "huge")
    assert "none.py does not exist" in refused("cost", "none.py")
    assert "--size: got 256" in refused("cost", "nano", "--size", "256")
    config = tmp_path / "config.py"
    config.write_text("model = dict(type='HRVMamba', arch='nano')\n")
    assert "--size is needed" in refused("cost", config)
    assert "is a folder" in refused("cost", "nano", "--json", tmp_path)
