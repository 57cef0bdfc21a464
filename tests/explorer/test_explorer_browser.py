"""The explorer's page in a browser: it loads, shows streamlines, walks."""

import shutil

from flow_data import PACKAGE
import numpy as np
import pytest
from scipy.special import erf
from slow import slow
from test_explorer import EVIL, NAMES, decoder_case, every_decoder

from dipy_tractoencoder import decode, explore
from dipy_tractoencoder.explorer.data import explorer_data
from dipy_tractoencoder.explorer.decoder_export import packed_operations

pytest.importorskip("plotly", reason="needs the extra explore (plotly)")
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
    "--enable-unsafe-swiftshader",  # WebGL without a GPU.
)
TIMEOUT = 180_000  # ms; a busy machine draws slowly.
DECODER = PACKAGE / "explorer" / "templates" / "decoder.js"
WIDTHS = (1280, 390)


@pytest.fixture(scope="module")
def launch():
    """Start Chromium, that of the system or playwright's own."""
    names = ("chromium", "chromium-browser", "google-chrome")
    found = next(filter(None, map(shutil.which, names)), None)
    with playwright.sync_playwright() as driver:
        started = []

        def launch(*arguments):
            try:
                browser = driver.chromium.launch(
                    executable_path=found,
                    args=[*ARGUMENTS, *arguments],
                    timeout=TIMEOUT,
                )
            except playwright.Error as err:
                pytest.skip(f"no Chromium that can be started: {err}")
            started.append(browser)
            return browser

        yield launch
        for browser in started:
            browser.close()


@pytest.fixture(scope="module")
def browser(launch):
    return launch()


# The decoder


@pytest.fixture(scope="module")
def script(browser):
    """Empty page with the decoder's script."""
    page = browser.new_page()
    page.set_default_timeout(TIMEOUT)
    page.add_script_tag(content=DECODER.read_text(encoding="utf-8"))
    yield page
    page.close()


@every_decoder
def test_decoder_agrees_with_keras(script, options):
    latent, wanted, operations = decoder_case(**options)
    found = script.evaluate(
        "([operations, latents]) => { const decoder = unpackDecoder(operations);"
        " return latents.map((latent) => runDecoder(decoder, latent)); }",
        [packed_operations(operations), latent.tolist()],
    )
    np.testing.assert_allclose(found, wanted, atol=1e-3)  # mm


def test_error_function(script):
    x = np.linspace(-8, 8, 2001)
    found = script.evaluate("(x) => x.map(erf)", x.tolist())
    np.testing.assert_allclose(found, erf(x), rtol=1e-13, atol=1e-15)


# The page


@pytest.fixture(scope="module")
def data(trained_vae, bundles):
    named = dict(zip(NAMES, bundles))
    return explorer_data(trained_vae, named, max_streamlines=45)


@pytest.fixture(scope="module")
def address(trained_vae, bundles, tmp_path_factory):
    path = tmp_path_factory.mktemp("page") / "explorer.html"
    explore(
        trained_vae,
        dict(zip(NAMES, bundles)),
        path,
        **{"max_streamlines": 45, "projection": "tsne"},
    )
    return path.as_uri()


def open_page(browser, address, width=1280):
    """Open the page; its ``heard`` lists errors, dialogs and what it asked for."""
    phone = width < 500
    context = browser.new_context(
        viewport={"width": width, "height": 844 if phone else 900}, has_touch=phone
    )
    page = context.new_page()
    page.set_default_timeout(TIMEOUT)
    page.heard = []
    page.on("pageerror", lambda error: page.heard.append(str(error)))
    page.on("request", lambda request: page.heard.append(request.url))
    page.on("dialog", lambda dialog: (page.heard.append("dialog"), dialog.dismiss()))
    page.on(
        "console",
        lambda message: message.type == "error" and page.heard.append(message.text),
    )
    page.goto(address)
    page.wait_for_selector("body[data-ready]")
    return page


