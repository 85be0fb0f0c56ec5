"""In interpreters of their own, since what is imported stays."""

import pytest


@pytest.fixture
def modules(tmp_path):
    """A folder with `trigger`, and `follower`, which says that it is imported and by whom."""
    (tmp_path / "trigger.py").write_text("done = True\nprint('trigger')\n")
    (tmp_path / "follower.py").write_text("import trigger\nprint('follower', trigger.done)\n")
    return tmp_path


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("import_after('trigger', 'follower')", []),
        ("import_after('trigger', 'follower'); import trigger", ["trigger", "follower True"]),
        ("import trigger; import_after('trigger', 'follower')", ["trigger", "follower True"]),
        (
            "import_after('trigger', 'follower'); from importlib.util import find_spec;"
            "print(find_spec('trigger').name); import trigger",
            ["trigger", "trigger", "follower True"],
        ),
        ("import_after('trigger', 'follower'); import follower", ["trigger", "follower True"]),
        (
            "import_after('missing', 'follower')\ntry: import missing\n"
            "except ImportError as error: print(error.name)",
            ["missing"],
        ),
    ],
    ids=["not yet", "after", "at once", "found, then imported", "itself first", "never"],
)
def test_the_module_follows(run_python, modules, code, said):
    result = run_python(f"from hrvmamba.import_hook import import_after\n{code}", modules)
    assert result.stdout.splitlines() == said, result.stderr


def test_a_trigger_that_fails_fails_as_it_does_alone(run_python, modules):
    (modules / "trigger.py").write_text("raise RuntimeError('broken')\n")
    code = "from hrvmamba.import_hook import import_after\nimport_after('trigger', 'follower')\n"
    result = run_python(f"{code}import trigger", modules)
    assert result.stderr.splitlines()[-1] == "RuntimeError: broken" and not result.stdout


def test_the_package_starts_without_pytorch(run_python):
    """So that its command's help is quick, and exported models run where there is none."""
    code = "import sys, hrvmamba.cli.main; print({'torch', 'mmengine', 'numpy'} & set(sys.modules))"
    assert run_python(code).stdout.strip() == "set()"
