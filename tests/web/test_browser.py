"""The page used in a browser, as people use it."""

import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest

from hrvmamba.web.demo import DETECTED, TYPED

BOXES = "48 32 160 360\n400 80 220 320"


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    """A browser without a window, with all that it requests."""
    pytest.importorskip("gradio")
    selenium = pytest.importorskip("selenium.webdriver")
    chromium, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if not chromium or not driver:
        pytest.skip("needs Chromium and its driver (on Debian: chromium, chromium-driver)")
    options = selenium.ChromeOptions()
    options.binary_location = chromium
    for name in (
        "headless",
        "no-sandbox",
        "disable-gpu",
        "disable-quic",
        "no-first-run",
        "disable-background-networking",
        "disable-component-update",
        "disable-sync",
        "window-size=1400,1200",
        f"user-data-dir={tmp_path_factory.mktemp('browser')}",
    ):
        options.add_argument(f"--{name}")
    options.set_capability("goog:loggingPrefs", {"performance": "ALL", "browser": "ALL"})
    driver = selenium.Chrome(options=options, service=selenium.ChromeService(driver))
    yield driver
    driver.quit()


@pytest.fixture
def page(browser, address) -> SimpleNamespace:
    """The page, loaded anew, and what one does on it."""
    from selenium.webdriver import ActionChains
    from selenium.webdriver.common.by import By
    from selenium.webdriver.support.ui import WebDriverWait

    def find(selector: str) -> list:
        return browser.find_elements(By.CSS_SELECTOR, selector)

    def wait(condition):
        return WebDriverWait(browser, 60).until(lambda _: condition())

    def one(selector: str):
        return wait(lambda: next((item for item in find(selector) if item.is_displayed()), None))

    def choose(selector: str, text: str) -> None:
        wait(lambda: [item for item in find(selector) if text in item.text])
        next(item for item in find(selector) if text in item.text).click()

    def upload(path: Path) -> None:
        (field,) = find("#picture input[type=file]")
        field.send_keys(str(path))

    def error() -> str:
        text = one(".toast-message-text").text
        one(".toast-close").click()
        wait(lambda: not find(".toast-message-text"))
        return text

    def image(name: str) -> str:
        """The address of an output once it is shown and nothing is under way."""
        one(f"#{name} img")
        wait(lambda: find(f"#{name} [data-testid=status-tracker].hide"))
        return one(f"#{name} img").get_attribute("src")

    def click_at(name: str, point: tuple[int, int]) -> None:
        """Click on a point of an image, in its pixels."""
        element = one(f"#{name} img")
        size, natural = (
            element.rect,
            browser.execute_script(
                "return [arguments[0].naturalWidth, arguments[0].naturalHeight]", element
            ),
        )
        scale = min(size["width"] / natural[0], size["height"] / natural[1])
        offset = [scale * (place - side / 2) for place, side in zip(point, natural, strict=True)]
        move = ActionChains(browser).move_to_element_with_offset(element, *map(round, offset))
        move.click().perform()

    browser.get(address)
    one("#find")
    return SimpleNamespace(
        browser=browser,
        find=find,
        wait=wait,
        one=one,
        choose=choose,
        upload=upload,
        error=error,
        image=image,
        click_at=click_at,
    )


def test_from_a_picture_to_activation_maps(page, picture, served, address):
    page.upload(picture)
    page.one("#picture img")
    page.choose("#source label", TYPED)
    page.one("#typed textarea").send_keys(BOXES)
    page.one("#find").click()

    page.image("skeletons")
    found = served.find(str(picture), TYPED, BOXES)
    for person in (1, 0):
        page.choose("#person label", str(person + 1))
        row = "\n".join(served.rows(found, person)[0])
        page.wait(lambda row=row: row in page.one("#table").text)

    page.choose("button[role=tab]", "Heatmaps")
    page.image("heatmaps")

    page.choose("button[role=tab]", "Activation maps")
    before = page.image("activation")
    page.image("sampling")
    page.click_at("place", (220, 250))
    page.wait(lambda: page.image("activation") != before)
    page.click_at("place", (600, 240))
    assert page.error().startswith("the model sees person 1 in what is not dim")

    requested = [
        message["params"]["request"]["url"]
        for entry in page.browser.get_log("performance")
        if (message := json.loads(entry["message"])["message"])["method"]
        == "Network.requestWillBeSent"
    ]
    assert any(url.startswith(address) for url in requested)
    ours = (address, "data:", "blob:", "chrome:")
    assert [url for url in requested if not url.startswith(ours)] == []
    logged = page.browser.get_log("browser")
    assert [entry["message"] for entry in logged if entry["level"] == "SEVERE"] == []


def test_fits_a_phone(page, picture):
    """Nothing is wider than the screen, but figures that scroll within it."""
    screen = {"width": 400, "height": 800, "deviceScaleFactor": 1, "mobile": True}
    page.browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)
    try:
        page.upload(picture)
        page.one("#picture img")
        page.one("#find").click()
        page.wait(lambda: "right_ankle" in page.one("#table").text)
        for tab, output in (("Skel", "skeletons"), ("Heat", "heatmaps"), ("Act", "activation")):
            page.choose("button[role=tab]", tab)
            page.image(output)
            width = page.browser.execute_script("return document.documentElement.scrollWidth")
            assert (tab, width) == (tab, 400)
    finally:
        page.browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_what_cannot_be_done_is_said(page, picture, damaged):
    page.one("#find").click()
    assert page.error() == "choose a picture first"

    page.upload(damaged)
    page.one("#picture .upload-container img, #picture img")
    page.one("#find").click()
    assert page.error() == "the picture is damaged, or none"

    page.one("#picture button[aria-label='Remove Image'], #picture button[title*=lear]").click()
    page.upload(picture)
    page.one("#picture img")
    page.choose("#source label", TYPED)
    page.one("#typed textarea").send_keys("12 8 40")
    page.one("#find").click()
    assert page.error() == "box in line 1: got '12 8 40', needs four numbers: x y width height"

    page.choose("#source label", DETECTED)
    page.one("#find").click()
    assert page.error() == "the weights of the detector cannot be downloaded"


def test_a_file_that_is_too_large_is_refused(page, tmp_path):
    path = tmp_path / "large.png"
    path.write_bytes(bytes(1_200_000))
    page.upload(path)
    assert "exceed the maximum allowed size" in page.error()
