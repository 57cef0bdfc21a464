"""Checks of models: when each warns, what it found, and that its message says so."""

import pytest

from dipy_tractoencoder.report.model_checks import (
    collapse,
    overfitting,
    pca_kept,
    statistics,
    unfamiliar,
    unsettled,
    worse_than_pca,
)

RISING = {
    "error_mm": [5.0, 4.0, 3.0, 2.0, 1.0],
    "val_error_mm": [5.0, 4.0, 4.2, 4.5, 5.0],
}
FALLING = {"error_mm": [9, 7, 5, 3, 1.0], "val_error_mm": [9, 7, 5, 3, 2.0]}
FLAT = {"error_mm": [9, 2, 2, 2, 2.0], "val_error_mm": [9, 2, 2, 2, 1.99]}
SCHEDULE = {"learning_rate": [1, 1, 0.7, 0.3, 0.0]}
# Hardly anything is gained at the end, while the rate goes to zero.
HIDDEN = {"val_error_mm": [9, 8, 7, 6.5, 6.5], "error_mm": [9, 8, 7, 6.5, 6.5]}
PLENTY = 1000  # steps


@pytest.mark.parametrize(
    ("code", "loud", "data", "says", "silent"),
    [
        (
            "posterior-collapse",
            collapse([1, 0.001, 1], [3.0, 2.0, 1.0]),
            {"dimensions": [1], "latent_dim": 3},
            ["1 of 3", "z[1]", "2 dimensions"],
            collapse([1, 0.02, 1], [3.0, 2.0, 0.02]),
        ),
        (
            "posterior-collapse",
            collapse([1, 1, 1], [3.0, 0.001, 0.002]),
            {"dimensions": [1, 2], "latent_dim": 3},
            ["2 of 3", "z[1], z[2]"],
            collapse([0.011], [0.011]),
        ),
        (
            "posterior-collapse",
            collapse([0, 0], [0.0, 0.0]),
            {"dimensions": [0, 1], "latent_dim": 2},
            [],
            collapse([1, 1], [1.0, 1.0]),
        ),
        (
            "overfitting",
            overfitting(RISING),
            {
                "best_epoch": 2,
                "best_mm": 4.0,
                "rise": pytest.approx(0.25),
                "training_mm": (4.0, 1.0),
            },
            ["epoch 2", "4 mm", "25%", "to 1 mm"],
            overfitting(FALLING),
        ),
        (
            "overfitting",
            overfitting(RISING),
            {"best_epoch": 2},
            [],
            # Both rise: that is another trouble.
            overfitting({**RISING, "error_mm": [5, 4, 4.5, 4.8, 5.0]}),
        ),
        (
            "overfitting",
            overfitting({**RISING, "val_error_mm": [5, 4, 4.2, 4.2, 4.41]}),
            {"rise": pytest.approx(0.1025)},
            ["10%"],
            overfitting({**RISING, "val_error_mm": [5, 4, 4.2, 4.2, 4.39]}),
        ),
        (
            "unsettled-training",
            unsettled(FALLING, 5, 5, PLENTY),
            {
                "best_epoch": 5,
                "fall": pytest.approx(1 / 3),
                "measured_on": "held-out",
                "n_last": 1,
                "advised_epochs": 15,
            },
            ["5 of 5", "33%", "last 1 "],
            unsettled(FLAT, 5, 5, PLENTY),
        ),
        (
            "unsettled-training",
            unsettled(FALLING, 5, 5, PLENTY),
            {"best_epoch": 5},
            [],
            unsettled(FALLING, 3, 5, PLENTY),  # An earlier epoch was kept.
        ),
        (
            "unsettled-training",
            unsettled({**HIDDEN, **SCHEDULE}, 5, 5, PLENTY),
            {"fall": pytest.approx(0.0714, abs=1e-4), "n_last": 2},
            ["7%", "last 2 "],
            unsettled(HIDDEN, 5, 5, PLENTY),  # A constant rate hides nothing.
        ),
        (
            "unsettled-training",
            unsettled({"error_mm": [9, 5, 1.0]}, 3, 3, PLENTY),
            {"measured_on": "training"},
            ["training"],
            unsettled({"error_mm": [1, 1, 1.0]}, 3, 3, PLENTY),
        ),
        (
            "unsettled-training",
            unsettled(FLAT, 2, 5, 40),
            {"n_steps": 40, "advised_epochs": 38},
            ["40 steps"],
            unsettled(FLAT, 2, 5, 100),
        ),
        (
            "unsettled-statistics",
            statistics(5.0, 1.0),
            {"error_mm": 5.0, "error_by_batch_mm": 1.0},
            ["5 mm", "1 mm"],
            statistics(1.05, 1.0),
        ),
        (
            "unsettled-statistics",
            statistics(1.2, 1.0),
            {"error_mm": 1.2},
            ["1.2 mm"],
            statistics(1.0, 5.0),
        ),
        (
            "unsettled-statistics",
            statistics(0.2, 0.1),
            {"error_mm": 0.2},
            ["0.2 mm"],
            statistics(0.009, 0.001),
        ),
        (
            "pca-kept",
            pca_kept(0, 100, True),
            {"n_epochs": 100, "refit": False},
            ["PCA"],
            pca_kept(1, 100, True),
        ),
        (
            "pca-kept",
            pca_kept(0, 0, True),
            {"n_epochs": 0, "refit": False},
            ["PCA"],
            pca_kept(1, 1, True),
        ),
        (
            "worse-than-pca",
            worse_than_pca({"AF": (1.03, 1.0), "CST": (3.0, 1.0), "UF": (1, 1)}, True),
            {"errors": {"CST": (3.0, 1.0), "AF": (1.03, 1.0)}, "linear_skip": True},
            ["CST (3 mm, PCA 1 mm), AF (1.03 mm, PCA 1 mm)"],
            worse_than_pca({"AF": (1.019, 1.0)}, True),
        ),
        (
            "unfamiliar-streamlines",
            unfamiliar(3.1, 2.0),
            {"error_mm": 3.1, "training_error_mm": 2.0},
            ["3.1 mm", "2 mm"],
            unfamiliar(3.0, 2.0),
        ),
    ],
)
def test_each_check_warns_and_stays_silent(code, loud, data, says, silent):
    assert loud.code == silent.code == code
    assert {key: loud.data[key] for key in data} == data
    assert loud.found and loud.advice and loud.rule
    for words in says:
        assert words in loud.found
    assert silent.name == loud.name
    assert silent.found == "" == silent.advice
    assert silent.data == {}
    assert silent.rule


