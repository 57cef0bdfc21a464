"""A report in a browser: from the disk, without errors, on narrow screens, copied."""

import io
import shlex
import shutil

from PIL import Image
from matplotlib.figure import Figure
import numpy as np
import pytest
from slow import slow

from dipy_tractoencoder.report.data_checks import Check
from dipy_tractoencoder.report.page import Report, Section, Table, picture, save_report

pytestmark = slow
playwright = pytest.importorskip(
    "playwright.sync_api", reason="needs the extra browser (playwright)"
)

ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
TIMEOUT = 180_000  # ms, for a busy machine.
COMMAND = shlex.join(
    ["dipy_train_vae", "it's <b>.trk", "a & b.trk", "--out_dir", "x" * 300]
)


@pytest.fixture(scope="module")
def browser():
    """Start Chromium, that of the system or playwright's own."""
    names = ("chromium", "chromium-browser", "google-chrome")
    found = next(filter(None, map(shutil.which, names)), None)
    with playwright.sync_playwright() as driver:
        try:
            browser = driver.chromium.launch(
                executable_path=found, args=ARGUMENTS, timeout=TIMEOUT
            )
        except playwright.Error as err:
            pytest.skip(f"no Chromium that can be started: {err}")
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    """Write a report with all that can be too wide."""
    figure = Figure(figsize=(12, 4))
    figure.subplots().plot([0, 1])
    long_name = "sub-01_" * 30 + ".trk"
    wide = ("file", *(f"quantity {n} (mm)" for n in range(12)))
    row = (long_name, *(n + 0.5 for n in range(12)))
    parts = (
        long_name,
        Table("Wide", wide, [row], note=long_name),
        Table("Folded", wide, [row], folded=True),
        picture(figure, "a line", "PNG"),
        picture(figure, "a line", "SVG", vector=True),
    )
    report = Report(
        title=f"Training of {long_name}",
        summary=(long_name,),
        checks=(Check("loud", "Loud", "always.", f"{long_name} is odd.", "Look."),),
        command=COMMAND,
        facts=(("fingerprint", "f" * 64), ("file", long_name)),
        sections=(Section("Everything", parts), Section(long_name, ("Text.",))),
    )
    path = tmp_path_factory.mktemp("browser") / "report.html"
    save_report(report, path)
    return path.as_uri()


@pytest.fixture
def open_page(browser, address):
    """Open the report; the page and what went wrong."""
    contexts = []

    def open_page(width=1280, **options):
        context = browser.new_context(
            viewport={"width": width, "height": 844}, **options
        )
        contexts.append(context)
        context.set_default_timeout(TIMEOUT)
        page, trouble, asked = context.new_page(), [], []
        page.on("console", lambda message: trouble.append(message.text))
        page.on("pageerror", lambda error: trouble.append(str(error)))
        page.on("request", lambda request: asked.append(request.url))
        page.goto(address)
        return page, trouble, asked

    yield open_page
    for context in contexts:
        context.close()


@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_page_loads_and_fits(open_page, address, width, scheme):
    page, trouble, asked = open_page(width, color_scheme=scheme)
    for summary in page.query_selector_all("summary"):
        summary.click()
    assert trouble == []
    assert {url for url in asked if not url.startswith("data:")} == {address}
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.evaluate("document.body.scrollWidth") <= width
    drawn = page.evaluate(
        "Array.from(document.images).map(image => image.naturalWidth)"
    )
    assert len(drawn) == 2 and min(drawn) > 500
    # The wide table is all there, in a box that scrolls.
    box = page.evaluate(
        "(box => [box.clientWidth, box.scrollWidth])"
        "(document.querySelector('#section-1 .scroll'))"
    )
    assert box[0] < box[1]
    back, front = page.evaluate(
        "(style => [style.backgroundColor, style.color])"
        "(getComputedStyle(document.body))"
    )
    bright = [sum(map(int, c[4:-1].split(","))) for c in (back, front)]
    assert (bright[0] > bright[1]) == (scheme == "light")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("part", ["table", "img"])
def test_a_shade_says_that_there_is_more(open_page, scheme, part):
    page, _, _ = open_page(390, color_scheme=scheme)
    box = page.query_selector(f"#section-1 .scroll:has({part})")
    for place, expected in (
        (0, (False, True)),
        (60, (True, True)),
        (9999, (True, False)),
    ):
        box.evaluate("(box, place) => { box.scrollLeft = place; }", place)
        with Image.open(io.BytesIO(box.screenshot())) as image:
            pixels = np.asarray(image.convert("L"), dtype=float)
        # Of most rows, which have no text there.
        edges = np.median(pixels[:, [1, -2]], axis=0)
        assert tuple(np.abs(edges - np.median(pixels)) > 30) == expected


def test_button_copies_the_command(open_page):
    page, trouble, _ = open_page()
    page.click("#copy")
    page.wait_for_function("document.getElementById('copy').textContent === 'Copied'")
    page.evaluate(
        "document.body.appendChild(document.createElement('textarea')).focus()"
    )
    page.keyboard.press("Control+V")
    assert page.evaluate("document.querySelector('textarea').value") == COMMAND
    assert trouble == []


def test_button_copies_without_the_clipboard_interface(open_page):
    page, trouble, _ = open_page()
    page.evaluate("Object.defineProperty(navigator, 'clipboard', {value: undefined})")
    page.click("#copy")
    page.wait_for_function("document.getElementById('copy').textContent === 'Copied'")
    assert page.evaluate("String(window.getSelection())").strip() == COMMAND
    assert trouble == []


def test_contents_lead_to_sections(open_page):
    page, trouble, _ = open_page()
    for link in page.query_selector_all("nav a"):
        link.click()
        target = page.evaluate("document.querySelector(':target h2').textContent")
        assert link.text_content().startswith(target[:8])
    assert trouble == []


def test_everything_is_open_on_paper(open_page):
    page, _, _ = open_page()
    n_closed = "document.querySelectorAll('details:not([open])').length"
    assert page.evaluate(n_closed) == 2
    page.evaluate("window.dispatchEvent(new Event('beforeprint'))")
    assert page.evaluate(n_closed) == 0
    page.evaluate("window.dispatchEvent(new Event('afterprint'))")
    assert page.evaluate(n_closed) == 2
