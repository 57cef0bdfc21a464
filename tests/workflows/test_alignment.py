"""Subjects of a command, each aligned once with all its files."""

import logging

from made_data import make_bundles, make_tractogram
import numpy as np
import pytest

from dipy_tractoencoder.align import fit
from dipy_tractoencoder.align.alignment import (
    Alignment,
    read_alignment_json,
    save_alignment,
)
from dipy_tractoencoder.align.files import (
    fit_reference_to_files,
    known_bundles,
    known_name,
)
from dipy_tractoencoder.errors import (
    AlignmentError,
    InputFileError,
    InvalidArgumentError,
    OutputFileError,
)
from dipy_tractoencoder.io.sampling import sample_files
from dipy_tractoencoder.io.tractogram import save_tractogram
from dipy_tractoencoder.workflows import alignment_options
from dipy_tractoencoder.workflows.alignment import SubjectAligner
from dipy_tractoencoder.workflows.alignment_options import (
    known_transforms,
    plan_alignment,
)

SHIFT = np.array([[1.0, 0, 0, 40], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])


@pytest.fixture(scope="module")
def brain():
    return make_bundles(np.random.default_rng(5), 6, 40)


@pytest.fixture(scope="module")
def reference(brain):
    return fit.fit_alignment_reference([line for bundle in brain for line in bundle])


@pytest.fixture
def subjects(tmp_path, brain):
    """Write two subjects of three bundles; the second lies elsewhere."""
    paths = []
    for subject, matrix in (("sub-01", np.eye(4)), ("sub-02", SHIFT)):
        (tmp_path / subject).mkdir()
        for k, name in enumerate(("AF", "CST", "UF")):
            path = tmp_path / subject / f"{name}.trk"
            lines = [line for part in (brain[k], brain[k + 3]) for line in part]
            moved = Alignment(matrix).apply(lines)
            save_tractogram(make_tractogram(moved), path)
            paths.append(path)
    return paths


def fitted(monkeypatch, verdict, matrix=SHIFT, **values):
    """Let the fit return a verdict, and count its calls."""
    calls = []

    def fit_alignment(reference, streamlines, *, transform, seed):
        calls.append(streamlines)
        return Alignment(
            np.linalg.inv(matrix),
            transform=transform,
            verdict=verdict,
            reasons=() if verdict == "accepted" else ("Two poses fit alike.",),
            quality={"gap": 1.01},
            **values,
        )

    monkeypatch.setattr(fit, "fit_alignment", fit_alignment)
    return calls


def test_kinds_are_those_of_the_fit():
    assert alignment_options.FITTED == fit.FITTED


def test_check_warns_of_the_subject_elsewhere(subjects, reference, caplog):
    caplog.set_level(logging.INFO)
    aligner = SubjectAligner(reference, subjects)
    found = [aligner.alignment(path) for path in subjects]
    assert [alignment.verdict for alignment in found[::3]] == ["accepted", "uncertain"]
    assert found[0] is found[2] is not found[3]
    assert not any(alignment.moves for alignment in found)
    (warning,) = [r for r in caplog.records if r.levelname == "WARNING"]
    assert "sub-02 (3 files)" in warning.getMessage()
    assert "--align rigid" in warning.getMessage()
    assert [row["subject"] for row in aligner.summary] == ["sub-01", "sub-02"]
    assert aligner.summary[0]["moved_mm"] == 0


def test_subject_is_fitted_once_with_all_its_files(
    subjects, reference, caplog, monkeypatch
):
    caplog.set_level(logging.INFO)
    calls = fitted(monkeypatch, "accepted", left_right="confirmed")
    aligner = SubjectAligner(reference, subjects, align="rigid")
    found = [aligner.alignment(path) for path in subjects]
    assert len(calls) == 2
    assert all(len(lines) == 240 for lines in calls)
    assert found[3] is found[5]
    np.testing.assert_allclose(aligner.summary[1]["moved_mm"], 40)
    text = caplog.text
    assert "moved to the space of the model (rigid) by 40.0 mm: accepted" in text
    assert "left and right confirmed" in text
    assert "fewer than" not in text  # The verdict says it, if it matters.


def test_refused_subject_is_an_error_for_each_of_its_files(
    subjects, reference, monkeypatch
):
    calls = fitted(monkeypatch, "refused")
    aligner = SubjectAligner(reference, subjects, align="affine")
    for path in subjects[3:]:
        with pytest.raises(AlignmentError) as caught:
            aligner.alignment(path)
        text = str(caught.value)
        assert isinstance(caught.value, InputFileError)
        assert text.startswith(f"Cannot use {path}: ")
        for words in ("Two poses fit alike", "gap 1.01", "--transform", "3 files"):
            assert words in text
    assert len(calls) == 1
    alone = SubjectAligner(reference, subjects, align="affine", subject_by="file")
    with pytest.raises(AlignmentError, match="--subject_by folder"):
        alone.alignment(subjects[0])