@pytest.fixture(scope="module", params=WIDTHS)
def opened(request, browser, address):
    page = open_page(browser, address, request.param)
    yield page
    page.context.close()


@pytest.fixture
def page(opened):
    """Page as it is after loading, PCA's map in front."""
    opened.select_option("#map-name", label="PCA")
    opened.select_option("#colour", "bundle")
    opened.evaluate("explorer.choose(0)")
    return opened


def curve(page, name):
    """Points (n, 3) of a curve of the 3-D view, mm."""
    return np.array(
        page.evaluate(
            "(name) => { const trace = view.data[explorer.traces[name]];"
            " return [trace.x, trace.y, trace.z].map((v) => Array.from(v)); }",
            name,
        )
    ).T


def wait_for_walk(page, latent, model):
    """Wait until the walk is what the model decodes of a latent."""
    wanted = decode(model, np.array([latent]))[0]
    page.wait_for_function(
        "(wanted) => { const trace = view.data[explorer.traces.walk];"
        " return trace.x.length === wanted.length && wanted.every(([x, y, z], p) =>"
        " Math.hypot(trace.x[p] - x, trace.y[p] - y, trace.z[p] - z) < 1e-3); }",
        arg=wanted.tolist(),
    )
    return wanted


def figure(page, name):
    return page.locator(f"#figure-{name}").text_content()


def place_of(page, row):
    """Find where a streamline's point is drawn, in pixels of the window."""
    return page.evaluate(
        "(row) => { map.scrollIntoView({block: 'center'});"
        " const [x, y] = explorer.mapPoint(row);"
        " const {xaxis, yaxis} = map._fullLayout;"
        " const box = map.getBoundingClientRect();"
        " return [box.x + xaxis._offset + xaxis.c2p(x),"
        " box.y + yaxis._offset + yaxis.c2p(y)]; }",
        row,
    )


def press_on(page, row):
    """Click or tap a streamline's point on the map."""
    place = place_of(page, row)
    if page.viewport_size["width"] < 500:
        page.touchscreen.tap(*place)
    else:
        page.mouse.click(*place)


def test_page_loads_without_errors_or_requests(opened, address):
    assert opened.heard == [address]


def test_page_fits_the_window(page):
    width = page.evaluate("document.documentElement.scrollWidth")
    assert width <= page.viewport_size["width"]


def test_names_are_shown_as_text(page):
    assert EVIL in page.locator("#legend").text_content()
    assert EVIL in page.locator("#bundle").text_content()
    page.select_option("#bundle", label=EVIL)
    assert figure(page, "bundle") == EVIL
    drawn = page.evaluate("map._fullData[0].text[0]")
    assert drawn.startswith("&lt;/script&gt;")
    assert "dialog" not in page.heard


@pytest.mark.parametrize("row", [7, 23, 40])
def test_a_point_is_chosen(page, data, trained_vae, row):
    before = curve(page, "streamline"), page.locator("#view").screenshot()
    ranges = "[map._fullLayout.xaxis.range, map._fullLayout.yaxis.range]"
    seen = page.evaluate(ranges)
    press_on(page, row)
    page.wait_for_function("explorer.state.row !== 0")
    chosen = page.evaluate("explorer.state.row")
    page.wait_for_timeout(500)  # Mouse events that follow a tap come later.
    assert page.evaluate("explorer.state.row") == chosen
    assert page.evaluate(ranges) == seen
    # Another one may lie on top of it in the map.
    places = np.array([place_of(page, chosen), place_of(page, row)])
    assert chosen == row or np.linalg.norm(places[0] - places[1]) < 8  # pixels
    assert figure(page, "bundle") == data.names[data.bundle[chosen]]
    assert figure(page, "number") == str(data.number[chosen])
    assert figure(page, "length") == f"{data.length[chosen]:.1f} mm"
    assert figure(page, "error") == f"{data.error[chosen]:.2f} mm"
    assert figure(page, "pca") == f"{data.pca_error[chosen]:.2f} mm"
    after = curve(page, "streamline")
    assert np.abs(after - before[0]).max() > 1
    np.testing.assert_allclose(after, data.points[chosen], atol=2e-3)
    wanted = decode(trained_vae, data.latent[[chosen]])[0]
    np.testing.assert_allclose(curve(page, "reconstruction"), wanted, atol=1e-3)
    wanted = trained_vae.pca_baseline().reconstruct(data.points[[chosen]])[0]
    np.testing.assert_allclose(curve(page, "pca"), wanted, atol=1e-3)
    assert page.locator("#view").screenshot() != before[1]


