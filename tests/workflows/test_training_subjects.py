"""Training on several subjects: held out whole, moved to one space."""

from pathlib import Path

from flow_data import run_command
from made_data import make_tractogram
import numpy as np
import pytest

import dipy_tractoencoder as dte
from dipy_tractoencoder.errors import AlignmentError
from dipy_tractoencoder.workflows.train_files import train_files
from dipy_tractoencoder.workflows.training_subjects import (
    TrainingSubjects,
    file_bundles,
    validation_groups,
)

SMALL = dte.TrainingSettings(n_points=32, latent_dim=2, epochs=0)


def paths_of(*names):
    return [Path(name) for name in names]


def test_subjects_are_held_out_with_all_files_and_sessions():
    paths = paths_of(
        "sub-1/ses-1/a.trk", "sub-1/ses-2/a.trk", "sub-2/ses-1/a.trk", "b/sub-2.trk"
    )
    groups = validation_groups(paths, "subject")
    assert groups[0] == groups[1] != groups[2] == groups[3]
    assert len(set(validation_groups(paths, "subject", "file"))) == 4
    assert len(set(validation_groups(paths, "folder"))) == 4
    assert validation_groups(paths, "streamline") is None


@pytest.mark.parametrize(
    "paths, bundles",
    [
        (paths_of("atlas/AF_L.trk", "atlas/CST_R.trk"), ["AF_L", "CST_R"]),
        (
            paths_of("sub-1/AF.trk", "sub-1/sub-1_CST.trk", "sub-2/sub-2_AF.trx"),
            ["AF", "CST", "AF"],
        ),
        (paths_of("sub-1/whole.trk", "sub-2/whole.trk"), None),
        (paths_of("anna/AF.trk", "ben/CST.trk"), None),
        (paths_of("sub-1.trk", "sub-2.trk"), None),
        (paths_of("whole.trk"), None),
    ],
)
def test_bundles_by_the_names_of_files(paths, bundles):
    assert file_bundles(paths) == bundles


# Real subjects need thousands of streamlines: the fit is replaced by what it should
# find, so that these tests are of what is done with it.


@pytest.fixture
def moves():
    """Displacement (mm) of each of three subjects from the first."""
    return {"sub-1": 0.0, "sub-2": 40.0, "sub-3": -25.0}


@pytest.fixture
def files(moves, lines, tmp_path):
    """Write a tractogram per subject, moved along x."""
    paths = []
    for number, (subject, step) in enumerate(moves.items()):
        path = tmp_path / subject / "whole.trk"
        path.parent.mkdir()
        some = [line + np.float32([step, 0, 0]) for line in lines[number::2]]
        dte.save_tractogram(make_tractogram(some), path)
        paths.append(path)
    return paths


@pytest.fixture
def fits(monkeypatch):
    """Make the fit find the shift of the mean points; list what it was called with."""
    calls = []

    def fit(reference, lines, *, transform, seed, verdict="accepted"):
        calls.append(reference)
        matrix = np.eye(4)
        centre = reference.sample.reshape(-1, 3).mean(axis=0)
        matrix[:3, 3] = centre - np.asarray(lines.get_data()).mean(axis=0)
        verdict = fit.verdicts.get(len(calls), "accepted")
        quality = {"ratio": 1.2, "gap": 1.5}
        return dte.Alignment(matrix, transform, verdict, ("Why.",), quality=quality)

    fit.verdicts = {}
    fit.calls = calls
    monkeypatch.setattr("dipy_tractoencoder.align.fit.fit_alignment", fit)
    return fit


def test_subjects_are_moved_to_the_first(files, fits, moves):
    subjects = TrainingSubjects(files, align="rigid")
    found = subjects.alignments()
    assert not found[0].moves and len(fits.calls) == 2
    for alignment, step in zip(found, moves.values()):
        assert alignment.matrix[0, 3] == pytest.approx(-step, abs=8)
    assert [row["subject"] for row in subjects.rows] == list(moves)
    assert [row["n_files"] for row in subjects.rows] == [1, 1, 1]
    far = [row["moved_mm"] for row in subjects.rows]
    assert far == pytest.approx([abs(step) for step in moves.values()], abs=8)


