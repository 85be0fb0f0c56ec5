"""Check README.md and the pages of docs/: their commands, Python, configs, links and names.

Every command is one of three:

- run: as it is, each page in a scratch folder of its own, where data, checkpoints and pictures are
  small stand-ins and training schedules are short;
- checked: it cannot run there, so that its program's own parser reads it, and its configs load and
  build with its options;
- listed: neither; the reason is all there is.

Which of the last two it is, and why, is in ``RULES``; what no rule matches is run.

    python tools/check_docs.py                   # all pages: make docs-check
    python tools/check_docs.py docs/train.md
"""

from __future__ import annotations

import argparse
import ast
import functools
import importlib
import importlib.util
import inspect
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr
from importlib.util import find_spec
from io import StringIO
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

REPOSITORY = Path(__file__).resolve().parents[1]
PAGES = ("README.md", "benchmarks/README.md", "docs/*.md")
TIME_LIMIT = 600.0  # seconds for a command

CHECKED, LISTED, RUN, FAILED = "checked", "listed", "run", "FAILED"


class Rule(NamedTuple):
    """Why commands, or blocks of Python, that a pattern is found in are not run.

    Attributes:
        pattern: a regular expression.
        outcome: what is done instead, ``CHECKED`` or ``LISTED``.
        reason: why, and the test, if there is one, that does run it.
    """

    pattern: str
    outcome: str
    reason: str


RULES = (
    Rule(r"^pip ", LISTED, "changes the environment; tests/test_packaging.py builds the wheel"),
    Rule(r"^ln -s /path/to/", LISTED, "the path is the reader's"),
    Rule(r"^make test$|^make setup", CHECKED, ".ci/run runs it"),
    Rule(r"^make (demo|format|docs-check)", CHECKED, "minutes long, or changes the files here"),
    Rule(r"slurm_", CHECKED, "needs Slurm"),
    Rule(r"dist_\w+\.sh .* 8$|--nnodes", CHECKED, "8 GPUs: tests/tools/test_distributed.py"),
    Rule(r"--device cuda|--amp|gpu_check", CHECKED, "needs a GPU"),
    Rule(r"configs/ade20k/", CHECKED, "takes minutes: small in tests/tools/test_segmentation.py"),
    Rule(r"^hrvmamba convert ", CHECKED, "the authors' files: tests/cli/test_convert.py"),
    Rule(r"^hrvmamba benchmark (?!.*--rounds)", CHECKED, "minutes: tests/cli/test_benchmark.py"),
    Rule(r"ablate\.py --epochs|num-train 2000", CHECKED, "an hour: tests/tools/test_ablate.py"),
    Rule(r"^hrvmamba web |\bserve\(", CHECKED, "serves until it is ended"),
    Rule(
        r"--detector |PersonDetector\(",
        CHECKED,
        "a download: tests/inference/test_person_detector.py",
    ),
    Rule(r"^hrvmamba infer \d+ ", CHECKED, "needs a camera: tests/inference/test_inputs.py"),
)


# Reading the pages


class Block(NamedTuple):
    """A fenced block: its language, its text, and the number of its first line."""

    language: str
    text: str
    line: int


class Command(NamedTuple):
    """A command of a bash block.

    Attributes:
        text: it, on one line, without comments.
        words: program and arguments, without the variables set ahead of them.
        line: its number in the page.
    """

    text: str
    words: list[str]
    line: int


def pages(names: list[str] | None = None) -> list[Path]:
    """The pages of these names, all without any."""
    patterns = names or PAGES
    return [page for pattern in patterns for page in sorted(REPOSITORY.glob(pattern))]


def blocks_of(page: Path) -> Iterator[Block]:
    """The fenced blocks of a page."""
    text = page.read_text(encoding="utf-8")
    for found in re.finditer(r"^```(\w*)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
        yield Block(found[1], found[2], text.count("\n", 0, found.start(2)) + 1)


def prose_of(page: Path) -> str:
    """What is outside of the fenced blocks."""
    return re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.M | re.S)