@pytest.mark.parametrize("verdict", ["refused", "uncertain"])
def test_align_anyway_warns(subjects, reference, monkeypatch, caplog, verdict):
    fitted(monkeypatch, verdict)
    aligner = SubjectAligner(reference, subjects, align="rigid", align_anyway=True)
    assert aligner.alignment(subjects[3]).verdict == verdict
    assert "the alignment may be wrong. Two poses fit alike." in caplog.text


def test_bundles_of_known_names_are_fitted_by_name(
    subjects, tmp_path, brain, monkeypatch, caplog
):
    caplog.set_level(logging.INFO)
    calls = fitted(monkeypatch, "accepted")
    aligner = SubjectAligner(None, subjects, align="rigid", align_to=subjects[:3])
    assert aligner.reference.names in ((), ("AF", "CST", "UF"))
    named = fit.AlignmentReference(
        aligner.reference.centroids,
        aligner.reference.sample,
        1.0,
        1.0,
        100,
        names=("AF", "CST", "other"),
    )
    aligner = SubjectAligner(named, subjects, align="rigid")
    aligner.alignment(subjects[3])
    assert {name: len(lines) for name, lines in calls[-1].items()} == {
        "AF": 80,
        "CST": 80,
    }
    assert "Aligned by 2 bundles that the model knows by name: AF, CST" in caplog.text
    assert known_bundles(sample_files(subjects), ["AF"]) == {}  # A third of all.


def test_off_and_no_reference_leave_everything(subjects, reference, caplog):
    caplog.set_level(logging.INFO)
    assert (
        SubjectAligner(reference, subjects, align="off").alignment(subjects[3]) is None
    )
    assert not caplog.records
    aligner = SubjectAligner(None, subjects)
    assert [aligner.alignment(path) for path in subjects] == [None] * 6
    (record,) = caplog.records
    assert "--align_to" in record.getMessage()
    with pytest.raises(InvalidArgumentError, match="--align_to"):
        SubjectAligner(None, subjects, align="rigid")


def test_reference_of_files(subjects, tmp_path):
    reference = fit_reference_to_files([subjects[0].parent])
    assert reference.n_streamlines == 240
    aligner = SubjectAligner(None, subjects, align_to=str(subjects[0].parent))
    assert aligner.reference.digest == reference.digest
    assert aligner.alignment(subjects[3]).verdict == "uncertain"
    empty = tmp_path / "empty.trk"
    save_tractogram(make_tractogram([]), empty)
    with pytest.raises(InputFileError, match=r"Cannot align to .*empty\.trk"):
        fit_reference_to_files([empty])


def test_files_without_streamlines_are_left_to_the_command(tmp_path, reference, caplog):
    empty, bad, odd = (tmp_path / f"{name}.trk" for name in ("empty", "bad", "odd"))
    save_tractogram(make_tractogram([]), empty)
    bad.write_bytes(empty.read_bytes()[:500])
    for align in ("check", "rigid"):
        assert SubjectAligner(reference, [empty], align=align).alignment(empty) is None
    assert SubjectAligner(reference, [bad]).alignment(bad) is None
    save_tractogram(make_tractogram([np.full((9, 3), np.nan, "f4")] * 2), odd)
    assert SubjectAligner(reference, [odd]).alignment(odd) is None
    with pytest.raises(AlignmentError, match="none of its streamlines"):
        SubjectAligner(reference, [odd], align="rigid").alignment(odd)
    with pytest.raises(InputFileError, match=r"bad\.trk"):
        SubjectAligner(reference, [bad], align="rigid").alignment(bad)


def test_plan_of_outputs(subjects, tmp_path):
    names = ("t.json", "a.png")
    assert plan_alignment(subjects, *names).unused == ("out_transform", "out_alignment")
    plan = plan_alignment(subjects, *names, align="rigid")
    assert plan.unused == ()
    assert plan.parts["out_transform"] == ["sub-01", "sub-02"]
    assert plan_alignment(subjects[:3], *names, align="rigid").parts == {}
    for wrong in ({"align": "none"}, {"align": None}, {"subject_by": "brain"}):
        with pytest.raises(InvalidArgumentError, match=next(iter(wrong))):
            plan_alignment(subjects, *names, **wrong)
    with pytest.raises(InputFileError, match="nowhere"):
        plan_alignment(subjects, *names, align_to=["nowhere.trk"])
    with pytest.raises(OutputFileError, match=r"\.json"):
        plan_alignment(subjects, "t.txt", "a.png")
    with pytest.raises(InvalidArgumentError, match="picture|figure"):
        plan_alignment(subjects, "t.json", "a.trk")
    with pytest.raises(InvalidArgumentError, match="--align rigid"):
        plan_alignment(subjects, *names, align="rigid", transform="x.json")


