"""Commands that use streamlines of several subjects together, and move them."""

import csv
import logging

from flow_data import assert_refused, call_command
from made_data import make_tractogram
import nibabel as nib
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

import dipy_tractoencoder as dte
from dipy_tractoencoder.align import fit

NAMES = ("AF", "CST", "UF")
TO_MODEL = np.eye(4)
TO_MODEL[:3, :3] = Rotation.from_euler("xyz", [15, -25, 60], degrees=True).as_matrix()
TO_MODEL[:3, 3] = 20, -15, 10


@pytest.fixture(scope="module")
def home(tmp_path_factory, bundles, trained_vae):
    """Write a model, an atlas in its space, and subjects, two of them moved."""
    home = tmp_path_factory.mktemp("spaces")
    dte.save_model(trained_vae, home / "vae.keras")
    back = dte.Alignment(TO_MODEL).inverse()
    for folder, moved in (("atlas", 0), ("sub-01", 1), ("sub-02", 1), ("sub-03", 0)):
        (home / folder).mkdir()
        for name, bundle in zip(NAMES, bundles):
            lines = [back.apply(line) for line in bundle] if moved else bundle
            path = home / folder / f"{name}.trk"
            dte.save_tractogram(make_tractogram(lines), path)
    np.savetxt(home / "sub-01.txt", TO_MODEL)
    np.savetxt(home / "back.txt", np.linalg.inv(TO_MODEL))
    return home


@pytest.fixture
def call(capsys, home, tmp_path, monkeypatch):
    monkeypatch.chdir(home)

    def call(name, *arguments, out_dir=tmp_path / "out"):
        return call_command(capsys, name, "vae.keras", *arguments, "--out_dir", out_dir)

    return call


@pytest.fixture
def verdicts(monkeypatch):
    """Let the fit return the right transform, refused for one call if asked for."""
    given = {"refused": ()}
    calls = []

    def fit_alignment(reference, streamlines, *, transform, seed):
        calls.append(streamlines)
        refused = len(calls) in given["refused"]
        return dte.Alignment(
            TO_MODEL,
            transform=transform,
            verdict="refused" if refused else "accepted",
            reasons=("Two poses fit alike.",) if refused else (),
            quality={"gap": 1.5},
            left_right="cannot be told",
        )

    monkeypatch.setattr(fit, "fit_alignment", fit_alignment)
    return given


