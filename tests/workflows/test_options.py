"""Options that commands add to the messages of the library."""

import logging

from flow_data import COMMANDS, flow_class
import pytest

from dipy_tractoencoder.workflows.options import (
    OTHER_NAMES,
    OptionsFormatter,
    name_options,
    option_names,
)

OPTIONS = {"latent_dim": "latent_dim", "path": "out_dir", "overwrite": "force"}


@pytest.mark.parametrize(
    "text, expected",
    [
        (
            "Wrong `latent_dim`. Given: 3.",
            "Wrong `latent_dim` (--latent_dim). Given: 3.",
        ),
        ("Use another `path`.", "Use another `path` (--out_dir)."),
        ("Pass `overwrite=True`.", "Pass `overwrite=True` (--force)."),
        (
            "`latent_dim` and `latent_dim`",
            "`latent_dim` (--latent_dim) and `latent_dim`",
        ),
        ("`latent_dim` (--latent_dim)", "`latent_dim` (--latent_dim)"),
        ("`path`, or --out_dir", "`path`, or --out_dir"),
        ("latent_dim, `encode`", "latent_dim, `encode`"),
    ],
)
def test_options_stand_behind_arguments(text, expected):
    assert name_options(text, OPTIONS) == expected


def test_options_of_the_training():
    options = option_names(flow_class("dipy_train_vae")())
    assert options["latent_dim"] == "latent_dim"
    assert options["linear_skip"] == "no_linear_skip"
    assert options["overwrite"] == "force"
    assert "input_files" not in options  # It is given without an option.


def test_options_of_a_combined_flow_have_its_prefixes():
    options = option_names(flow_class("dipy_vae_demo")())
    assert options["epochs"] == "train.epochs"
    assert options["out_dir"] == options["path"] == "out_dir"


def test_every_other_name_is_that_of_an_option_somewhere():
    known = set().union(*(option_names(flow_class(name)()) for name in COMMANDS))
    assert set(OTHER_NAMES.values()) <= known


def test_log_lines_name_options():
    record = logging.LogRecord("a", logging.WARNING, "", 0, "No `%s`.", ("path",), None)
    line = OptionsFormatter("%(levelname)s: %(message)s", OPTIONS).format(record)
    assert line == "WARNING: No `path` (--out_dir)."