def test_outputs_are_written_once_per_subject(
    subjects, reference, tmp_path, monkeypatch
):
    fitted(monkeypatch, "accepted")
    aligner = SubjectAligner(reference, subjects, align="rigid")
    outputs = {
        "out_transform": {s: tmp_path / f"{s}.json" for s in ("sub-01", "sub-02")}
    }
    aligner.write(subjects[0], outputs)  # Not aligned so far.
    assert not (tmp_path / "sub-01.json").exists()
    for path in subjects:
        aligner.alignment(path)
        aligner.write(path, outputs)
    found = read_alignment_json(tmp_path / "sub-02.json")
    assert found.transform == "rigid"
    np.testing.assert_array_equal(found.matrix, np.linalg.inv(SHIFT))
    (tmp_path / "sub-02.json").unlink()
    aligner.write(subjects[5], outputs)
    assert not (tmp_path / "sub-02.json").exists()


def test_a_known_transform_can_be_inverted_as_with_ants(subjects, reference, tmp_path):
    np.savetxt(tmp_path / "affine.txt", SHIFT)
    np.savetxt(tmp_path / "[odd,1]", SHIFT)
    for given, matrix in (
        ("affine.txt", SHIFT),
        ("[affine.txt,0]", SHIFT),
        ("[affine.txt, 1]", np.linalg.inv(SHIFT)),
        ("[odd,1]", SHIFT),
    ):
        inside, path = given.startswith("[aff"), str(tmp_path / given)
        path = f"[{tmp_path}/{given[1:]}" if inside else path
        aligner = SubjectAligner(reference, subjects[3:], transform=path)
        np.testing.assert_allclose(aligner.alignment(subjects[3]).matrix, matrix)
        plan = plan_alignment(subjects[3:], "t.json", "a.png", transform=path)
        name = "affine.txt" if inside else given
        assert plan.read == (str(tmp_path / name),)
    with pytest.raises(InputFileError, match=r"nowhere\.txt"):
        SubjectAligner(reference, subjects[3:], transform="[nowhere.txt,1]")


def test_known_transforms(subjects, reference, tmp_path, caplog):
    caplog.set_level(logging.INFO)
    home = Alignment(np.linalg.inv(SHIFT))
    for subject, alignment in (("sub-01", Alignment(np.eye(4))), ("sub-02", home)):
        save_alignment(alignment, tmp_path / f"{subject}.json")
    pattern = tmp_path / "{subject}.json"
    plan = plan_alignment(subjects, "t.json", "a.png", transform=pattern)
    assert set(plan.read) == {str(tmp_path / f"sub-0{k}.json") for k in (1, 2)}
    aligner = SubjectAligner(reference, subjects, transform=pattern)
    found = [aligner.alignment(path) for path in subjects]
    assert [a.verdict for a in found] == ["accepted"] * 6
    np.testing.assert_allclose(found[4].matrix, home.matrix)
    with pytest.raises(InvalidArgumentError, match="of one subject.*sub-01, sub-02"):
        known_transforms(tmp_path / "sub-01.json", ["sub-01", "sub-02"])
    with pytest.raises(InputFileError, match=r"sub-03\.json"):
        known_transforms(pattern, ["sub-01", "sub-03"])
    wrong = SubjectAligner(reference, subjects[:3], transform=tmp_path / "sub-02.json")
    assert wrong.alignment(subjects[0]).verdict == "uncertain"
    assert "the alignment may be wrong" in caplog.text
    assert "inverse" not in caplog.text
    np.savetxt(tmp_path / "back.txt", SHIFT)
    SubjectAligner(reference, subjects[3:], transform=tmp_path / "back.txt").alignment(
        subjects[3]
    )
    assert "inverse of the transform brings them there" in caplog.text
    off = SubjectAligner(reference, subjects, align="off", transform=pattern)
    assert off.alignment(subjects[3]).moves


def test_mirrored_transform_warns(subjects, tmp_path, caplog):
    save_alignment(Alignment(np.diag([-1.0, 1, 1, 1])), tmp_path / "m.json")
    reference = fit_reference_to_files(subjects[:3])
    aligner = SubjectAligner(reference, subjects[:3], transform=tmp_path / "m.json")
    assert aligner.alignment(subjects[0]).mirrors
    assert "exchanges left and right (determinant -1)" in caplog.text


def test_files_of_bundles_may_begin_with_their_subject():
    names = ["AF_L", "L", "CST"]
    expected = {"AF_L": "AF_L", "sub-01_AF_L": "AF_L", "x_L": "L", "CST2": None}
    assert {stem: known_name(stem, names) for stem in expected} == expected
    assert known_name("AF", ()) is known_name("AF_", ["", "F"]) is None
