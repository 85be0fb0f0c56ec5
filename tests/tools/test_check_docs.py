"""The docs, as far as they can be checked without running their commands; and what checks them."""

import json
import re

import pytest


@pytest.fixture(scope="module")
def docs(repository):
    """The tool as a module, with the configs that it reads kept from test to test."""
    import importlib.util

    spec = importlib.util.spec_from_file_location("check_docs", repository / "tools/check_docs.py")
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    return tool


@pytest.fixture
def page(docs, repository, tmp_path, monkeypatch):
    """Write a page, in a folder beside the repository's own files."""
    for entry in repository.iterdir():
        if entry.name != "docs":
            (tmp_path / entry.name).symlink_to(entry)
    (tmp_path / "docs").mkdir()
    monkeypatch.setattr(docs, "REPOSITORY", tmp_path)

    def write(text):
        path = tmp_path / "docs/page.md"
        path.write_text(text)
        return path

    return write


def test_there_are_no_faults(docs):
    assert len(docs.pages()) > 8
    assert [fault for page in docs.pages() for fault in docs.faults_of(page)] == []


def test_the_tests_that_run_what_is_not_run_exist(docs, repository):
    reasons = " ".join(rule.reason for rule in docs.RULES)
    named = re.findall(r"tests/\S+\.py", reasons)
    assert len(named) > 5
    assert [path for path in named if not (repository / path).is_file()] == []


@pytest.mark.parametrize(
    ("command", "fault"),
    [
        ("rsync a b", "no rule knows how to check rsync"),
        ("python -m hrvmamba", "no rule knows how to check python"),
        ("python tools/gone.py", "there is no tools/gone.py"),
        ("python tools/test.py configs/coco/hrvmamba_tiny_256x192.py", "required: checkpoint"),
        ("python tools/train.py configs/coco/gone.py", "does not exist"),
        (
            "python tools/train.py configs/coco/hrvmamba_tiny_256x192.py --cfg-options mode.x=1",
            "has no mode",
        ),
        (
            "python tools/train.py configs/coco/hrvmamba_tiny_256x192.py "
            "--cfg-options model.backbone.droprate=0.1",
            "droprate",
        ),
        ("tools/dist_train.sh configs/coco/hrvmamba_tiny_256x192.py", "usage"),
        ("tools/dist_train.sh configs/coco/hrvmamba_tiny_256x192.py 8 --rezume", "--rezume"),
        ("tools/slurm_train.sh GPUS job configs/coco/hrvmamba_tiny_256x192.py -x", "-x"),
        ("torchrun --nodes=2 tools/train.py configs/coco/hrvmamba_tiny_256x192.py", "--nodes=2"),
        ("hrvmamba cost --sizes 256x192", "--sizes"),
        ("hrvmamba cost hrvmamba-huge", "has no model hrvmamba-huge"),
        ("make coffee", "the Makefile has no coffee"),
        ("pip install .[poses]", "setup.py has no extra poses"),
        ("hrvmamba check | tee log", "one plain command on a line"),
        ("hrvmamba check > log", "one plain command on a line"),
        ("hrvmamba check; hrvmamba cost", "one plain command on a line"),
    ],
)
def test_a_command_that_is_not_accepted_is_a_fault(docs, page, command, fault):
    (found,) = docs.faults_of(page(f"Text\n\n```bash\nhrvmamba check  # fine\n{command}\n```\n"))
    assert fault in found
    assert re.match(r"docs/page.md:5: ", found)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("[a](gone.md)", "leads to no file"),
        ("[a](../README.md#gone)", "leads to no heading"),
        ("`tools/gone.py`", "there is no tools/gone.py"),
        ("`hrvmamba.models.Gone`", "there is no hrvmamba.models.Gone"),
        ("`hrvmamba.gone`", "there is no hrvmamba.gone"),
        ("```python\nfrom hrvmamba.ops import gone\n```", "there is no hrvmamba.ops.gone"),
        ("```python\nx = = 1\n```", "not Python"),
        ("```python\n_base_ = 'hrvmamba::coco/gone.py'\n```", "cannot be read"),
        (
            "```python\n_base_ = 'hrvmamba::coco/hrvmamba_tiny_256x192.py'\n"
            "model = dict(backbone=dict(arch='huge'))\n```",
            "huge",
        ),
        ("```sh\nls\n```", "blocks of bash, not sh"),
        (
            "### What hrvmamba says\n\n| `it ... is gone for ever` | |\n",
            "the code holds no 'is gone for ever'",
        ),
    ],
)
def test_what_leads_nowhere_is_a_fault(docs, page, text, fault):
    assert any(fault in found for found in docs.faults_of(page(f"{text}\n")))


