"""The page: its layout in Gradio, and what happens when something on it is used."""

import functools
import os
import socket
from collections.abc import Callable
from typing import Any

import gradio as gr

from hrvmamba.web.demo import DETECTED, TYPED, WHOLE, Demo, Found, Point

_ABOUT_ACTIVATION = (
    "**Click on a point** of the picture. The colours tell how much each other token of the map "
    "contributes to the one there through the block's selective scan: merged, then by direction."
)
_SESSIONS = 20  # whose pictures are kept
# Pictures fill the width, up to a height. Figures begin below their buttons; where there is no room
# for their panels, they scroll.
_STYLE = """
.gradio-container { max-width: min(1600px, 100vw) !important; margin: auto !important; }
#skeletons .image-frame, #place .image-frame { width: 100%; }
#skeletons img, #place img { width: 100%; max-height: 560px; object-fit: contain; }
.figure .image-container { padding-top: 2rem; overflow-x: auto; }
.figure .image-container > button { justify-content: safe center; }
.figure img { min-width: 740px; max-width: none; }
.narrow.figure img { min-width: 0; }
#table * { font-family: var(--font); }
"""


def serve(demo: Demo, host: str, port: int | None, max_upload: int) -> gr.Blocks:
    """Serve the page of a model, and return at once.

    Nothing leaves the machine: there are no analytics, no share link and nothing from elsewhere.

    Args:
        demo: the model.
        host: the address to listen on.
        port: the port to listen on; None is the first free one from 7860 on.
        max_upload: the size of a picture's file, in megabytes.

    Returns:
        The page. Its local_url is its address, its method close ends it.

    Raises:
        OSError: the port is taken, or the address is none of this machine's.
    """
    _check_listening(host, port)
    page = build_page(demo)
    # Gradio asks the page for itself, which a proxy would not find.
    direct = ["localhost", "127.0.0.1", host]
    proxied = os.environ.get("no_proxy") or os.environ.get("NO_PROXY")
    os.environ["no_proxy"] = ",".join([proxied, *direct] if proxied else direct)
    page.launch(
        server_name=host,
        server_port=port,
        max_file_size=f"{max_upload}mb",
        state_session_capacity=_SESSIONS,
        prevent_thread_lock=True,
        share=False,
        quiet=True,
        footer_links=[],
        ssr_mode=False,
        enable_monitoring=False,
        mcp_server=False,
        pwa=False,
        css=_STYLE,
    )
    return page


def _check_listening(host: str, port: int | None) -> None:
    """Find what is wrong at once: Gradio tries port after port, for seconds, and does not say."""
    try:
        socket.create_server((host, port or 0)).close()
    except OSError as error:
        place = host if port is None else f"{host}, port {port}"
        raise OSError(f"cannot listen on {place}: {error.strerror}") from error


def build_page(demo: Demo) -> gr.Blocks:
    """Lay out the page of a model."""
    with gr.Blocks(title="HRVMamba", analytics_enabled=False, delete_cache=(600, 3600)) as page:
        found, query = gr.State(), gr.State()
        gr.Markdown(f"# HRVMamba\n`{demo.name}`")
        with gr.Row():
            with gr.Column(scale=2, min_width=320):
                picture = gr.Image(
                    label="Picture",
                    sources=["upload", "clipboard"],
                    height=320,
                    elem_id="picture",
                )
                # Gradio's own decodes it, and does not say why it cannot.
                picture.preprocess = lambda upload: upload and upload.path
                source = gr.Radio(
                    [WHOLE, TYPED, DETECTED], value=WHOLE, label="People are in", elem_id="source"
                )
                typed = gr.Textbox(
                    label="x y width height, in pixels, a line for each person",
                    placeholder="163 154 199 438",
                    lines=3,
                    visible=False,
                    elem_id="typed",
                )
                find = gr.Button("Find keypoints", variant="primary", elem_id="find")
            with gr.Column(scale=5):
                person = gr.Radio(label="Person", type="index", visible=False, elem_id="person")
                with gr.Tab("Skeletons"):
                    skeletons = _output("skeletons")
                    table = gr.Dataframe(
                        headers=["keypoint", "x", "y", "score"],
                        label="Keypoints, in pixels",
                        interactive=False,
                        max_height=720,  # of 17 keypoints
                        elem_id="table",
                    )
                with gr.Tab("Heatmaps"):
                    heatmaps = _output("heatmaps", "figure")
                with gr.Tab("Activation maps"):
                    with gr.Row():
                        with gr.Column(scale=2):
                            place = _output("place")
                        with gr.Column(scale=3):
                            gr.Markdown(_ABOUT_ACTIVATION)
                            block = gr.Dropdown(list(demo.blocks), label="Block", elem_id="block")
                            sampling = _output("sampling", "figure", "narrow")
                    activation = _output("activation", "figure")

        def find_people(path: str | None, source: str, text: str) -> tuple:
            if path is None:
                raise ValueError("choose a picture first")
            found = demo.find(path, source, text)
            people = [str(number + 1) for number in range(len(found.people))]
            choice = gr.Radio(people, value=people[0], visible=len(people) > 1)
            return found, choice, demo.skeletons(found)

        def show_person(found: Found, person: int) -> tuple:
            query = demo.center(found, person)
            place = demo.place(found, person, query)
            return demo.rows(found, person), demo.heatmaps(found, person), query, place

        def show_block(found: Found | None, person: int, block: str, query: Point) -> tuple:
            if found is None:
                return gr.skip(), gr.skip()
            activation, sampling = demo.activation(found, person, block, query)
            return activation, gr.Image(sampling, visible=sampling is not None)

        def choose_query(found: Found, person: int, event: gr.SelectData) -> tuple:
            query = tuple(event.index)
            try:
                return query, demo.place(found, person, query)
            except ValueError as error:  # the picture stays, for another choice
                gr.Warning(str(error))
                return gr.skip(), gr.skip()

        def on(trigger: Callable, function: Callable, inputs: list, outputs: list) -> Any:
            """Call a function on an event, one at a time, since they share the model."""
            return trigger(
                _told(function),
                inputs,
                outputs,
                concurrency_limit=1,
                concurrency_id="model",
                api_visibility="undocumented",
            )

        source.change(
            lambda source: gr.Textbox(visible=source == TYPED),
            source,
            typed,
            api_visibility="private",
        )
        person_shown = ([found, person], [table, heatmaps, query, place])
        block_shown = ([found, person, block, query], [activation, sampling])
        people_found = on(
            find.click, find_people, [picture, source, typed], [found, person, skeletons]
        )
        for chosen in (people_found.success, person.input):
            on(on(chosen, show_person, *person_shown).success, show_block, *block_shown)
        on(block.input, show_block, *block_shown)
        chosen = on(place.select, choose_query, [found, person], [query, place])
        on(chosen.success, show_block, *block_shown)
    return page


def _output(name: str, *classes: str) -> gr.Image:
    return gr.Image(
        show_label=False,
        format="png",
        interactive=False,
        buttons=["download", "fullscreen"],
        elem_id=name,
        elem_classes=list(classes),
    )


def _told(function: Callable) -> Callable:
    """Show on the page what is wrong with what was asked for."""

    @functools.wraps(function)
    def told(*arguments: Any) -> Any:
        try:
            return function(*arguments)
        except (ValueError, OSError) as error:
            raise gr.Error(str(error), duration=None, print_exception=False) from error

    return told