def commands_of(block: Block) -> Iterator[Command]:
    """The commands of a bash block."""
    lines = block.text.splitlines()
    start = 0
    for number, line in enumerate(lines):
        if line.endswith("\\"):
            continue
        joined = " ".join(part.rstrip("\\").strip() for part in lines[start : number + 1])
        words = shlex.split(joined, comments=True)
        line_number, start = block.line + start, number + 1
        if words:
            text = re.sub(r"\s+#.*", "", joined)
            while re.match(r"[A-Z_]+=", words[0]):
                words = words[1:]
            yield Command(text, words, line_number)


def rule_for(text: str) -> Rule | None:
    """The first rule that a command, or a block of Python, matches."""
    return next((rule for rule in RULES if re.search(rule.pattern, text)), None)


# Checking a command without running it


def check_command(command: Command) -> None:
    """Let the command's own program read it, and load the configs that it names.

    Raises:
        ValueError: it is not accepted, or there is no such program.
    """
    program, *arguments = command.words
    if any(re.search(r"^[<>|;&]|;$|\$\(", word) for word in command.words):
        raise ValueError("one plain command on a line is needed, without pipes and the like")
    if program == "python" and arguments and re.fullmatch(r"tools/\w+\.py", arguments[0]):
        check_tool(arguments[0], arguments[1:])
    elif program.startswith("tools/") and program.endswith(".sh"):
        check_launcher(program, arguments)
    elif program in CHECKS:
        CHECKS[program](arguments)
    else:
        raise ValueError(f"no rule knows how to check {program}: add one to {Path(__file__).name}")


def check_tool(name: str, arguments: list[str]) -> None:
    """Check a call of a program in tools/ that has a function parse_arguments."""
    if not (REPOSITORY / name).is_file():
        raise ValueError(f"there is no {name}")
    options = parsed(load_tool(name).parse_arguments, arguments)
    check_configs(arguments, getattr(options, "cfg_options", None))


def check_hrvmamba(arguments: list[str]) -> None:
    """Check a call of the hrvmamba command."""
    from hrvmamba.cli.main import build_parser

    parsed(build_parser().parse_args, arguments)
    check_configs(arguments, None)


def check_launcher(name: str, arguments: list[str]) -> None:
    """Run a launcher with stand-ins for Python and srun, and check what it would have run."""
    with tempfile.TemporaryDirectory() as folder:
        for stand_in in ("srun", "python"):
            path = Path(folder, stand_in)
            path.write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
            path.chmod(0o755)
        environment = os.environ | {"PATH": f"{folder}:{os.environ['PATH']}", "PYTHON": "python"}
        done = subprocess.run(
            [str(REPOSITORY / name), *arguments], env=environment, capture_output=True, text=True
        )
    if done.returncode:
        raise ValueError(done.stderr.strip())
    words = done.stdout.splitlines()
    if words[:2] == ["-m", "torch.distributed.run"]:
        check_torchrun(words[2:])
    else:
        check_program_of(words)


def check_torchrun(arguments: list[str]) -> None:
    """Check a call of torchrun, and of the program that it starts."""
    from torch.distributed.run import get_args_parser

    options = parsed(get_args_parser().parse_args, arguments)
    check_program_of([options.training_script, *options.training_script_args])


def check_program_of(words: list[str]) -> None:
    """Check the call of a program in tools/ that other words come ahead of."""
    for index, word in enumerate(words):
        found = re.search(r"(?:^|/)(tools/\w+\.py)$", word)
        if found:
            return check_tool(found[1], words[index + 1 :])
    raise ValueError(f"no program of tools/ in {' '.join(words)}")


def check_make(arguments: list[str]) -> None:
    """Check that the Makefile has the targets."""
    makefile = (REPOSITORY / "Makefile").read_text(encoding="utf-8")
    for target in arguments:
        if "=" not in target and not re.search(rf"^{target}:", makefile, re.MULTILINE):
            raise ValueError(f"the Makefile has no {target}")


def check_pip(arguments: list[str]) -> None:
    """Check that setup.py has the extras that are installed."""
    setup = (REPOSITORY / "setup.py").read_text(encoding="utf-8")
    for extra in re.findall(r"\[(\w+)\]", " ".join(arguments)):
        if not re.search(rf'^        "{extra}": ', setup, re.MULTILINE):
            raise ValueError(f"setup.py has no extra {extra}")