def read_table(path):
    with open(path, encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def points_of(path):
    return np.array(dte.load_tractogram(path).streamlines)


SAMPLE = ("--n_streamlines", 12, "--max_parts", 1, "--seed", 3)


def test_new_streamlines_lie_where_the_subject_does(call, tmp_path, home):
    one, other = tmp_path / "one", tmp_path / "other"
    done = call("dipy_sample_vae", "--bundle_files", "atlas", *SAMPLE, out_dir=one)
    assert done.code == 0, done.err
    done = call(
        *("dipy_sample_vae", "--bundle_files", "sub-01", *SAMPLE),
        *("--transform", "sub-01.txt"),
        out_dir=other,
    )
    assert done.code == 0, done.err
    assert (other / "transform.json").is_file()
    assert not (one / "transform.json").exists()
    back = dte.Alignment(TO_MODEL).inverse()
    for name in NAMES:
        expected = back.apply(points_of(one / f"{name}_new.trx"))
        found = points_of(other / f"{name}_new.trx")
        np.testing.assert_allclose(found, expected, atol=0.1)
    rows = [read_table(folder / "samples.csv") for folder in (one, other)]
    for first, second in zip(*rows):
        near = float(first["nearest_mm"]), float(second["nearest_mm"])
        assert near[0] == pytest.approx(near[1], abs=0.1)
    # Densities of the subject lead back to it, or to whom another transform says.
    again, moved = tmp_path / "again", tmp_path / "moved"
    densities = ("--density_file", other / "densities.h5")
    assert call("dipy_sample_vae", *densities, *SAMPLE, out_dir=again).code == 0
    first, second = (points_of(f / "AF_new.trx") for f in (again, other))
    np.testing.assert_allclose(first, second, atol=1e-3)
    done = call(
        "dipy_sample_vae", *densities, *SAMPLE, "--transform", "back.txt", out_dir=moved
    )
    assert done.code == 0, done.err
    known = dte.Alignment(TO_MODEL).apply(points_of(again / "AF_new.trx"))
    expected = dte.Alignment(TO_MODEL).apply(known)
    np.testing.assert_allclose(points_of(moved / "AF_new.trx"), expected, atol=0.01)


def test_the_mask_of_a_subject(call, home, tmp_path):
    lines = dte.load_tractogram(home / "sub-01" / "AF.trk").streamlines
    points = np.concatenate(list(lines))
    low = np.floor(points.min(axis=0)) - 10
    affine = np.eye(4)
    affine[:3, 3] = low
    size = (np.ceil(points.max(axis=0)) + 10 - low).astype(int)
    nib.save(nib.Nifti1Image(np.ones(size, np.uint8), affine), home / "brain.nii.gz")
    bundle = ("--bundle_files", "sub-01/AF.trk", "--mask", "brain.nii.gz")
    done = call("dipy_sample_vae", *bundle, *SAMPLE, "--transform", "sub-01.txt")
    assert done.code == 0, done.err
    (row,) = read_table(tmp_path / "out" / "samples.csv")
    assert int(row["rejected_outside_mask"]) <= 2
    assert int(row["accepted"]) == 12


def test_bundles_of_several_subjects_stay_with_the_model(call, tmp_path, verdicts):
    done = call(
        *("dipy_sample_vae", "--bundle_files", "sub-01", "sub-02", *SAMPLE),
        *("--align", "rigid", "--align_to", "atlas"),
    )
    assert done.code == 0, done.err
    assert "in the space of the model, because the files are of 2 subjects" in done.out
    out = tmp_path / "out"
    assert {"sub-01_transform.json", "sub-02_alignment.png"} <= {
        path.name for path in out.iterdir()
    }
    new = dte.load_tractogram(out / "AF_new.trx")
    real = np.concatenate(dte.load_tractogram("atlas/AF.trk").streamlines)
    found = np.concatenate(new.streamlines)
    np.testing.assert_allclose(found.mean(axis=0), real.mean(axis=0), atol=5)
    assert new.is_bbox_in_vox_valid()


def test_densities_cannot_be_aligned(call):
    done = call("dipy_sample_vae", "--density_file", "x.h5", "--align", "rigid")
    assert_refused(done, "--align rigid", "--bundle_files", "--transform")


def test_a_refused_subject_is_left_out(call, tmp_path, verdicts):
    verdicts["refused"] = (2,)
    done = call(
        *("dipy_sample_vae", "--bundle_files", "sub-01", "sub-02", *SAMPLE),
        *("--align", "rigid", "--align_to", "atlas"),
    )
    assert done.code == 2
    assert "1 of 2 subjects could not be used" in done.err
    assert "sub-02" in done.err
    # The other one is alone, so that its new streamlines go home.
    expected = dte.Alignment(TO_MODEL).inverse()
    real = np.concatenate(dte.load_tractogram("atlas/AF.trk").streamlines)
    found = np.concatenate(points_of(tmp_path / "out" / "AF_new.trx"))
    mean = expected.apply(real.mean(axis=0)[None])[0]
    np.testing.assert_allclose(found.mean(axis=0), mean, atol=5)


def test_evaluation_is_that_of_the_model_s_space(call, tmp_path):
    one, other = tmp_path / "one", tmp_path / "other"
    options = ("--max_streamlines", 15)
    done = call("dipy_evaluate_vae", "atlas", *options, out_dir=one)
    assert done.code == 0, done.err
    done = call(
        *("dipy_evaluate_vae", "sub-01", *options, "--transform", "sub-01.txt"),
        out_dir=other,
    )
    assert done.code == 0, done.err
    first, second = (
        float(read_table(folder / "evaluation.csv")[0]["error_mm"])
        for folder in (one, other)
    )
    assert first == pytest.approx(second, rel=0.02)
    report = (other / "evaluation.html").read_text(encoding="utf-8")
    assert "moved, test" in report and "sub-01 by" in report
    assert (other / "transform.json").is_file()


def test_explorer_shows_the_model_s_space(call, tmp_path, monkeypatch):
    pytest.importorskip("plotly", reason="needs the extra explore")
    from dipy_tractoencoder.explorer import page

    shown = {}

    def explorer_page(model, data, **options):
        shown["points"] = data.points
        return "<html></html>"

    monkeypatch.setattr(page, "explorer_page", explorer_page)
    done = call("dipy_explore_vae", "sub-01", "--transform", "sub-01.txt")
    assert done.code == 0, done.err
    moved = shown["points"]
    assert call("dipy_explore_vae", "atlas", out_dir=tmp_path / "b").code == 0
    np.testing.assert_allclose(moved, shown["points"], atol=0.01)


def test_explored_bundles_in_memory(trained_vae, bundles, tmp_path):
    from dipy_tractoencoder.explorer.data import explorer_data

    to_model = dte.Alignment(TO_MODEL)
    subject = {"AF": [to_model.inverse().apply(line) for line in bundles[0]]}
    found = explorer_data(trained_vae, subject, alignment_of={"AF": to_model}.get)
    plain = explorer_data(trained_vae, {"AF": bundles[0]})
    np.testing.assert_allclose(found.points, plain.points, atol=0.01)


def test_check_warns_and_changes_nothing(call, tmp_path, home, caplog):
    caplog.set_level(logging.WARNING)
    one, other = tmp_path / "one", tmp_path / "other"
    options = ("dipy_evaluate_vae", "sub-01", "--max_streamlines", 15)
    done = call(*options, "--align_to", "atlas", out_dir=one)
    assert done.code == 0 and "may lie in another space" in done.err + done.out
    assert call(*options, "--align", "off", out_dir=other).code == 0
    tables = [folder / "evaluation_bundles.csv" for folder in (one, other)]
    assert tables[0].read_bytes() == tables[1].read_bytes()
