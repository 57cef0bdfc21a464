"""The report of a training: its numbers are those of the run."""

import shlex

from html_page import VILE, Page, assert_self_contained
import numpy as np
import pytest
from slow import slow

from dipy_tractoencoder.report.page import Table, render_report
from dipy_tractoencoder.report.training import training_report
from dipy_tractoencoder.training.train import run_training


@pytest.fixture(scope="module")
def run(bundles):
    """Train on a few streamlines with validation; two others are left out."""
    broken = [bundles[2][0][:1], np.full((5, 3), np.nan, dtype=np.float32)]
    tractograms = [bundles[0], bundles[1], [*bundles[2], *broken]]
    return run_training(
        tractograms,
        n_points=32,
        latent_dim=3,
        epochs=4,
        batch_size=16,
        validation_fraction=0.25,
    )


@pytest.fixture(scope="module")
def report(run):
    return training_report(
        run,
        name="out/vae.keras",
        files=["a.trk", f"{VILE}.trk", "c & d.trk"],
        command=shlex.join(["dipy_train_vae", "a.trk", f"{VILE}.trk", "c & d.trk"]),
    )


def latent_tables(report):
    """Give the tables with one row per latent dimension."""
    parts = (part for section in report.sections for part in section.parts)
    tables = [part for part in parts if isinstance(part, Table)]
    return [table for table in tables if table.rows and table.rows[0][0] == "z[0]"]


def of_errors(section):
    """Tell whether a section is two tables, of the model's errors and PCA's."""
    tables = [part for part in section.parts if isinstance(part, Table)]
    return len(tables) == 2 and all("PCA (mm)" in table.columns for table in tables)


def test_report_of_a_training(run, report):
    page = render_report(report)
    parsed = assert_self_contained(page)
    words = parsed.words
    assert VILE not in page
    assert shlex.join(["dipy_train_vae", "a.trk", f"{VILE}.trk", "c & d.trk"]) in words
    # Read, trained on, held out, left out.
    counts = run.model.record.data["tractograms"]
    for name, row in zip(("a.trk", f"{VILE}.trk", "c & d.trk"), counts):
        n_left = sum(row["rejects"].values())
        numbers = (row["n_read"], row["n_training"], row["n_validation"], n_left)
        assert f"{name} {' '.join(map(str, numbers))}" in words
    assert "all 3 files 62 45 15 2" in words
    assert "non_finite 1 1.61" in words and "too_few_points 1 1.61" in words
    data = run.model.record.data
    assert (data["n_read"], data["n_training"], data["n_validation"]) == (62, 45, 15)
    for needle in (
        "(mm)",
        "(nats)",
        "(%)",
        "latent_dim 3 32",
        "epochs 4 100",
        "backend",
        "fingerprint",
        "keras 3.",
        "12 steps",
    ):
        assert needle in words, needle
    assert "unsettled-training" in parsed.findings
    assert parsed.findings == [check.code for check in report.findings]
    listed = [row["data-check"] for row in parsed.all("tr") if "data-check" in row]
    assert listed == [check.code for check in report.checks]
    assert "few-per-file" in listed
    assert len(parsed.all("img")) == 3
    assert all(image["alt"] for image in parsed.all("img"))
    ids = [attrs["id"] for _, attrs in parsed.tags if "id" in attrs]
    assert len(set(ids)) == len(ids)
    assert {link["href"] for link in parsed.all("a")} <= {f"#{name}" for name in ids}


def test_errors_are_those_of_the_run(run, report):
    from dipy_tractoencoder.streamlines.metrics import point_distance, pooled_distance

    whole, by_file = next(
        section.parts for section in report.sections if of_errors(section)
    )
    expected = [
        pooled_distance(point_distance(run.points, side))
        for side in (run.reconstructed, run.pca_reconstructed)
    ]
    assert list(whole.rows[0][1:]) == pytest.approx(expected)
    sizes = [row[1] for row in by_file.rows]
    assert sum(sizes) == len(run.points) == 15
    for side in (2, 3):
        squares = sum(row[1] * row[side] ** 2 for row in by_file.rows)
        assert np.sqrt(squares / 15) == pytest.approx(expected[side - 2])


def test_what_the_latents_hold(run, report):
    from dipy_tractoencoder.latent.codec import encode
    from dipy_tractoencoder.streamlines.array import StreamlineArray

    (table,) = latent_tables(report)
    assert [row[0] for row in table.rows] == ["z[0]", "z[1]", "z[2]"]  # As in arrays.
    rows = StreamlineArray.from_points(run.points)
    latents = encode(run.model, rows)
    unit = run.model.latent_unit
    mean, variance = latents.mean / unit, np.exp(latents.log_var) / unit**2
    kl = 0.5 * (variance + mean**2 - 1 - np.log(variance)).mean(axis=0)
    assert [row[1] for row in table.rows] == pytest.approx(kl.tolist(), rel=1e-4)
    spread = latents.mean.std(axis=0)
    assert [row[2] for row in table.rows] == pytest.approx(spread.tolist(), rel=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize(
    "options", [pytest.param({"model": "ae"}, marks=slow), {"validation_fraction": 0}]
)
def test_other_trainings(bundles, options):
    run = run_training(bundles, n_points=16, latent_dim=2, epochs=1, **options)
    report = training_report(run)
    parsed = assert_self_contained(render_report(report))
    assert "tractogram 3" in parsed.words
    assert len(latent_tables(report)) == ("model" not in options)
    if "model" not in options:
        (check,) = (one for one in report.findings if one.code == "few-held-out")
        assert check.data == {"n_held_out": 0}
        assert "60 training streamlines" in parsed.words


@pytest.mark.slow
def test_streamlines_that_were_not_drawn(bundles):
    options = {"max_streamlines": 50, "refit": True, "seed": 2024}
    run = run_training(bundles, n_points=16, latent_dim=2, epochs=1, **options)
    words = Page(render_report(training_report(run))).words
    assert "seed 2024" in words  # As it is given, without a comma.
    assert "10 more streamlines" in words
    assert "refit yes no" in words


@pytest.mark.slow
def test_validation_files_are_counted_behind_the_others(bundles):
    run = run_training(
        [[bundles[0][0][:1]], bundles[0], bundles[1][:5], [bundles[1][0][:1]]],
        validation=[bundles[2]],
        n_points=16,
        latent_dim=2,
        epochs=1,
    )
    counts = run.model.record.data["tractograms"]
    assert [row["n_training"] for row in counts] == [0, 20, 5, 0, 0]
    assert [row["n_validation"] for row in counts] == [0, 0, 0, 0, 20]
    assert set(run.source.tolist()) == {4}