def test_fingers_choose_what_is_near_and_shown(browser, address, data):
    page = open_page(browser, address, 390)
    page.select_option("#map-name", label="PCA")
    x, y = place_of(page, 20)
    page.touchscreen.tap(x + 9, y + 9)
    page.wait_for_function("explorer.state.row !== 0")
    chosen = page.evaluate("explorer.state.row")
    near = np.linalg.norm(np.array(place_of(page, chosen)) - (x + 9, y + 9))
    assert near <= np.hypot(9, 9) + 0.1
    # A tap far from every point chooses none.
    page.evaluate("explorer.choose(0)")
    corner = page.evaluate(
        "(() => { const {xaxis, yaxis} = map._fullLayout;"
        " const box = map.getBoundingClientRect();"
        " return [box.x + xaxis._offset + 1, box.y + yaxis._offset + 1]; })()"
    )
    page.touchscreen.tap(*corner)
    page.wait_for_timeout(500)
    assert page.evaluate("explorer.state.row") == 0
    # A bundle that is hidden cannot be chosen.
    page.locator("#legend button").nth(int(data.bundle[chosen])).click()
    page.touchscreen.tap(*place_of(page, chosen))
    page.wait_for_timeout(500)
    row = page.evaluate("explorer.state.row")
    assert row == 0 or data.bundle[row] != data.bundle[chosen]
    page.context.close()


def test_keys_are_enough(page, data):
    page.locator("#next").focus()
    page.keyboard.press("Enter")
    assert page.evaluate("explorer.state.row") == 1
    assert figure(page, "number") == str(data.number[1])
    page.locator("#previous").focus()
    page.keyboard.press("Enter")
    page.keyboard.press("Enter")
    assert page.evaluate("explorer.state.row") == len(data.points) - 1
    np.testing.assert_allclose(curve(page, "streamline"), data.points[-1], atol=2e-3)


def test_colours_change(page, data):
    def colours():
        return page.evaluate("map.data.map((trace) => trace.marker.color)")

    assert len(set(colours())) == 3
    for name in ("length", "error", "pca_error"):
        page.select_option("#colour", name)
        (found,) = colours()
        np.testing.assert_allclose(found, getattr(data, name), rtol=1e-6)
    page.select_option("#colour", "bundle")
    assert len(colours()) == 3


def test_maps_change(page, data):
    def place():
        return page.evaluate("[map.data[0].x[0], map.data[0].y[0]]")

    pca = place()
    page.select_option("#map-name", label="t-SNE")
    assert place() != pca
    assert "not distances" in page.locator("#map-about").text_content()
    page.select_option("#map-name", label="PCA")
    assert place() == pca
    assert "variance" in page.locator("#map-about").text_content()


def test_bundles_are_hidden_and_shown(page):
    button = page.locator("#legend button").first
    for pressed, n_points in (("false", 0), ("true", 15)):
        button.focus()
        page.keyboard.press("Enter")
        assert button.get_attribute("aria-pressed") == pressed
        assert page.evaluate("map.data[0].x.length") == n_points
        assert page.evaluate("view.data[0].visible") is (pressed == "true")


