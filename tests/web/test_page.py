"""The page, served and used by Gradio's client."""

import re
import socket
import threading

import cv2
import numpy as np
import pytest

from hrvmamba.web.demo import DETECTED, TYPED, WHOLE

pytest.importorskip("gradio")
import httpx
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError

from hrvmamba.web.page import serve

BOXES = "48 32 160 360\n400 80 220 320"


@pytest.fixture
def client(address, tmp_path) -> Client:
    """Someone with the page open."""
    return Client(address, verbose=False, download_files=tmp_path / "downloads")


def pixels(path: str) -> np.ndarray:
    return cv2.imread(path)[..., ::-1]


def test_what_it_shows_is_of_the_picture_and_the_person(client, served, picture):
    found = served.find(str(picture), TYPED, BOXES)
    choice, skeletons = client.predict(handle_file(picture), TYPED, BOXES, api_name="/find_people")
    assert [name for name, _ in choice["choices"]] == ["1", "2"] and choice["visible"]
    np.testing.assert_array_equal(pixels(skeletons), served.skeletons(found))

    table, heatmaps, place = client.predict("2", api_name="/show_person")
    assert table["data"] == served.rows(found, 1)
    np.testing.assert_array_equal(pixels(heatmaps), served.heatmaps(found, 1))
    query = served.center(found, 1)
    np.testing.assert_array_equal(pixels(place), served.place(found, 1, query))

    block = served.blocks[3]
    activation, sampling = client.predict("2", block, api_name="/show_block")
    expected = served.activation(found, 1, block, query)
    np.testing.assert_array_equal(pixels(activation), expected[0])
    np.testing.assert_array_equal(pixels(sampling["value"]), expected[1])


def test_people_do_not_see_each_others_pictures(client, address, picture, tmp_path):
    client.predict(handle_file(picture), WHOLE, "", api_name="/find_people")
    client.predict("1", api_name="/show_person")
    other = Client(address, verbose=False, download_files=tmp_path / "other")
    with pytest.raises(AppError):
        other.predict("1", api_name="/show_person")


@pytest.mark.parametrize(
    ("name", "source", "text", "message"),
    [
        (None, WHOLE, "", "choose a picture first"),
        ("damaged.png", WHOLE, "", "the picture is damaged, or none"),
        ("picture.png", TYPED, "12 8 40", "box in line 1: got '12 8 40', needs four numbers"),
        ("picture.png", DETECTED, "", "the weights of the detector cannot be downloaded"),
    ],
)
def test_what_cannot_be_done_is_said(client, damaged, name, source, text, message):
    upload = name and handle_file(damaged.with_name(name))
    with pytest.raises(AppError, match=re.escape(message)):
        client.predict(upload, source, text, api_name="/find_people")


def test_files_of_the_server_are_not_read(address, picture):
    """Only what was uploaded: Gradio's client would upload it first."""
    call = f"{address}gradio_api/call/find_people"
    upload = {"path": str(picture), "meta": {"_type": "gradio.FileData"}}
    asked = httpx.post(call, json={"data": [upload, WHOLE, ""]}, trust_env=False)
    answer = httpx.get(f"{call}/{asked.json()['event_id']}", trust_env=False)
    assert answer.text.startswith("event: error")


def test_where_it_listens(served, address):
    host, port = address.removeprefix("http://").rstrip("/").split(":")
    assert host == "127.0.0.1"
    with pytest.raises(
        OSError, match=f"cannot listen on 127.0.0.1, port {port}: Address already in use"
    ):
        serve(served, "127.0.0.1", int(port), 1)


def test_serving_reaches_nobody(served, monkeypatch):
    """Gradio would ask for its newest version, and report what is built."""
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    reached = []
    find_address, connect = socket.getaddrinfo, socket.socket.connect

    def record_name(host, *arguments, **options):
        reached.append(host)
        return find_address(host, *arguments, **options)

    def record_address(self, target):
        if isinstance(target, tuple):
            reached.append(target[0])
        return connect(self, target)

    monkeypatch.setattr(socket, "getaddrinfo", record_name)
    monkeypatch.setattr(socket.socket, "connect", record_address)
    threads = set(threading.enumerate())
    page = serve(served, "127.0.0.1", None, 1)
    page.close()
    for thread in set(threading.enumerate()) - threads:
        thread.join(timeout=5)
    hosts = {host.decode() if isinstance(host, bytes) else host for host in reached}
    assert hosts == {"127.0.0.1"}
