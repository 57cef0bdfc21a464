"""Measure the page of the explorer in Chromium, and take a screenshot for the docs.

    KERAS_BACKEND=jax python benchmarks/explorer_page.py

For each backbone: size of the page, time until it is drawn, time to decode one latent,
and the largest distance between the curves of the browser and those of Keras. Needs the
extras explore and browser, and Chromium. The screenshot shows DIPY's bundles of a
subject that was not used for training.
"""

from pathlib import Path
import shutil
import tempfile
import time

from dipy.data.fetcher import extract_example_tracts
import numpy as np
from playwright.sync_api import sync_playwright
from study_main import main, option

from dipy_tractoencoder import (
    decode,
    explore,
    load_tractogram,
    make_fibercup,
    train,
)
from dipy_tractoencoder.explorer.data import explorer_data
from dipy_tractoencoder.utils.tables import save_table

RESULTS = Path(__file__).parents[1] / "doc" / "results"
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--enable-unsafe-swiftshader"]
N_DECODED = 50
TIMEOUT = 300_000  # ms


def phantom_bundles():
    """Plausible streamlines of the synthetic phantom, by bundle."""
    made = make_fibercup(3112, 0.0)
    return {
        str(code): [made.streamlines[i] for i in np.flatnonzero(made.bundle == code)]
        for code in np.unique(made.bundle)
    }


def open_page(browser, path, width=1280, height=900):
    """Open a page and wait until it is drawn; also the seconds that took."""
    page = browser.new_page(viewport={"width": width, "height": height})
    page.set_default_timeout(TIMEOUT)
    start = time.perf_counter()
    page.goto(path.resolve().as_uri())
    page.wait_for_selector("body[data-ready]")
    return page, time.perf_counter() - start


def measure(browser, work, name, model, bundles, n):
    """Make one page and measure it."""
    path = work / "explorer.html"
    about = explore(model, bundles, path, max_streamlines=n, overwrite=True)
    page, ready = open_page(browser, path)
    data = explorer_data(model, bundles, max_streamlines=n)
    rng = np.random.default_rng(0)
    # Latents as they are, and as far out as the sliders go.
    rows = rng.choice(len(data.latent), N_DECODED, replace=False)
    latent = data.latent[rows]
    far = data.latent.mean(axis=0) + 3 * data.latent.std(axis=0) * rng.uniform(
        -1, 1, latent.shape
    )
    latent = np.concatenate([latent, far]).astype(np.float32)
    seconds = page.evaluate(
        "(latents) => { const start = performance.now();"
        " window.found = latents.map((z) => explorer.decode(z));"
        " return (performance.now() - start) / 1000; }",
        latent.tolist(),
    )
    found = np.array(page.evaluate("window.found"))
    off = np.linalg.norm(found - decode(model, latent), axis=2).max()
    page.close()
    return {
        "model": name,
        "shown": about["n_shown"],
        "page_mb": round(about["megabytes"], 2),
        "ready_s": round(ready, 1),
        "decode_ms": round(1000 * seconds / len(latent), 2),
        "largest_difference_mm": float(f"{off:.2g}"),
    }


def take_picture(browser, work, path):
    """Draw the page of DIPY's bundles, a walk half done."""
    extract_example_tracts(work / "data")
    subjects = sorted((work / "data").glob("sub_*"))
    known = [
        load_tractogram(path)
        for subject in subjects[:4]
        for path in sorted(subject.glob("*.trk"))
    ]
    model = train(known, latent_dim=6, seed=0)
    explore(
        model,
        [subjects[4]],
        work / "e.html",
        model_name="vae.keras",
        overwrite=True,
    )
    page, _ = open_page(browser, work / "e.html", height=1150)
    for button, bundle in (("#set-a", "CST_R"), ("#set-b", "AF_L")):
        page.select_option("#bundle", label=bundle)
        page.locator(button).click()
    page.select_option("#bundle", label="CC_ForcepsMajor")
    slider = page.locator("#dimension-slider")
    for _ in range(6):
        slider.press("ArrowRight")
    page.wait_for_timeout(3000)
    page.mouse.move(5, 5)
    page.screenshot(path=path)
    page.close()


def run(options):
    """Run everything."""
    only = options.only
    with sync_playwright() as driver, tempfile.TemporaryDirectory() as folder:
        browser = driver.chromium.launch(
            executable_path=shutil.which("chromium"), args=ARGUMENTS, timeout=TIMEOUT
        )
        work = Path(folder)
        if "picture" in only:
            (work / "data").mkdir()
            take_picture(browser, work, RESULTS / "figures" / "explorer.png")
        if "table" in only:
            bundles = phantom_bundles()
            lines = [line for bundle in bundles.values() for line in bundle]
            rows = []
            for backbone in ("dense", "compact", "finta"):
                for skip in (True, False):
                    # Without validation the network's own weights stay, not PCA.
                    model = train(
                        [lines[::8]],
                        backbone=backbone,
                        linear_skip=skip,
                        epochs=1,
                        validation_fraction=0,
                        seed=0,
                    )
                    name = f"{backbone}, {'with' if skip else 'without'} skip"
                    rows.append(measure(browser, work, name, model, bundles, 2000))
                    print(rows[-1], flush=True)
                    if backbone == "dense" and skip:
                        many = {
                            f"{k}{t}": b for k, b in bundles.items() for t in "abcd"
                        }
                        rows.append(measure(browser, work, name, model, many, 10_000))
                        print(rows[-1], flush=True)
            save_table(rows, RESULTS / "explorer.csv")
        browser.close()


if __name__ == "__main__":
    main(run, __doc__, option("--only", nargs="+", default=["table", "picture"]))