@pytest.mark.parametrize("place", [0, 3])
def test_one_dimension_is_walked(page, data, trained_vae, place):
    dimension = int(np.argsort(-data.latent.std(axis=0))[place])
    page.evaluate("explorer.choose(5)")
    page.select_option("#dimension", index=place)
    slider = page.locator("#dimension-slider")
    own = float(data.latent[5, dimension])
    assert float(slider.input_value()) == pytest.approx(own, rel=1e-5)
    low, high = (float(slider.get_attribute(end)) for end in ("min", "max"))
    mean, std = data.latent[:, dimension].mean(), data.latent[:, dimension].std()
    assert [low, high] == pytest.approx(
        [min(mean - 3 * std, own), max(mean + 3 * std, own)], rel=1e-3, abs=1e-3
    )
    curves = []
    for key in ("ArrowRight", "End", "Home"):
        slider.press(key)
        latent = data.latent[5].copy()
        latent[dimension] = float(slider.input_value())
        curves.append(wait_for_walk(page, latent, trained_vae))
    assert np.abs(curves[2] - curves[1]).max() > 1
    assert (
        f"z[{dimension}] = {low:.2f} mm"
        in page.locator("#dimension-value").text_content()
    )
    about = page.locator("#walk-about").text_content()
    assert f"with another z[{dimension}]: " in about and "mm long" in about
    page.locator("#dimension-reset").click()
    wait_for_walk(page, data.latent[5], trained_vae)
    np.testing.assert_allclose(
        curve(page, "walk"), curve(page, "reconstruction"), atol=1e-3
    )
    page.locator("#next").click()
    assert len(curve(page, "walk")) == 0


def test_the_way_between_two_streamlines_is_walked(page, data, trained_vae):
    for button, row in (("#set-a", 3), ("#set-b", 33)):
        page.evaluate(f"explorer.choose({row})")
        page.locator(button).click()
    apart = np.linalg.norm(data.latent[33] - data.latent[3])
    slider = page.locator("#between-slider")
    slider.press("Home")
    slider.press("End")
    wait_for_walk(page, data.latent[33], trained_vae)
    assert f"{apart:.2f} mm apart" in page.locator("#between-value").text_content()
    slider.press("Home")
    wait_for_walk(page, data.latent[3], trained_vae)
    for _ in range(10):
        slider.press("ArrowRight")
    part = float(slider.input_value())
    assert 0.05 < part < 0.95
    latent = (1 - part) * data.latent[3] + part * data.latent[33]
    wait_for_walk(page, latent, trained_vae)
    about = page.locator("#walk-about").text_content()
    assert "between A and B" in about
    nearest = np.linalg.norm(data.latent - latent, axis=1).min()
    assert f"{nearest:.2f} mm away" in about


def test_far_latents_are_said_to_be_far(page, data):
    page.select_option("#dimension", index=0)
    page.locator("#dimension-slider").press("End")
    page.wait_for_function(
        "document.getElementById('walk-about').textContent.includes('meaningless')"
    )
    page.locator("#dimension-reset").click()
    page.wait_for_function(
        "document.getElementById('walk-about').textContent.includes('0.00 mm away')"
    )
    assert "meaningless" not in page.locator("#walk-about").text_content()


def test_view_is_turned_by_buttons(page):
    for view, axis in (("right", "x"), ("above", "z"), ("behind", "y")):
        page.locator(f"[data-view={view}]").click()
        eye = page.evaluate("view._fullLayout.scene.camera.eye")
        assert max(eye, key=lambda name: abs(eye[name])) == axis
        page.wait_for_function(
            "(name) => ['x', 'y', 'z'].every((other) => (name !== other) ==="
            " view.layout.scene[other + 'axis'].showticklabels)",
            arg=axis,  # Its labels would lie on a heap.
        )


def test_without_webgl_the_rest_works(launch, address, data):
    page = open_page(launch("--disable-3d-apis"), address)
    assert page.locator("#warning").is_visible()
    page.locator("#next").click()
    assert figure(page, "number") == str(data.number[1])
    np.testing.assert_allclose(curve(page, "streamline"), data.points[1], atol=2e-3)