@pytest.mark.parametrize(
    "nothing",
    [
        collapse([0, 0], None),
        overfitting({"error_mm": [3, 2, 1]}),
        overfitting({key: values[:2] for key, values in RISING.items()}),
        overfitting({}),
        unsettled({}, 0, 0, 0),
        pca_kept(0, 100, False),
        pca_kept(0, 0, False),
        worse_than_pca({}, True),
        unfamiliar(1.0, None),
    ],
)
def test_checks_with_nothing_to_look_at(nothing):
    assert nothing is None


def test_worst_error_comes_first():
    errors = {"AF": (1.03, 1.0), "CST": (3.0, 1.0)}
    assert list(worse_than_pca(errors, True).data["errors"]) == ["CST", "AF"]


def test_messages_depend_on_what_was_done():
    errors = {"all": (2.0, 1.0)}
    assert worse_than_pca(errors, True).advice != worse_than_pca(errors, False).advice
    assert "15" in unsettled(FALLING, 5, 5, PLENTY).advice
    assert "38" in unsettled(FLAT, 2, 5, 40).advice
    kept = [pca_kept(0, n, True).found for n in (0, 9)]
    assert len({*kept, pca_kept(0, 9, True, refit=True).found}) == 3
    assert "latent_dim" in pca_kept(0, 9, True).advice
    assert "epochs" in pca_kept(0, 0, True).advice
