"""Commands import no backend to apply a dense model; other models have one."""

import os

from flow_data import run_command
from made_data import make_tractogram
import numpy as np
import pytest

from dipy_tractoencoder import load_latents, save_model, save_tractogram

# Python imports a module of this name when it starts.
REFUSE = """
import os
import sys


class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in os.environ["REFUSED"].split():
            raise ImportError(f"{name} is imported")


sys.meta_path.insert(0, Refuse())
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory, bundles, trained_vae, trained_convolutional_vae):
    """Folder with two models, bundles of two subjects in two groups, and no backend."""
    home = tmp_path_factory.mktemp("home")
    save_model(trained_vae, home / "vae.keras")
    save_model(trained_convolutional_vae, home / "compact.keras")
    for number, folder in enumerate(["a/1", "a/2", *(f"b/{n}" for n in range(5))]):
        (home / folder).mkdir(parents=True)
        for name, bundle in zip(("AF", "CST"), bundles):
            lines = [line + np.float32(number / 2) for line in bundle]
            save_tractogram(make_tractogram(lines), home / folder / f"{name}.trk")
    (home / "refuse").mkdir()
    (home / "refuse" / "sitecustomize.py").write_text(REFUSE)
    return home


BACKENDS = "keras tensorflow jax torch"


def call(home, name, *arguments, refused=BACKENDS):
    """Run a command where some packages cannot be imported."""
    path = os.pathsep.join([str(home / "refuse"), os.environ.get("PYTHONPATH", "")])
    return run_command(name, *arguments, cwd=home, PYTHONPATH=path, REFUSED=refused)


AF, BUNDLES = "a/1/AF.trk", ("a/1/AF.trk", "a/1/CST.trk")
CASES = {
    "encode": ("dipy_encode_vae", [AF]),
    "align": ("dipy_encode_vae", [AF, "--align", "rigid", "--align_anyway"]),
    "align_to": ("dipy_encode_vae", [AF, "--align_to", "vae.keras"]),
    "reconstruct": ("dipy_reconstruct_vae", [AF]),
    "filter": ("dipy_filter_vae", ["a/2/AF.trk", "--plausible_files", AF]),
    "filter, likelihood": (
        "dipy_filter_vae",
        ["a/2/AF.trk", "--plausible_files", AF, "--score", "likelihood"],
    ),
    "label": ("dipy_label_vae", ["a/2/AF.trk", "--bundle_files", *BUNDLES]),
    "sample": ("dipy_sample_vae", ["--bundle_files", AF, "--n_streamlines", 5]),
    "compare": (
        "dipy_compare_vae",
        [
            "a/1/AF.trk",
            "a/2/AF.trk",
            "--reference_files",
            *(f"b/{n}/AF.trk" for n in range(5)),
        ],
    ),
    "evaluate": ("dipy_evaluate_vae", ["a/2/AF.trk", "--training_files", *BUNDLES]),
    "explore": ("dipy_explore_vae", [*BUNDLES]),
}


@pytest.mark.parametrize("case", CASES)
def test_no_backend_for_a_dense_model(case, home):
    if case == "explore":
        pytest.importorskip("plotly", reason="needs the extra explore (plotly)")
    name, arguments = CASES[case]
    result = call(home, name, "vae.keras", *arguments, "--out_dir", f"out {case}")
    assert result.code == 0, result.err
    assert "is imported" not in result.out + result.err


def test_nothing_heavy_to_encode_and_decode(home):
    for name, *arguments in (
        ("dipy_encode_vae", AF, "--out_latents", "own.h5"),
        ("dipy_decode_vae", "own.h5"),
    ):
        refused = f"{BACKENDS} matplotlib sklearn pandas jinja2"
        result = call(home, name, "vae.keras", *arguments, refused=refused)
        assert result.code == 0, result.err
    assert (home / "decoded.trx").exists()


def test_other_models_need_one_and_get_it(home):
    values = "compact.keras", AF, "--out_latents", "compact.h5"
    result = call(home, "dipy_encode_vae", *values)
    assert result.code == 2
    assert "keras is imported" in result.err and "Keras backend" in result.err
    result = run_command("dipy_encode_vae", *values, cwd=home)
    assert result.code == 0, result.err
    assert len(load_latents(home / "compact.h5")) == 20
