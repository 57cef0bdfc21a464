"""The study's script: what it refuses, what it keeps, what its tables say."""

import csv
import json
from pathlib import Path
import subprocess
import sys

import numpy as np
import pytest
from slow import slow, slow_but

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
SCRIPT = BENCHMARKS / "fibercup_study.py"


@pytest.fixture
def study_modules(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))


def run(*arguments, cwd):
    return subprocess.run(
        [sys.executable, str(SCRIPT), *map(str, arguments)],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=300,
    )


@pytest.mark.parametrize(
    "option, value, message",
    slow_but(
        [
            ("--only", "headlines", "unknown sections ['headlines']"),
            ("--data", "sub_9", "unknown data ['sub_9']"),
            ("--out_dir", "file", "file is a file"),
            ("--work_dir", "file", "file is a file"),
        ],
        "--only",
    ),
)
def test_bad_input(option, value, message, tmp_path):
    (tmp_path / "file").write_text("precious")
    result = run("--quick", option, value, cwd=tmp_path)
    assert result.returncode == 2
    assert message in result.stderr and "Traceback" not in result.stderr
    assert (tmp_path / "file").read_text(encoding="utf-8") == "precious"


def test_every_run_has_its_own_name_and_data(study_modules):
    from study_rows import study_runs

    from dipy_tractoencoder.training.settings import TrainingSettings

    runs = study_runs()
    headline = [r for r in runs.values() if r["section"] == "headline"]
    # Five models, two lengths; three seeds on the phantom, five subjects left out.
    # Two lengths, but for slow rows on bundles and of further seeds.
    assert len(headline) == 2 * 2 * (3 + 5) + 3 * (2 + 2 + 5)
    contents = {json.dumps(run, sort_keys=True) for run in runs.values()}
    assert len(contents) == len(runs)
    for run_ in runs.values():
        TrainingSettings(**run_["settings"])  # Known names, legal values.
        if "snapshot" in run_:
            shorter = dict(runs[run_["snapshot"]]["settings"])
            assert shorter.pop("epochs") < run_["settings"]["epochs"]
            rest = {k: v for k, v in run_["settings"].items() if k != "epochs"}
            assert shorter == rest and not shorter["rate_schedule"]


@slow
def test_what_has_run_is_not_run_again(tmp_path, study_modules):
    from study_rows import study_runs

    names = list(study_runs(quick=True))
    result = run("--quick", "--list", cwd=tmp_path)
    assert result.stdout.splitlines() == names
    work_dir = tmp_path / "build/quick/runs"
    work_dir.mkdir(parents=True, exist_ok=True)
    (work_dir / f"{names[0]}.json").write_text("{}")
    result = run("--quick", "--list", cwd=tmp_path)
    assert result.stdout.splitlines() == names[1:]
    result = run("--quick", "--list", "--data", "sub_5", cwd=tmp_path)
    assert result.stdout.splitlines() == [n for n in names if "sub_5" in n]


def made_run(section, row, error, *, data="phantom", seed=0, **settings):
    """Make what a run leaves behind, with made-up figures."""
    figures = {
        "error_mm": error,
        "spearman": 0.96,
        "accuracy": 1.0,
        "length_r2": 0.9,
        "length_r2_squares": 0.99,
        "new_mdf_mm": 1.0,
        "held_out_mdf_mm": 1.0,
    }
    if section != "baselines":
        figures.update(finite=True, train_error_mm=1.0, training_mode_error_mm=1.02)
    settings = {"seed": seed, **settings} if section != "baselines" else {}
    return {
        "section": section,
        "data": data,
        "row": row,
        "settings": settings,
        "figures": figures,
        "versions": {"backend": "made up"},
    }


