"""dipy_compare_vae of subjects that were never registered."""

import csv

from flow_data import call_command
from group_data import make_group, train_on
from made_data import make_tractogram
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

import dipy_tractoencoder as dte
from dipy_tractoencoder.align import fit
from dipy_tractoencoder.workflows.compare_files import SubjectGroup, by_subject


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """Write two groups, in one space and in spaces of their own, and transforms."""
    home = tmp_path_factory.mktemp("poses")
    (home / "transforms").mkdir()
    rng = np.random.default_rng(3)
    controls = make_group(0, 6, name="sub-0")
    patients = make_group(1, 1, bend_mm=10, name="sub-9")
    for group, subjects in (("c", controls), ("p", patients)):
        for subject, bundles in subjects.items():
            matrix = np.eye(4)
            matrix[:3, :3] = Rotation.random(random_state=rng).as_matrix()
            matrix[:3, 3] = rng.uniform(-20, 20, 3)
            np.savetxt(home / "transforms" / f"{subject}.txt", matrix)
            back = dte.Alignment(matrix).inverse()
            for bundle, lines in bundles.items():
                for space, moved in (
                    ("one", lines),
                    ("own", [back.apply(line) for line in lines]),
                ):
                    path = home / space / group / subject / f"{subject}_{bundle}.trk"
                    path.parent.mkdir(parents=True, exist_ok=True)
                    dte.save_tractogram(make_tractogram(moved), path)
    dte.save_model(train_on(controls), home / "vae.keras")
    return home


@pytest.fixture
def call(capsys, home, tmp_path, monkeypatch):
    monkeypatch.chdir(home)

    def call(space, *arguments):
        done = call_command(
            *(capsys, "dipy_compare_vae", "vae.keras"),
            *sorted(home.glob(f"{space}/p/*/*.trk")),
            *("--reference_files", *sorted(home.glob(f"{space}/c/*/*.trk"))),
            *("--measure", "displacement", "--n_segments", 20, *arguments),
            *("--out_dir", tmp_path / space),
        )
        rows = []
        if (tmp_path / space / "summary.csv").is_file():
            with open(tmp_path / space / "summary.csv", newline="") as file:
                rows = list(csv.DictReader(file))
        return done, rows

    return call


def test_subjects_in_spaces_of_their_own(call, home, tmp_path):
    done, expected = call("one")
    assert done.code == 0, done.err
    assert "moved_mm" not in expected[0]
    done, found = call("own", "--transform", "transforms/{subject}.txt")
    assert done.code == 0, done.err
    for one, other in zip(expected, found, strict=True):
        assert (one["bundle"], one["subject"]) == (other["bundle"], other["subject"])
        assert one["detected"] == other["detected"]
        assert float(one["bmd"]) == pytest.approx(float(other["bmd"]), abs=0.02)
    assert [row["detected"] for row in found if row["subject"] == "sub-90"] == [
        "yes",
        "no",
    ]
    assert (tmp_path / "own" / "sub-03_transform.json").is_file()


def test_each_is_aligned_once_and_said_to_be_moved(call, home, monkeypatch, tmp_path):
    order = [*(f"sub-0{k}" for k in range(6)), "sub-90"]
    asked = []

    def fit_alignment(reference, streamlines, *, transform, seed):
        known = dte.load_alignment(home / "transforms" / f"{order[len(asked)]}.txt")
        asked.append(streamlines)
        refused = len(asked) == 2
        return dte.Alignment(
            known.matrix,
            transform=transform,
            verdict="refused" if refused else "accepted",
            reasons=("Two poses fit alike.",) if refused else (),
        )

    monkeypatch.setattr(fit, "fit_alignment", fit_alignment)
    names = [home / "one/c/sub-00" / f"sub-00_{name}.trk" for name in ("AF", "CST")]
    reference = tmp_path / "atlas"
    reference.mkdir()
    for path in names:
        (reference / path.name[7:]).write_bytes(path.read_bytes())
    done, rows = call("own", "--align", "rigid", "--align_to", reference)
    assert "moved to the space" in done.out, done.err
    assert len(asked) == 7
    assert done.code == 2
    assert "1 of 6 subjects could not be used" in done.err
    assert {row["subject"] for row in rows} == {
        *(subject for subject in order if subject != "sub-01"),
    }
    assert all(float(row["moved_mm"]) > 0 for row in rows)
    assert {row["alignment"] for row in rows} == {"accepted"}


def test_names_of_outputs_stay_apart(tmp_path):
    paths = [tmp_path / "c" / "01" / "AF.trk", tmp_path / "c" / "02" / "AF.trk"]
    group = SubjectGroup(paths, taken=["01"])
    assert group.written_as == {"01": "reference_01", "02": "02"}
    assert list(group.sort()) == ["01", "02"]
    asked = SubjectGroup(paths, "file")
    assert list(asked.written_as) == ["01_AF", "02_AF"]


def test_entities_name_subjects_and_bundles(tmp_path):
    paths = [
        tmp_path / p
        for p in (
            "sub-1/ses-a/dwi/sub-1_ses-a_AF.trk",
            "sub-1/ses-b/dwi/sub-1_ses-b_AF.trk",
            "sub-2/dwi/AF.trk",
        )
    ]
    assert by_subject(paths) == {
        "sub-1_ses-a": {"AF": paths[0]},
        "sub-1_ses-b": {"AF": paths[1]},
        "sub-2": {"AF": paths[2]},
    }
    # One path without an entity: folders name all, as they always did.
    assert list(by_subject([*paths, tmp_path / "x" / "AF.trk"], "auto")) == [
        "ses-a_dwi",
        "ses-b_dwi",
        "sub-2_dwi",
        "tmp_x" if tmp_path.name == "tmp" else f"{tmp_path.name}_x",
    ]
