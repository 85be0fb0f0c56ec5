"""The page of a small model, served."""

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from hrvmamba.inference import PoseInferencer
from hrvmamba.web.demo import Demo

MAX_UPLOAD = 1  # megabyte


def _no_network(image: np.ndarray) -> None:
    raise ConnectionError("the weights of the detector cannot be downloaded")


@pytest.fixture(scope="package")
def served(weights) -> Demo:
    """What the page shows; its detector has no weights."""
    return Demo("small-model", PoseInferencer(*weights), _no_network)


@pytest.fixture(scope="package")
def address(served) -> Iterator[str]:
    """The address of the page, served behind a proxy that leads nowhere; pictures up to 1 MB."""
    pytest.importorskip("gradio")
    from hrvmamba.web.page import serve

    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("http_proxy", "http://127.0.0.1:9")
        environment.setenv("no_proxy", "")
        page = serve(served, "127.0.0.1", None, MAX_UPLOAD)
        yield page.local_url
        page.close()


@pytest.fixture
def picture(image, tmp_path) -> Path:
    """680x520 pixels."""
    path = tmp_path / "picture.png"
    cv2.imwrite(str(path), cv2.resize(image, None, fx=4, fy=4))
    return path


@pytest.fixture
def damaged(picture) -> Path:
    """A picture's file, cut short."""
    path = picture.with_name("damaged.png")
    path.write_bytes(picture.read_bytes()[:20])
    return path