def test_tables_and_bars(tmp_path, study_modules):
    from study_tables import collect, find, write_tables

    runs = [
        made_run("baselines", "PCA, latent_dim=6", 1.0),
        made_run("baselines", "PCA, latent_dim=32", 0.1),
        made_run("latent_dim", "latent_dim=6", 0.25, latent_dim=6, epochs=50),
        *(made_run("headline", "VAE", e, seed=s, epochs=50) for s, e in [(0, 0.1)]),
        *(
            made_run("headline", "GSoC VAE", e, seed=s, epochs=50)
            for s, e in enumerate((2.0, 3.0, 4.0))
        ),
    ]
    runs[-1]["figures"]["finite"] = False
    runs[-1]["figures"]["diverged"] = "the loss is nan"
    for number, item in enumerate(runs):
        (tmp_path / f"{number}.json").write_text(json.dumps(item))
    rows, read = collect(tmp_path)
    assert len(read) == len(runs) and len(rows) == 5
    gsoc = find(rows, "phantom", "headline", "GSoC VAE", 50)
    assert gsoc["error_mm"] == pytest.approx(3.0)
    assert find(rows, "phantom", "headline", "GSoC VAE", 120) is None
    out_dir = tmp_path / "out"
    out_dir.mkdir()
    write_tables(tmp_path, out_dir)
    with open(out_dir / "fibercup_study.csv", encoding="utf-8") as file:
        table = list(csv.DictReader(file))
    row = next(r for r in table if r["row"] == "GSoC VAE")
    assert float(row["error_mm"]) == pytest.approx(3.0)
    assert float(row["error_mm_sd"]) == pytest.approx(1.0)
    text = (out_dir / "fibercup_study.rst").read_text(encoding="utf-8")
    assert '"GSoC VAE (diverged)","50","3","3 ± 1"' in text
    headline = text.split(".. csv-table::")[1]
    lines = map(str.strip, headline.splitlines()[3:5])
    heads, row = csv.reader(lines)
    assert len(heads) == len(row)  # No comma of a heading parts it in two.
    # PCA with as many dimensions stands beside each table, other sizes do not.
    assert "PCA, latent_dim=32" in headline and "latent_dim=6" not in headline
    asked = {
        line.split('"')[1]: line.split('"')[-2]
        for line in text.splitlines()
        if line.startswith('   "') and line.count('"') == 8
    }
    assert asked["error, VAE-32 to PCA-32, 50 epochs"] == "yes"
    assert asked["error, VAE-32 to GSoC, 50 epochs"] == "yes"
    assert asked["error, VAE-6 to PCA-6"] == "yes"
    assert asked["length R2, VAE-6"] == "**no**"
    assert asked["trainings with a non-finite value, ours, of 2"] == "yes"
    assert asked["trainings with a non-finite value, all, of 5"] == "**no**"


def test_changed_constants_are_put_back(study_modules):
    from study_measures import changed_constants

    from dipy_tractoencoder.nn import architecture

    before = architecture.DENSE_UNITS
    with (
        pytest.raises(RuntimeError),
        changed_constants({"nn.architecture.DENSE_UNITS": (8,)}),
    ):
        assert architecture.DENSE_UNITS == (8,)
        raise RuntimeError
    assert architecture.DENSE_UNITS == before


def test_leaving_one_subject_out_keeps_the_fifth_apart(study_modules):
    from study_data import bundles_without

    data = bundles_without("sub_2")
    sizes = {name: len(data[name][0]) for name in ("train", "test")}
    assert sizes["train"] == 4 * sizes["test"] == 600
    assert len(data["test"][1]) == sizes["test"]
    assert "sub_2" not in data["training"]["groups"]
    test = {np.asarray(line).tobytes() for line in data["test"][0]}
    assert not test & {np.asarray(line).tobytes() for line in data["train"][0]}


def test_figures_are_drawn_from_what_there_is(tmp_path, study_modules):
    from study_figures import write_figures

    history = {
        name: [2.0, 1.0]
        for name in ("loss", "error_mm", "val_error_mm", "kl_nats", "kl_weight")
    }
    rng = np.random.default_rng(0)
    points = rng.normal(size=(20, 256, 3)) * 20 + 80
    (tmp_path / "runs").mkdir()
    (tmp_path / "examples").mkdir()
    for epochs in (50, 120):
        name = f"headline-phantom-VAE-epochs={epochs}-seed=0"
        item = made_run("headline", "VAE", 0.1, epochs=epochs)
        item["figures"]["kl_per_dimension"] = [3.0, 1.0]
        path = tmp_path / "runs" / f"{name}.json"
        path.write_text(json.dumps({**item, "history": history}))
        np.savez(
            tmp_path / "examples" / f"{name}.npz",
            points=points,
            reconstructed=points + 1,
            latent=rng.normal(size=(20, 2)),
            labels=np.arange(20) % 7,
            length=np.arange(20.0),
        )
    item = made_run(
        "kl_annealing",
        "latent_dim=6, kl_annealing=warmup",
        0.1,
        **{"kl_annealing": "warmup", "epochs": 2},
    )
    path = tmp_path / "runs" / "annealing.json"
    path.write_text(json.dumps({**item, "history": history}))
    item = made_run("baselines", "PCA, latent_dim=6", 1.0)
    (tmp_path / "runs" / "pca.json").write_text(json.dumps(item))
    write_figures(tmp_path / "runs", tmp_path / "examples", tmp_path / "figures")
    drawn = {path.name for path in (tmp_path / "figures").iterdir()}
    assert drawn == {
        f"fibercup_{name}.png"
        for name in (
            "reconstruction",
            "latent_pca",
            "kl_per_dimension",
            "annealing",
            "dimensions",
        )
    }