def test_subjects_are_moved_to_their_mean_in_two_rounds(files, fits, lines):
    found = TrainingSubjects(files, align="rigid", align_to="mean").alignments()
    assert len(fits.calls) == 2 + 3
    assert fits.calls[0] is not fits.calls[-1]
    # All 30 + 30 + 29 streamlines of the subjects are in the mean.
    assert fits.calls[-1].n_streamlines == sum(len(lines[n::2]) for n in range(3))
    assert found[0].transform == "rigid"


def test_subjects_are_moved_to_a_tractogram_or_model(files, fits, lines, tmp_path):
    other = tmp_path / "atlas.trk"
    dte.save_tractogram(make_tractogram([line + 90 for line in lines]), other)
    found = TrainingSubjects(files, align="rigid", align_to=str(other)).alignments()
    assert len(fits.calls) == 3
    assert found[0].matrix[0, 3] == pytest.approx(90, abs=8)


def test_refused_alignments_end_the_training(files, fits):
    fits.verdicts[2] = "refused"
    with pytest.raises(AlignmentError, match="sub-3.*Why.*--align_anyway"):
        TrainingSubjects(files, align="rigid").alignments()
    fits.calls.clear()
    subjects = TrainingSubjects(files, align="rigid", align_anyway=True)
    assert subjects.alignments()[2].verdict == "refused"


def test_check_warns_and_moves_nothing(files, fits, caplog):
    assert TrainingSubjects(files).alignments() is None
    assert "2 of 3 subjects may lie in another space than sub-1" in caplog.text
    caplog.clear()
    assert TrainingSubjects(files[:1]).alignments() is None
    assert TrainingSubjects(files, align="off").alignments() is None
    assert not caplog.text and not fits.calls


def test_check_takes_the_files_of_an_atlas_together(bundles, tmp_path, caplog):
    paths = [tmp_path / f"{name}.trk" for name in ("AF", "CST", "CC")]
    for path, bundle in zip(paths, bundles):
        dte.save_tractogram(make_tractogram(bundle), path)
    assert TrainingSubjects(paths).alignments() is None
    assert not caplog.text


def train(paths, folder, **options):
    folder.mkdir()
    outputs = [folder / n for n in ("vae.keras", "h.csv", "f.png", "r.html")]
    about = {"settings": {}, "defaults": {}, "command": "dipy_train_vae"}
    report = train_files(paths, SMALL, *outputs, about=about, **options)
    return dte.load_model(outputs[0]), report, outputs[-1].read_text(encoding="utf-8")


def test_a_model_of_aligned_subjects(files, fits, moves, lines, tmp_path):
    subjects = TrainingSubjects(files, align="rigid")
    groups = validation_groups(files, "subject")
    model, _, page = train(
        files, tmp_path / "aligned", subjects=subjects, groups=groups
    )
    assert "Subjects moved to one space" in page and "sub-2" in page
    assert "sub-2 before and after its alignment" in page
    assert "sub-1 before" not in page  # It stays.
    assert "of the training streamlines (20 points each)" in page
    rows = model.record.data["subjects"]
    assert [row["subject"] for row in rows] == list(moves)
    counts = model.record.data["tractograms"]
    held = [count["n_validation"] > 0 for count in counts]
    assert sum(held) == 1 and not any(
        count["n_validation"] and count["n_training"] for count in counts
    )
    centre = dte.alignment_reference(model).sample.reshape(-1, 3).mean(axis=0)
    assert abs(centre[0] - np.concatenate(lines)[:, 0].mean()) < 8


def test_bundles_of_files_are_counted(bundles):
    names = ["AF", "CST", "CC"]
    model = dte.train(bundles, n_points=32, latent_dim=2, epochs=0, bundles=names)
    assert dte.alignment_reference(model).names == ("AF", "CC", "CST")
    with pytest.raises(dte.InvalidArgumentError, match="`bundles`.*3 tractograms"):
        dte.train(bundles, n_points=32, latent_dim=2, epochs=0, bundles=names[:2])


@pytest.mark.parametrize(
    "options, what",
    [
        (["--align", "none"], "align"),
        (["--subject_by", "brain"], "subject_by"),
        (["--align_to", "missing.trk"], "missing.trk"),
    ],
)
def test_mistakes(files, tmp_path, options, what):
    result = run_command("dipy_train_vae", *files, *options, "--out_dir", tmp_path)
    assert result.code == 2 and what in result.err
    assert not list(tmp_path.glob("*.keras"))
