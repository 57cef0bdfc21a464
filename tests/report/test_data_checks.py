"""Checks of data: when each warns, what it found, and that its message says so."""

import pytest

from dipy_tractoencoder.report.data_checks import (
    Check,
    applicable,
    few_held_out,
    few_per_bundle,
    few_streamlines,
    rejects,
)


@pytest.mark.parametrize(
    ("code", "loud", "data", "says", "silent"),
    [
        (
            "few-streamlines",
            few_streamlines(600, 32),
            {"n_training": 600, "latent_dim": 32, "most_dimensions": 20},
            ["600", "32"],
            few_streamlines(960, 32),
        ),
        (
            "few-streamlines",
            few_streamlines(1, 1),
            {"n_training": 1, "latent_dim": 1, "most_dimensions": 0},
            ["1 streamline "],
            few_streamlines(30, 1),
        ),
        ("few-held-out", few_held_out(0), {"n_held_out": 0}, [], few_held_out(30)),
        (
            "few-held-out",
            few_held_out(29),
            {"n_held_out": 29},
            ["29 streamlines"],
            few_held_out(31),
        ),
        (
            "few-per-bundle",
            few_per_bundle({"CST": 19, "AF": 3, "UF": 20}),
            {"few": {"AF": 3, "CST": 19}, "n_all": 3},
            ["2 of 3", "AF (3), CST (19)"],
            few_per_bundle({"AF": 20, "CST": 50}),
        ),
        (
            "few-per-file",
            few_per_bundle({"a.trk": 3}, "file"),
            {"few": {"a.trk": 3}, "n_all": 1},
            ["a.trk (3)"],
            few_per_bundle({"a.trk": 20}, "file"),
        ),
        (
            "many-rejects",
            rejects(100, {"non_finite": 6, "too_short": 10}),
            {
                "n_read": 100,
                "rejects": {"non_finite": 6, "too_short": 10},
                "faulty": True,
                "outside_limits": False,
            },
            ["16 of 100", "(16%)", "6 ", "10 "],
            rejects(100, {"non_finite": 5, "too_short": 50}),
        ),
        (
            "many-rejects",
            rejects(100, {"too_long": 51}),
            {
                "n_read": 100,
                "rejects": {"too_long": 51},
                "faulty": False,
                "outside_limits": True,
            },
            ["51 of 100", "max_length"],
            rejects(100, {}),
        ),
    ],
)
def test_each_check_warns_and_stays_silent(code, loud, data, says, silent):
    assert loud.code == silent.code == code
    assert loud.data == data
    assert loud.found and loud.advice and loud.rule
    for words in says:
        assert words in loud.found
    assert silent.name == loud.name
    assert silent.found == "" == silent.advice
    assert silent.data == {}
    assert silent.rule


@pytest.mark.parametrize("nothing", [few_per_bundle({}), rejects(0, {})])
def test_checks_with_nothing_to_look_at(nothing):
    assert nothing is None
    check = Check("a-code", "a", "b")
    assert applicable(nothing, check) == (check,)


def test_advice_depends_on_what_was_done():
    assert "20" in few_streamlines(600, 32).advice
    assert few_streamlines(20, 32).data["most_dimensions"] == 0
    assert not any(letter.isdigit() for letter in few_streamlines(20, 32).advice)
    faulty, outside = (rejects(9, {reason: 9}) for reason in ("non_finite", "too_long"))
    assert "max_length" not in faulty.advice and "max_length" in outside.advice


def test_many_names_are_cut_short():
    check = few_per_bundle({f"b{n}": n for n in range(12)})
    assert len(check.data["few"]) == 12
    assert "b4 (4)" in check.found and "b5 (5)" not in check.found
    assert "7 more" in check.found