CHECKS: dict[str, Callable[[list[str]], None]] = {
    "hrvmamba": check_hrvmamba,
    "torchrun": check_torchrun,
    "make": check_make,
    "pip": check_pip,
    "mkdir": lambda arguments: None,
    "ln": lambda arguments: None,
}


def parsed(parse: Callable[[list[str]], argparse.Namespace], arguments: list[str]):
    """What a parser makes of arguments.

    Raises:
        ValueError: it refuses them.
    """
    said = StringIO()
    try:
        with redirect_stderr(said):
            return parse(arguments)
    except SystemExit as end:
        raise ValueError(said.getvalue().strip().splitlines()[-1]) from end


@functools.cache
def load_tool(name: str) -> ModuleType:
    """A program in tools/ as a module."""
    spec = importlib.util.spec_from_file_location(Path(name).stem, REPOSITORY / name)
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    return tool


# Configs


def check_configs(words: list[str], options: dict | None) -> None:
    """Load the configs that are named among words, with options.

    Raises:
        ValueError: one does not load or build with the options.
    """
    for word in words:
        if re.fullmatch(r"configs/[\w/]+\.py", word):
            check_config(str(REPOSITORY / word), options or {})
        elif re.match("hrvmamba(-|::)", word):
            check_config(word, options or {})


def check_config(path: str, options: dict) -> None:
    """Load a config, and build its model if options are for it; tests/configs build the others.

    Raises:
        ValueError: it does not load or build, or an option sets what no config has.
    """
    from mmengine.runner import Runner

    known = {*loaded(path), *inspect.signature(Runner).parameters}
    unknown = {name.partition(".")[0] for name in options} - known
    if unknown:
        raise ValueError(f"{path} has no {', '.join(sorted(unknown))}")
    of_model = {name: options[name] for name in options if name.startswith("model.")}
    if of_model:
        build(path, repr(of_model))


@functools.cache
def loaded(path: str):
    """A config, read once."""
    from hrvmamba.integrations.config import load_config

    return load_config(path, None, ("model",))


@functools.cache
def build(path: str, options: str) -> None:
    """Build a config's model with options, a dict as Python writes it; once for each."""
    from mmengine.config import Config

    from hrvmamba.integrations.hosts import host_of
    from hrvmamba.integrations.model_configs import build_model

    config = Config(loaded(path).to_dict())
    config.merge_from_dict(ast.literal_eval(options))
    host_of(config)
    build_model(config)


# Python


def check_python(text: str) -> None:
    """Load a config; compile anything else, and look up what it imports of this package.

    Raises:
        ValueError: it does not load, compile or import.
    """
    if is_config(text):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "config.py")
            path.write_text(text, encoding="utf-8")
            return build(str(path), "{}")
    try:
        tree = ast.parse(text)
    except SyntaxError as error:
        raise ValueError(f"not Python: {error}") from error
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module.partition(".")[0] == "hrvmamba":
            for alias in node.names:
                check_name(f"{node.module}.{alias.name}")


def is_config(text: str) -> bool:
    """Whether a block of Python is a config of MMEngine."""
    return text.startswith("_base_")


def not_installed(text: str) -> list[str]:
    """The packages that a block of Python imports and that are not installed."""
    imported = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            imported |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            imported.add(node.module)
    return sorted(
        name for name in {each.partition(".")[0] for each in imported} if not find_spec(name)
    )


def check_name(name: str) -> None:
    """Look up a module of this package, or what is in one.

    Raises:
        ValueError: there is none.
    """
    parts = name.split(".")
    for count in range(len(parts), 0, -1):
        try:
            found = importlib.import_module(".".join(parts[:count]))
        except ModuleNotFoundError as error:
            if not error.name.startswith("hrvmamba"):
                return  # what it needs is not installed, so that it cannot be looked up
            continue
        for part in parts[count:]:
            if not hasattr(found, part):
                raise ValueError(f"there is no {name}")
            found = getattr(found, part)
        return
    raise ValueError(f"there is no {name}")


# Checking all of a page without running it


def faults_of(page: Path) -> Iterator[str]:
    """What is wrong with a page, as far as it shows without running its commands."""
    name = page.relative_to(REPOSITORY)
    for block in blocks_of(page):
        for line, fault in faults_of_block(block):
            yield f"{name}:{line}: {fault}"
    for fault in [*faulty_links(page), *faulty_names(page), *faulty_error_texts(page)]:
        yield f"{name}: {fault}"


