"""dipy_compare_vae, from files to tables and picture, and what it says of bad input."""

import csv

from flow_data import ROOT, assert_refused, call_command, files_below, run_python
from group_data import make_group, train_on
from made_data import make_tractogram
import numpy as np
import pytest
from slow import slow

from dipy_tractoencoder import load_tractogram, save_model, save_tractogram
from dipy_tractoencoder.errors import InputFileError
from dipy_tractoencoder.stats.comparison import compare
from dipy_tractoencoder.workflows.compare_files import by_subject

NAME = "dipy_compare_vae"
OUTPUTS = ["comparison.png", "profiles.csv", "summary.csv"]


def save_group(folder, group, prefix=False):
    for subject, bundles in group.items():
        (folder / subject).mkdir(parents=True)
        for bundle, lines in bundles.items():
            name = f"{subject}_{bundle}.trk" if prefix else f"{bundle}.trk"
            save_tractogram(make_tractogram(lines), folder / subject / name)


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """Folder of eight controls, two patients (one bent), bad files, and a model."""
    home = tmp_path_factory.mktemp("study of it")
    controls = make_group(0, 8)
    save_group(home / "controls", controls)
    save_group(
        home / "patients", make_group(1, 1, bend_mm=10, name="bent"), prefix=True
    )
    save_group(home / "patients", make_group(2, 1, name="well"))
    lines = controls["c0"]["AF"]
    bad = home / "bad"
    for folder in ("few", "nan", "cut", "other", "empty"):
        (bad / folder).mkdir(parents=True)
    save_tractogram(make_tractogram(lines[:9]), bad / "few" / "AF.trk")
    broken = [line * np.float32(np.nan) for line in lines[:25]] + lines[25:]
    save_tractogram(make_tractogram(broken), bad / "nan" / "AF.trk")
    save_tractogram(make_tractogram(lines), bad / "other" / "OR.trk")
    save_tractogram(make_tractogram(lines)[:0], bad / "empty" / "AF.trk")
    whole = (bad / "other" / "OR.trk").read_bytes()
    (bad / "cut" / "AF.trk").write_bytes(whole[:2000])
    save_model(train_on(controls), home / "vae.keras")
    return home


