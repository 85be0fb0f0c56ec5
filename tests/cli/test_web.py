import sys

import pytest


@pytest.fixture
def arguments(weights) -> tuple:
    return ("web", "--config", weights[0], "--checkpoint", weights[1])


def test_without_gradio_it_says_how_to_install_it(refused, arguments, monkeypatch):
    monkeypatch.setitem(sys.modules, "gradio", None)
    assert 'the page needs Gradio: pip install "hrvmamba[web]"' in refused(*arguments)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--port", 70000), "--port: got 70000, needs 1 to 65535"),
        (("--max-upload", 0), "--max-upload: got 0, needs at least 1"),
        (("--detector", "yolo"), "--detector: got yolo, torchvision has fasterrcnn"),
        (("--device", "tpu"), "tpu"),
        (("--config", "none.py"), "the config file none.py does not exist"),
        (("--checkpoint", "none.pth"), "checkpoint none.pth not found"),
        (("--host", "::1"), "cannot listen on ::1: Address family"),
        (("--host", "192.0.2.1"), "cannot listen on 192.0.2.1: Cannot assign requested address"),
    ],
    ids=lambda value: value[0] if isinstance(value, tuple) else "",
)
def test_refuses(refused, arguments, options, message):
    pytest.importorskip("gradio")
    assert message in refused(*arguments, *options)


def test_serves_until_it_is_interrupted(command, arguments, monkeypatch, capsys):
    gradio = pytest.importorskip("gradio")
    served = []
    monkeypatch.setattr(gradio.Blocks, "block_thread", lambda page: served.append(page))
    assert command(*arguments) == 0
    (page,) = served
    assert f"{page.local_url}  (Ctrl-C ends it)" in capsys.readouterr().out
    page.close()