def faults_of_block(block: Block) -> Iterator[tuple[int, str]]:
    """The lines and reasons of what is wrong with a block."""
    if block.language in ("sh", "shell", "console", "zsh"):
        yield block.line, f"commands are checked in blocks of bash, not {block.language}"
    if block.language == "python":
        try:
            check_python(block.text)
        except ValueError as error:
            yield block.line, str(error)
    if block.language == "bash":
        for command in commands_of(block):
            try:
                check_command(command)
            except ValueError as error:
                yield command.line, f"{command.text}: {error}"


def faulty_links(page: Path) -> Iterator[str]:
    """Relative links that lead to no file, or to no heading in it."""
    for link in re.findall(r"\]\(([^)\s]+)\)", prose_of(page)):
        if re.match(r"\w+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = page.parent / path if path else page
        if not target.exists():
            yield f"the link {link} leads to no file"
        elif anchor and anchor not in anchors_of(target):
            yield f"the link {link} leads to no heading"


def anchors_of(page: Path) -> set[str]:
    """What links to a page's headings end in, as GitHub and GitLab have it."""
    headings = re.findall(r"^#+ (.+)$", prose_of(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def faulty_names(page: Path) -> Iterator[str]:
    """Files and names of this package that the prose tells of and that are not there."""
    folders = "|".join(path.name for path in REPOSITORY.iterdir() if path.is_dir())
    for code in re.findall(r"`([^`\n]+)`", prose_of(page)):
        if re.fullmatch(rf"({folders})/[\w./*-]*", code) and not code.startswith(MADE):
            if not any(REPOSITORY.glob(code)):
                yield f"there is no {code}"
        elif re.fullmatch(r"hrvmamba(\.\w+)+", code.partition("(")[0]):
            try:
                check_name(code.partition("(")[0])
            except ValueError as error:
                yield str(error)


MADE = ("data/", "work_dirs/")
"""Folders of what commands make or readers bring."""

OUR_ERRORS = "### What hrvmamba says"
"""The heading above a table of what this package prints; ... stands for what differs."""


def faulty_error_texts(page: Path) -> Iterator[str]:
    """Texts said to be printed by this package that are nowhere in it."""
    _, _, section = page.read_text(encoding="utf-8").partition(OUR_ERRORS)
    for text in re.findall(r"^\| `(.+?)` \|", section.partition("\n#")[0], re.MULTILINE):
        for part in re.split(r"\s*\.\.\.\.?\s*", text):
            if not any(part in said for said in texts_of_code()):
                yield f"the code holds no {part!r}"


@functools.cache
def texts_of_code() -> list[str]:
    """All texts in the code of the package, its tools and its Makefile."""
    sources = [*REPOSITORY.glob("hrvmamba/**/*.py"), *REPOSITORY.glob("tools/*.py")]
    nodes = (node for source in sources for node in ast.walk(ast.parse(source.read_text())))
    texts = [node.value for node in nodes if isinstance(node, ast.Constant)]
    kernels = [path.read_text() for path in REPOSITORY.glob("csrc/*/*.cpp")]
    makefile = (REPOSITORY / "Makefile").read_text()
    return [*(text for text in texts if isinstance(text, str)), *kernels, makefile]


# Stand-ins

SHORTER = {
    "_base_/schedule_adamw_210e.py": "train_cfg = dict(max_epochs=1, val_interval=1)",
    "_base_/schedule_adamw_300e.py": "train_cfg.update(max_epochs=1)",
    "_base_/coco_256x192.py": """
for loader in (train_dataloader, val_dataloader):
    loader.update(batch_size=2, num_workers=0, persistent_workers=False)
""",
    "_base_/imagenet_256.py": """
for loader in (train_dataloader, val_dataloader):
    loader.update(batch_size=2, num_workers=0, persistent_workers=False)
    loader["dataset"]["indices"] = 4
""",
}
"""Lines behind those of a config: short schedules, few images, no processes."""

CHECKPOINT = re.compile(r"work_dirs/(?P<run>\w+)/\w+\.pth|\b(?P<preset>hrvmamba_[a-z]+)\.pth")
"""Checkpoints that commands are given: of a run, or of a preset at 256x192.

A run has the name of its config, unless the command names the config.
"""


def prepare(folder: Path) -> None:
    """Fill a folder with what the commands of a page find in a reader's checkout."""
    for name in ("configs", "tools"):
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(REPOSITORY / name, folder / name, ignore=ignored)
    for name, lines in SHORTER.items():
        with (folder / "configs" / name).open("a") as config:
            config.write(f"\n{lines}\n")
    prepare_coco(folder / "data" / "coco")
    images = sorted((folder / "data/coco/val2017").iterdir())
    prepare_own_keypoints(folder / "data" / "my_dataset", folder / "data" / "coco")
    prepare_imagenet(folder / "data" / "imagenet", images[0])
    (folder / "photos").mkdir()
    for name in ("picture.jpg", "person.jpg", "photos/1.jpg", "photos/2.jpg"):
        shutil.copy(images[0], folder / name)
    shutil.copy(next(folder.glob("data/coco/*/COCO_val*.json")), folder / "detections.json")
    for name in ("python", "torchrun", "hrvmamba"):
        module = {"python": "", "torchrun": "-m torch.distributed.run", "hrvmamba": "-m hrvmamba"}
        program = folder / "bin" / name
        program.parent.mkdir(exist_ok=True)
        program.write_text(f'#!/bin/sh\nexec "{sys.executable}" {module[name]} "$@"\n')
        program.chmod(0o755)


def prepare_coco(folder: Path) -> None:
    """Draw synthetic people, in COCO's layout and with its names."""
    from hrvmamba.datasets import make_synthetic_coco

    make_synthetic_coco(folder, num_train=4, num_val=4, image_size=(192, 192), workers=1)
    annotations = folder / "annotations"
    for split in ("train", "val"):
        (folder / split).rename(folder / f"{split}2017")
        file = annotations / f"person_keypoints_{split}.json"
        file.rename(annotations / f"person_keypoints_{split}2017.json")
    content = json.loads((annotations / "person_keypoints_val2017.json").read_text())
    keys = ("image_id", "category_id", "bbox")
    people = content.pop("annotations")
    boxes = [{key: person[key] for key in keys} | {"score": 0.9} for person in people]
    (folder / "person_detection_results").mkdir()
    for name in ("val2017_detections_AP_H_56", "test-dev2017_detections_AP_H_609"):
        path = folder / f"person_detection_results/COCO_{name}_person.json"
        path.write_text(json.dumps(boxes))
    (annotations / "image_info_test-dev2017.json").write_text(json.dumps(content))
    shutil.copytree(folder / "val2017", folder / "test2017")


def prepare_own_keypoints(folder: Path, coco: Path) -> None:
    """Copy COCO's images, and seven keypoints of each person in them, as of a dog."""
    names = ["nose", "left_ear", "right_ear", "withers", "tail", "left_paw", "right_paw"]
    (folder / "annotations").mkdir(parents=True)
    for split in ("train", "val"):
        shutil.copytree(coco / f"{split}2017", folder / split)
        file = coco / f"annotations/person_keypoints_{split}2017.json"
        content = json.loads(file.read_text())
        content["categories"] = [{"id": 1, "name": "dog", "keypoints": names, "skeleton": [[1, 2]]}]
        for person in content["annotations"]:
            keypoints = person["keypoints"][: 3 * len(names)]
            visible = sum(flag > 0 for flag in keypoints[2::3])
            person.update(keypoints=keypoints, num_keypoints=visible)
        (folder / f"annotations/{split}.json").write_text(json.dumps(content))


def prepare_imagenet(folder: Path, image: Path) -> None:
    """A thousand classes of one image each."""
    for split in ("train", "val"):
        for number in range(1000):
            path = folder / split / f"n{number:08d}"
            path.mkdir(parents=True)
            os.link(image, path / "0.jpg")


def prepare_checkpoints(folder: Path, text: str) -> None:
    """Write those that a text names and that no command has written: random weights."""
    import torch

    from hrvmamba.integrations.config import load_config
    from hrvmamba.integrations.model_configs import build_model

    for found in CHECKPOINT.finditer(text):
        path = folder / found[0]
        name = found["run"] or f"{found['preset']}_256x192"
        named = [folder / config for config in re.findall(r"configs/[\w/]+\.py", text)]
        configs = sorted(folder.glob(f"configs/**/{name}.py")) or named
        if not configs or path.exists():
            continue
        config = next((config for config in configs if config in named), configs[0])
        path.parent.mkdir(parents=True, exist_ok=True)
        model = build_model(load_config(str(config), None, ("model",)))
        torch.save({"state_dict": model.state_dict()}, path)


# Running


class Outcome(NamedTuple):
    """What became of a command or block of Python."""

    state: str
    detail: str


def run_page(page: Path, folder: Path) -> Iterator[tuple[int, str, Outcome]]:
    """Run what is in a page, in a folder; the line, the text and the outcome of each."""
    prepare(folder)
    for block in blocks_of(page):
        if block.language == "bash":
            for command in commands_of(block):
                yield command.line, command.text, do(command, folder)
        elif block.language == "python":
            first = block.text.splitlines()[0]
            yield block.line, f"{first} ...", do_python(block.text, folder)


def do(command: Command, folder: Path) -> Outcome:
    """Run or check a command, or say why not."""
    rule = rule_for(command.text)
    if rule and rule.outcome == LISTED:
        return Outcome(LISTED, rule.reason)
    try:
        check_command(command)
    except ValueError as error:
        return Outcome(FAILED, str(error))
    if rule:
        return Outcome(CHECKED, rule.reason)
    prepare_checkpoints(folder, command.text)
    return run_shell(command.text, folder)


def do_python(text: str, folder: Path) -> Outcome:
    """Run or check a block of Python."""
    try:
        check_python(text)
    except ValueError as error:
        return Outcome(FAILED, str(error))
    if is_config(text):
        return Outcome(RUN, "a config: loaded, its model built")
    rule = rule_for(text)
    if rule:
        return Outcome(rule.outcome, rule.reason)
    missing = not_installed(text)
    if missing:
        return Outcome(CHECKED, f"not installed: {', '.join(missing)}")
    prepare_checkpoints(folder, text)
    (folder / "block.py").write_text(text, encoding="utf-8")
    return run_shell("python block.py", folder)


def run_shell(text: str, folder: Path) -> Outcome:
    """Run a command line in a folder."""
    environment = os.environ | {
        "PATH": f"{folder / 'bin'}:{os.environ['PATH']}",
        "PYTHONPATH": str(REPOSITORY),
    }
    start = time.perf_counter()
    try:
        done = subprocess.run(
            ["bash", "-c", text],
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=TIME_LIMIT,
        )
    except subprocess.TimeoutExpired:
        return Outcome(FAILED, f"over {TIME_LIMIT:.0f} s")
    if done.returncode:
        last = "\n    ".join(done.stdout.strip().splitlines()[-15:])
        return Outcome(FAILED, f"exit status {done.returncode}\n    {last}")
    return Outcome(RUN, f"{time.perf_counter() - start:.0f} s")


def parse_arguments(arguments: list[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("pages", nargs="*", metavar="PAGE", help="such as docs/train.md (all)")
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> None:
    """Run the command line, ``sys.argv`` if no arguments are given.

    Raises:
        SystemExit: with status 1 if a command failed or a page has another fault.
    """
    options = parse_arguments(arguments)
    counts = dict.fromkeys((RUN, CHECKED, LISTED, FAILED), 0)
    for page in pages(options.pages):
        name = page.relative_to(REPOSITORY)
        for fault in [*faulty_links(page), *faulty_names(page), *faulty_error_texts(page)]:
            print(f"{FAILED:<8} {name}: {fault}", flush=True)
            counts[FAILED] += 1
        with tempfile.TemporaryDirectory(prefix="hrvmamba-docs-") as folder:
            for line, text, outcome in run_page(page, Path(folder)):
                counts[outcome.state] += 1
                print(f"{outcome.state:<8} {name}:{line}: {text}", flush=True)
                print(f"    {outcome.detail}", flush=True)
    print(", ".join(f"{count} {state}" for state, count in counts.items()))
    raise SystemExit(1 if counts[FAILED] else 0)


if __name__ == "__main__":
    main()