def test_what_leads_somewhere_is_none(docs, page):
    text = """# A page, of `code`

[a](#a-page-of-code) [b](../README.md#licence) [c](https://example.org/gone) `tools/*.py`
`hrvmamba.models.HRVMamba("tiny")` `hrvmamba.ops.deform_sample`

```
data/
```
"""
    assert list(docs.faults_of(page(text))) == []


def test_commands_are_read_as_bash_does(docs):
    block = docs.Block(
        "bash",
        "# a comment\nA=1 B=2 make test  # another\n\nhrvmamba cost \\\n    --size '256 x'\n",
        10,
    )
    assert list(docs.commands_of(block)) == [
        docs.Command("A=1 B=2 make test", ["make", "test"], 11),
        docs.Command("hrvmamba cost --size '256 x'", ["hrvmamba", "cost", "--size", "256 x"], 13),
    ]


def test_runs_checks_or_lists_each(docs, page, tmp_path, monkeypatch):
    monkeypatch.setattr(docs, "prepare", lambda folder: (folder / "bin").mkdir())
    text = """
```bash
pip install .
make setup
mkdir -p made/here
mkdir made
mkdir made/here/{a,b}
```

```python
from pathlib import Path

assert Path("made/here/b").is_dir()
```

```python
import not_installed_at_all
```

```python
serve("forever")
```
"""
    folder = tmp_path / "scratch"
    folder.mkdir()
    outcomes = [(line, outcome) for line, _, outcome in docs.run_page(page(text), folder)]
    assert [(line, outcome.state) for line, outcome in outcomes] == [
        (3, docs.LISTED),
        (4, docs.CHECKED),
        (5, docs.RUN),
        (6, docs.FAILED),
        (7, docs.RUN),
        (11, docs.RUN),
        (17, docs.CHECKED),
        (21, docs.CHECKED),
    ]
    assert "File exists" in outcomes[3][1].detail
    assert outcomes[-2][1].detail == "not installed: not_installed_at_all"


def test_a_command_that_hangs_fails(docs, tmp_path, monkeypatch):
    monkeypatch.setattr(docs, "TIME_LIMIT", 0.1)
    assert docs.run_shell("sleep 5", tmp_path) == docs.Outcome(docs.FAILED, "over 0 s")


def test_what_commands_find_in_their_folder(docs, tmp_path):
    from mmengine.config import Config

    docs.prepare(tmp_path)
    pose = Config.fromfile(tmp_path / "configs/coco/hrvmamba_small_384x288.py")
    classifier = Config.fromfile(tmp_path / "configs/imagenet/hrvmamba_tiny_256.py")
    assert pose.train_cfg.max_epochs == classifier.train_cfg.max_epochs == 1
    assert classifier.train_dataloader.dataset.indices == 4
    assert pose.model.backbone.arch == "small"
    for dataset in (pose.train_dataloader.dataset, pose.test_dataloader.dataset):
        root = tmp_path / dataset.data_root
        content = json.loads((root / dataset.ann_file).read_text())
        folder = root / dataset.data_prefix.img
        assert all((folder / image["file_name"]).is_file() for image in content["images"])
    boxes = json.loads((tmp_path / pose.test_dataloader.dataset.bbox_file).read_text())
    assert {box["image_id"] for box in boxes} <= {image["id"] for image in content["images"]}


def test_checkpoints_are_made_for_the_configs_that_they_are_of(docs, repository, tmp_path):
    from hrvmamba.checkpoints import read_checkpoint

    (tmp_path / "configs").symlink_to(repository / "configs")
    docs.prepare_checkpoints(
        tmp_path, "work_dirs/hrvmamba_nano_256x192/epoch_9.pth hrvmamba_nano.pth their.pth"
    )
    made = sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*.pth"))
    assert made == ["hrvmamba_nano.pth", "work_dirs/hrvmamba_nano_256x192/epoch_9.pth"]
    docs.prepare_checkpoints(
        tmp_path, "configs/coco/hrvmamba_nano_384x288.py --checkpoint work_dirs/mine/best.pth"
    )
    assert (tmp_path / "work_dirs/mine/best.pth").is_file()
    weights = read_checkpoint(tmp_path / made[0])["state_dict"]
    assert weights["head.final_layer.weight"].shape == (17, 8, 1, 1)