@pytest.fixture
def here(home, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def call(capsys, home, here):
    """Run the command in this process, with all controls unless others are given."""

    def call(*arguments, model=home / "vae.keras", reference=None):
        if reference is None:
            reference = sorted(home.glob("controls/*/*.trk"))
        reference = ["--reference_files", *reference] if reference else []
        return call_command(
            capsys,
            NAME,
            model,
            *arguments,
            *reference,
            *([] if "--n_dims" in arguments else ["--n_dims", 3]),
            "--out_dir",
            "o",
        )

    return call


@pytest.fixture
def refuses(call, home, here):
    def refuses(*arguments, says=(), **options):
        before = files_below(home), files_below(here)
        assert_refused(call(*arguments, **options), *says)
        assert (files_below(home), files_below(here)) == before

    return refuses


def read_table(path):
    with open(path, encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_tables_and_picture(home, here, call):
    result = call(*sorted(home.glob("patients/*/*.trk")))
    assert result.code == 0, result.err
    assert sorted(path.name for path in (here / "o").iterdir()) == OUTPUTS
    profiles = read_table(here / "o" / "profiles.csv")
    assert len(profiles) == 2 * (8 + 2) * 100
    assert list(profiles[0]) == [
        "bundle",
        "subject",
        "group",
        "disk",
        "residual_mm",
        "z",
        "p",
        "p_fdr",
    ]
    summary = {
        (r["bundle"], r["subject"]): r for r in read_table(here / "o/summary.csv")
    }
    names = {*(f"c{i}" for i in range(8)), "bent0", "well0"}
    assert set(summary) == {(b, s) for b in ("AF", "CST") for s in names}
    bent = summary["AF", "bent0"]
    assert bent["detected"] == "yes" and bent["group"] == "1"
    assert 40 <= int(bent["disk"]) <= 60
    assert summary["AF", "well0"]["detected"] == "no"
    assert summary["AF", "c0"]["group"] == "0"
    for name in OUTPUTS:
        assert f"o/{name}" in result.out
    assert "bent0" in result.out and "reference group of 8 subjects" in result.out


def test_command_and_library_agree(home, here, call):
    from dipy_tractoencoder import load_model

    assert call(home / "patients/bent0/bent0_AF.trk").code == 0

    def read(path):
        return load_tractogram(path)

    controls = {f"c{i}": {"AF": home / f"controls/c{i}/AF.trk"} for i in range(8)}
    patients = {"bent0": {"AF": home / "patients/bent0/bent0_AF.trk"}}
    model = load_model(home / "vae.keras")
    expected = compare(model, controls, patients, n_dims=3, read=read).profile_rows()
    rows = read_table(here / "o" / "profiles.csv")
    for row, other in zip(rows, expected, strict=True):
        assert {k: str(v) for k, v in other.items()} == row


def test_options_reach_the_library(home, here, call):
    options = ("--measure", "displacement", "--n_segments", 20, "--max_streamlines", 12)
    options += ("--alpha", 1e-9, "--out_profiles", "a.csv")
    assert call(home / "patients/bent0/bent0_AF.trk", *options).code == 0
    rows = read_table(here / "o" / "a.csv")
    assert len(rows) == 9 * 20 and "displacement_mm" in rows[0]
    summary = read_table(here / "o" / "summary.csv")
    assert {row["n_streamlines"] for row in summary} == {"12"}
    assert {row["detected"] for row in summary} == {"no"}


@slow
def test_the_real_command(home, tmp_path):
    result = run_python(
        ROOT / "bin" / NAME, "vae.keras", "patients/*/*CST.trk",
        "--reference_files", "controls/*/CST.trk", "--out_dir", tmp_path / "o",
        cwd=home,
    )  # fmt: skip
    assert result.code == 0, result.err
    assert sorted(path.name for path in (tmp_path / "o").iterdir()) == OUTPUTS


def test_names_of_subjects_and_bundles(tmp_path):
    paths = [tmp_path / p for p in ("s1/AF_L.trk", "s1/s1_CST_R.trx", "s2/s1_AF.tck")]
    assert by_subject(paths) == {
        "s1": {"AF_L": paths[0], "CST_R": paths[1]},
        "s2": {"s1_AF": paths[2]},
    }
    with pytest.raises(InputFileError, match=r"AF\.trk and .*AF\.trx.*subject s1"):
        by_subject([tmp_path / "s1/AF.trk", tmp_path / "s1/AF.trx"])


def test_bad_groups(home, refuses):
    patient = home / "patients/well0/AF.trk"
    refuses(patient, reference=[], says=["--reference_files"])
    four = sorted(home.glob("controls/c[0-3]/AF.trk"))
    refuses(patient, reference=four, says=["4 subjects with AF", "at least 5"])
    refuses(patient, reference=["no/*.trk"], says=["no/*.trk"])
    refuses(home / "bad/other/OR.trk", says=["no bundle OR", "AF, CST"])
    refuses(patient, patient, says=["twice"])
    refuses(home / "controls/c1/AF.trk", says=["c1/AF.trk", "both groups"])


@pytest.mark.parametrize(
    "file, says",
    [
        ("few", ["few/AF.trk", "9 ", "10"]),
        ("nan", ["nan/AF.trk", "5 ", "25 non_finite"]),
        ("empty", ["empty/AF.trk", "0 "]),
        ("cut", ["cut/AF.trk", "damaged"]),
    ],
)
def test_bad_files(home, refuses, file, says):
    refuses(home / "bad" / file / "AF.trk", says=says)
    controls = sorted(home.glob("controls/*/AF.trk"))
    bad = [*controls, home / "bad" / file / "AF.trk"]
    refuses(home / "patients/well0/AF.trk", reference=bad, says=says)


@pytest.mark.parametrize(
    "options, says",
    [
        (["--measure", "fa"], ["measure", "residual, error", "fa"]),
        (["--n_dims", -1], ["n_dims"]),
        (["--n_segments", 4], ["n_segments"]),
        (["--alpha", 0], ["alpha"]),
        (["--max_streamlines", 9], ["max_streamlines"]),
        (["--seed", -1], ["seed"]),
        (["--out_figure", "a.txt"], ["a.txt", ".png"]),
        (["--out_summary", "a.csv", "--out_profiles", "a.csv"], ["a.csv"]),
    ],
)
def test_bad_options(home, refuses, options, says):
    refuses(home / "patients/well0/AF.trk", *options, says=says)


def test_existing_outputs_and_inputs_are_kept(home, here, refuses):
    (here / "o").mkdir()
    (here / "o" / "summary.csv").write_text("precious")
    refuses(home / "patients/well0/AF.trk", says=["summary.csv", "--force"])


def test_broken_model(home, refuses):
    says = ["AF.trk", "not a model"]
    refuses(home / "patients/well0/AF.trk", model=home / "bad/few/AF.trk", says=says)
