"""Reports: warnings in plain words, and pages that need nothing else."""

import base64
from html.parser import HTMLParser
import io
import re
import shlex

from flow_data import assert_refused, call_command, files_below, run_command
from made_data import make_tractogram
from matplotlib.figure import Figure
from matplotlib.image import imread
import numpy as np
import pytest

from dipy_tractoencoder import save_model, save_tractogram
from dipy_tractoencoder.errors import InvalidArgumentError
from dipy_tractoencoder.evaluation.diagnostics import batch_statistics_error
from dipy_tractoencoder.report.data_checks import (
    Check,
    applicable,
    few_held_out,
    few_per_bundle,
    few_streamlines,
    rejects,
)
from dipy_tractoencoder.report.model_checks import (
    collapse,
    overfitting,
    pca_kept,
    statistics,
    unfamiliar,
    unsettled,
    worse_than_pca,
)
from dipy_tractoencoder.report.page import (
    Report,
    Section,
    Table,
    check_report_extension,
    format_cell,
    picture,
    picture_of_file,
    render_report,
    save_report,
)
from dipy_tractoencoder.report.parts import settings_tables
from dipy_tractoencoder.report.training import training_report
from dipy_tractoencoder.training.fit import run_training

VILE = "<script>alert(1)</script>"
VOID = {"meta", "img", "br", "link", "input", "hr"}


class Page(HTMLParser):
    """What a browser would make of a page: tags with attributes, and text."""

    def __init__(self, page):
        super().__init__()
        self.tags, self.open, self.text, self.scripts = [], [], [], []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        inside = self.open[-1] if self.open else ""
        if inside == "script":
            self.scripts.append(data)
        elif inside != "style":
            self.text.append(data)

    def all(self, tag):
        return [attrs for name, attrs in self.tags if name == tag]

    @property
    def words(self):
        return " ".join(" ".join(self.text).split())


def assert_self_contained(page):
    """Check that nothing of a page is loaded from elsewhere, and all is closed."""
    parsed = Page(page)
    assert parsed.open == []
    names = {name for name, _ in parsed.tags}
    assert not names & {"link", "iframe", "object", "embed", "base", "form", "video"}
    assert len(parsed.scripts) == 1
    for tag, attrs in parsed.tags:
        assert not {"srcset", "poster", "data", "background"} & set(attrs)
        assert not [name for name in attrs if name.startswith("on")]
        if "src" in attrs:
            assert tag == "img"
            assert attrs["src"].startswith(("data:image/png;", "data:image/svg+xml;"))
        if "href" in attrs:
            assert attrs["href"].startswith("#")
    (style,) = re.findall(r"<style>(.*?)</style>", page, flags=re.S)
    assert "url(" not in style and "@import" not in style
    assert "fetch(" not in parsed.scripts[0] and "http" not in parsed.scripts[0]
    policy = next(m["content"] for m in parsed.all("meta") if "content" in m and
                  m.get("http-equiv") == "Content-Security-Policy")  # fmt: skip
    assert "default-src 'none'" in policy
    return parsed


@pytest.fixture(scope="module")
def run(bundles):
    """Train on a few streamlines with validation; two others are left out."""
    broken = [bundles[2][0][:1], np.full((5, 3), np.nan, dtype=np.float32)]
    tractograms = [bundles[0], bundles[1], [*bundles[2], *broken]]
    return run_training(
        tractograms,
        n_points=32,
        latent_dim=3,
        epochs=4,
        batch_size=16,
        validation_fraction=0.25,
    )


@pytest.fixture(scope="module")
def report(run):
    return training_report(
        run,
        name="out/vae.keras",
        files=["a.trk", f"{VILE}.trk", "c & d.trk"],
        command=shlex.join(["dipy_train_vae", "a.trk", f"{VILE}.trk", "c & d.trk"]),
    )


# Warnings

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
    ("loud", "says", "silent"),
    [
        (
            collapse([1, 0.001, 1], [3.0, 2.0, 1.0]),
            ["1 of 3", "(z[1])", "2 dimensions"],
            collapse([1, 0.02, 1], [3.0, 2.0, 0.02]),
        ),
        (
            collapse([1, 1, 1], [3.0, 0.001, 0.002]),
            ["2 of 3", "(z[1], z[2])"],
            collapse([0.011], [0.011]),
        ),
        (
            collapse([0, 0], [0.0, 0.0]),
            ["All latent dimensions"],
            collapse([1, 1], [1.0, 1.0]),
        ),
        (
            overfitting(RISING),
            ["epoch 2", "4 mm", "25%", "to 1 mm"],
            overfitting(FALLING),
        ),
        (
            overfitting(RISING),
            ["held-out"],
            # Both rise: that is another trouble.
            overfitting({**RISING, "error_mm": [5, 4, 4.5, 4.8, 5.0]}),
        ),
        (
            overfitting({**RISING, "val_error_mm": [5, 4, 4.2, 4.2, 4.41]}),
            ["10%"],
            overfitting({**RISING, "val_error_mm": [5, 4, 4.2, 4.2, 4.39]}),
        ),
        (
            unsettled(FALLING, 5, 5, PLENTY),
            ["5 of 5", "33%", "over the last 1 epochs"],
            unsettled(FLAT, 5, 5, PLENTY),
        ),
        (
            unsettled(FALLING, 5, 5, PLENTY),
            ["still getting better"],
            unsettled(FALLING, 3, 5, PLENTY),  # An earlier epoch was kept.
        ),
        (
            unsettled({**HIDDEN, **SCHEDULE}, 5, 5, PLENTY),
            ["7%", "over the last 2 epochs"],
            unsettled(HIDDEN, 5, 5, PLENTY),  # A constant rate hides nothing.
        ),
        (
            unsettled({"error_mm": [9, 5, 1.0]}, 3, 3, PLENTY),
            ["training streamlines"],
            unsettled({"error_mm": [1, 1, 1.0]}, 3, 3, PLENTY),
        ),
        (
            unsettled(FLAT, 2, 5, 40),
            ["40 steps"],
            unsettled(FLAT, 2, 5, 100),
        ),
        (statistics(5.0, 1.0), ["5 mm", "1 mm"], statistics(1.05, 1.0)),
        (statistics(1.2, 1.0), ["1.2 mm"], statistics(1.0, 5.0)),
        (statistics(0.2, 0.1), ["0.2 mm"], statistics(0.009, 0.001)),
        (
            few_streamlines(600, 32),
            ["600 streamlines", "32 dimensions"],
            few_streamlines(960, 32),
        ),
        (few_streamlines(1, 1), ["1 streamline for 1 d"], few_streamlines(30, 1)),
        (few_held_out(0), ["No streamline was held out"], few_held_out(30)),
        (few_held_out(29), ["29 streamlines"], few_held_out(31)),
        (
            few_per_bundle({"AF": 3, "CST": 19, "UF": 20}),
            ["2 of 3 bundles: AF (3), CST (19)"],
            few_per_bundle({"AF": 20, "CST": 50}),
        ),
        (
            rejects(100, {"non_finite": 6, "too_short": 10}),
            ["16 of 100", "(16%)", "6 have coordinates that are not finite"],
            rejects(100, {"non_finite": 5, "too_short": 50}),
        ),
        (
            rejects(100, {"too_long": 51}),
            ["51 are longer than max_length"],
            rejects(100, {}),
        ),
        (
            pca_kept(0, 100, True),
            ["the model is PCA"],
            pca_kept(1, 100, True),
        ),
        (
            pca_kept(0, 0, True),
            ["No epoch of training was asked for", "is PCA"],
            pca_kept(1, 1, True),
        ),
        (
            worse_than_pca({"AF": (1.03, 1.0), "CST": (3.0, 1.0), "UF": (1, 1)}, True),
            ["CST (3 mm, PCA 1 mm), AF (1.03 mm, PCA 1 mm)."],
            worse_than_pca({"AF": (1.019, 1.0)}, True),
        ),
        (unfamiliar(3.1, 2.0), ["3.1 mm", "2 mm"], unfamiliar(3.0, 2.0)),
    ],
)  # fmt: skip
def test_each_check_warns_and_stays_silent(loud, says, silent):
    assert loud.found and loud.advice and loud.rule
    for words in says:
        assert words in loud.found
    assert silent.name == loud.name
    assert silent.found == "" == silent.advice
    assert silent.rule


@pytest.mark.parametrize(
    "nothing",
    [
        collapse([0, 0], None),
        overfitting({"error_mm": [3, 2, 1]}),
        overfitting({key: values[:2] for key, values in RISING.items()}),
        overfitting({}),
        unsettled({}, 0, 0, 0),
        few_per_bundle({}),
        rejects(0, {}),
        pca_kept(0, 100, False),
        pca_kept(0, 0, False),
        worse_than_pca({}, True),
        unfamiliar(1.0, None),
    ],
)
def test_checks_with_nothing_to_look_at(nothing):
    assert nothing is None
    assert applicable(nothing, Check("a", "b")) == (Check("a", "b"),)


def test_advice_depends_on_what_was_done():
    errors = {"all": (2.0, 1.0)}
    assert "Train with the linear skip" in worse_than_pca(errors, False).advice
    assert "linear skip" not in worse_than_pca(errors, True).advice
    assert "--epochs 15" in unsettled(FALLING, 5, 5, PLENTY).advice
    assert "--epochs 38" in unsettled(FLAT, 2, 5, 40).advice
    assert "20 dimensions" in few_streamlines(600, 32).advice
    assert "dimensions" not in few_streamlines(20, 32).advice
    assert "of all streamlines" in pca_kept(0, 9, True, refit=True).found


def test_many_names_are_cut_short():
    found = few_per_bundle({f"b{n}": n for n in range(12)}).found
    assert "b4 (4) and 7 more" in found


# Pages


def test_cells():
    assert [
        format_cell(value)
        for value in (None, 0.0, 1.5, 5.996, 0.05, 1e-5, 1234.5, 12345, True, "x", [])
    ] == [
        "–",
        "0",
        "1.50",
        "6.00",
        "0.0500",
        "1e-05",
        "1,234",
        "12,345",
        "yes",
        "x",
        "–",
    ]
    assert format_cell(float("nan")) == "–"
    assert format_cell(float("inf")) == "inf"
    assert format_cell(100.0) == "100"
    assert format_cell(-7.66) == "-7.66"


def test_columns_of_numbers_are_told_from_text():
    table = Table("t", ("a", "b", "c"), [("x", 1, 1.0), ("y", None, "none")])
    assert table.of_numbers == [False, True, False]
    assert Table("t", ("a", "b"), []).of_numbers == [False, False]


def test_everything_is_escaped():
    vile = f"{VILE}\"'><img src=x onerror=alert(1)>&amp;"
    page = render_report(
        Report(
            title=vile,
            summary=(vile,),
            checks=(Check(vile, vile, vile, vile), Check(vile, vile)),
            command=vile,
            facts=((vile, vile), ("n", [vile])),
            sections=(
                Section(
                    vile,
                    (
                        vile,
                        Table(vile, (vile,), [(vile,)], note=vile),
                        Table(vile, (vile,), [(vile,)], note=vile, folded=True),
                        picture(Figure(), vile, vile),
                    ),
                ),
            ),
        )
    )
    parsed = assert_self_contained(page)
    assert len(parsed.all("img")) == 1
    assert parsed.all("img")[0]["alt"] == vile
    assert parsed.words.count(vile) >= 20
    assert VILE not in page


def test_no_warning_and_no_command_are_said():
    quiet = (Check("One", "it is one."), Check("Two", "it is two."))
    page = Page(render_report(Report(title="t", summary=("s",), checks=quiet)))
    assert "2 checks were done, and found nothing to warn of." in page.words
    assert "One nothing found it is one." in page.words
    assert "Warnings (none)" in page.words
    assert "run from Python" in page.words
    assert not page.all("button")


def test_file_names_that_are_no_text(tmp_path):
    odd = b"a\xff.trk".decode("utf-8", "surrogateescape")
    save_report(Report(title=odd, summary=()), tmp_path / "r.html")
    assert "a\\udcff.trk" in (tmp_path / "r.html").read_text(encoding="utf-8")


def test_extension_is_checked(tmp_path):
    for name in ("r.html", "R.HTML", "r.htm"):
        check_report_extension(tmp_path / name)
    for name in ("r.pdf", "r", "r.html.txt", ""):
        with pytest.raises(InvalidArgumentError, match="a report ends in .html"):
            check_report_extension(name)
    with pytest.raises(InvalidArgumentError):
        save_report(Report(title="t", summary=()), tmp_path / "r.txt")
    assert not list(tmp_path.iterdir())


def test_pictures_lie_in_the_page(tmp_path):
    figure = Figure(figsize=(2, 1))
    figure.subplots().plot([0, 1])
    for vector, head, kind in (
        (False, b"\x89PNG", "image/png"),
        (True, b"<?xml", "image/svg+xml"),
    ):
        shown = picture(figure, "a line", vector=vector)
        address, content = shown.source.split(",")
        assert address == f"data:{kind};base64"
        assert base64.b64decode(content).startswith(head)
    figure.savefig(tmp_path / "a.png")
    kept = picture_of_file(tmp_path / "a.png", "a line", "A")
    content = base64.b64decode(kept.source.split(",")[1])
    before, after = imread(tmp_path / "a.png"), imread(io.BytesIO(content))
    assert before.shape[:2] == after.shape[:2]
    assert np.abs(before[..., :3] - after[..., :3]).max() < 0.1
    figure.savefig(tmp_path / "a.svg")
    kept = picture_of_file(tmp_path / "a.svg", "a line")
    content = base64.b64decode(kept.source.split(",")[1])
    assert content == (tmp_path / "a.svg").read_bytes()
    assert picture_of_file(tmp_path / "a.pdf", "a line") is None


def test_settings_that_differ_come_first():
    settings = {"epochs": 3, "seed": 0, "learning_rate": 0.123456, "files": ["a", "b"]}
    defaults = {"epochs": 100, "seed": 0, "learning_rate": None, "files": None}
    changed, every = settings_tables(settings, defaults)
    assert [tuple(row) for row in changed.rows] == [
        ("epochs", "3", "100"),
        ("learning_rate", "0.123456", "none"),
        ("files", "a b", "none"),
    ]
    assert len(every.rows) == 4 and every.folded
    # Truth values are told from numbers that equal them.
    settings = {"kl_weight": 1.0, "clip_norm": 1, "min_length": 0.0, "refit": True}
    changed, every = settings_tables(settings, {**settings, "kl_weight": 0.5})
    assert [tuple(row) for row in changed.rows] == [("kl_weight", "1.0", "0.5")]
    assert [row[1] for row in every.rows] == ["1.0", "1", "0.0", "yes"]
    text, every = settings_tables(defaults, defaults)
    assert text == "All settings are the defaults."


# Of a training


def test_report_of_a_training(run, report):
    page = render_report(report)
    parsed = assert_self_contained(page)
    words = parsed.words
    assert VILE not in page
    assert shlex.join(["dipy_train_vae", "a.trk", f"{VILE}.trk", "c & d.trk"]) in words
    # Read, trained on, held out, left out.
    counts = run.model.record.data["tractograms"]
    for name, row in zip(("a.trk", f"{VILE}.trk", "c & d.trk"), counts):
        n_left = sum(row["rejects"].values())
        numbers = (row["n_read"], row["n_training"], row["n_validation"], n_left)
        assert f"{name} {' '.join(map(str, numbers))}" in words
    assert "all 3 files 62 45 15 2" in words
    assert "non_finite 1 1.61" in words and "too_few_points 1 1.61" in words
    data = run.model.record.data
    assert (data["n_read"], data["n_training"], data["n_validation"]) == (62, 45, 15)
    for needle in (
        "model (mm)",
        "PCA (mm)",
        "KL (nats)",
        "share (%)",
        "nats in all",
        "latent_dim 3 32",
        "epochs 4 100",
        "backend",
        "fingerprint",
        "keras 3.",
        "Training that had not settled",
        "12 steps",
        "Few streamlines per file",
    ):
        assert needle in words, needle
    assert len(parsed.all("img")) == 3
    assert all(image["alt"] for image in parsed.all("img"))
    ids = [attrs["id"] for _, attrs in parsed.tags if "id" in attrs]
    assert len(set(ids)) == len(ids)
    assert {link["href"] for link in parsed.all("a")} <= {f"#{name}" for name in ids}


def test_errors_are_those_of_the_run(run, report):
    from dipy_tractoencoder.streamlines.metrics import point_distance, pooled_distance

    (section,) = (part for part in report.sections if part.title == "Errors")
    whole, by_file = section.parts
    expected = [
        pooled_distance(point_distance(run.points, side))
        for side in (run.reconstructed, run.pca_reconstructed)
    ]
    assert list(whole.rows[0][1:]) == pytest.approx(expected)
    sizes = [row[1] for row in by_file.rows]
    assert sum(sizes) == len(run.points) == 15
    for side in (2, 3):
        squares = sum(row[1] * row[side] ** 2 for row in by_file.rows)
        assert np.sqrt(squares / 15) == pytest.approx(expected[side - 2])


def test_what_the_latents_hold(run, report):
    from dipy_tractoencoder.latent.codec import encode
    from dipy_tractoencoder.streamlines.array import StreamlineArray

    (section,) = (p for p in report.sections if p.title == "What the latents hold")
    table = section.parts[-1]
    assert [row[0] for row in table.rows] == ["z[0]", "z[1]", "z[2]"]  # As in arrays.
    n = len(run.points)
    rows = StreamlineArray(run.points, np.arange(n), np.zeros(n, dtype=bool), n)
    latents = encode(run.model, rows)
    unit = run.model.latent_unit
    mean, variance = latents.mean / unit, np.exp(latents.log_var) / unit**2
    kl = 0.5 * (variance + mean**2 - 1 - np.log(variance)).mean(axis=0)
    assert [row[1] for row in table.rows] == pytest.approx(kl.tolist(), rel=1e-4)
    spread = latents.mean.std(axis=0)
    assert [row[2] for row in table.rows] == pytest.approx(spread.tolist(), rel=1e-4)


@pytest.mark.parametrize("options", [{"model": "ae"}, {"validation_fraction": 0}])
def test_other_trainings(bundles, options):
    run = run_training(bundles, n_points=16, latent_dim=2, epochs=1, **options)
    report = training_report(run)
    words = assert_self_contained(render_report(report)).words
    assert "tractogram 3" in words
    titles = [section.title for section in report.sections]
    assert ("What the latents hold" in titles) == ("model" not in options)
    if "model" not in options:
        assert "No streamline was held out" in words
        assert "60 training streamlines" in words


def test_streamlines_that_were_not_drawn(bundles):
    options = {"max_streamlines": 50, "refit": True, "seed": 2024}
    run = run_training(bundles, n_points=16, latent_dim=2, epochs=1, **options)
    words = Page(render_report(training_report(run))).words
    assert "seed 2024 epoch kept" in words  # As it is given, without a comma.
    assert "10 more streamlines were not drawn" in words
    assert "trained once more on everything" in words


def test_validation_files_are_counted_behind_the_others(bundles):
    run = run_training(
        [[bundles[0][0][:1]], bundles[0], bundles[1][:5], [bundles[1][0][:1]]],
        validation=[bundles[2]],
        n_points=16,
        latent_dim=2,
        epochs=1,
    )
    counts = run.model.record.data["tractograms"]
    assert [row["n_training"] for row in counts] == [0, 20, 5, 0, 0]
    assert [row["n_validation"] for row in counts] == [0, 0, 0, 0, 20]
    assert set(run.source.tolist()) == {4}


def test_statistics_of_batch_normalisation(
    trained_vae, trained_convolutional_vae, bundles
):
    model = trained_convolutional_vae
    points = model.preprocessing.array(bundles[0]).points
    assert batch_statistics_error(trained_vae, points) is None
    before = [np.array(weight) for weight in model.get_weights()]
    kept, of_batch = batch_statistics_error(model, points)
    for old, new in zip(before, model.get_weights()):
        np.testing.assert_array_equal(old, new)
    from dipy_tractoencoder.latent.reconstruction import reconstruct_points
    from dipy_tractoencoder.streamlines.metrics import point_distance, pooled_distance

    back = reconstruct_points(model, points)
    assert kept == pytest.approx(
        pooled_distance(point_distance(points, back)), rel=1e-3
    )
    assert of_batch > 0 and of_batch != pytest.approx(kept, rel=1e-4)


# Through the command line


@pytest.fixture(scope="module")
def home(tmp_path_factory, bundles, trained_vae):
    """Folder of tractograms with names that are no good HTML, and a trained model."""
    folder = tmp_path_factory.mktemp("report")
    broken = [np.zeros((3, 3), dtype=np.float32)] * 4
    names = ("<img src=x onerror=alert(1)>.trk", "b & 'c'.trk", "UF.trk")
    for name, bundle in zip(names, bundles):
        save_tractogram(make_tractogram([*bundle, *broken]), folder / name)
    save_model(trained_vae, folder / "vae.keras")
    return folder


def test_training_command_writes_a_report(home):
    arguments = [
        "<img src=x onerror=alert(1)>.trk",
        "b & 'c'.trk",
        "UF.trk",
        "--n_points",
        "16",
        "--latent_dim",
        "3",
        "--epochs",
        "2",
        "--out_dir",
        "out dir",
        "--out_report",
        "training.html",
    ]
    result = run_command(
        "dipy_train_vae", *arguments, cwd=home, KERAS_BACKEND="tensorflow"
    )
    assert result.code == 0, result.err
    page = (home / "out dir" / "training.html").read_text(encoding="utf-8")
    parsed = assert_self_contained(page)
    assert len(parsed.all("img")) == 3
    command = shlex.join(["dipy_train_vae", *arguments])
    assert f"KERAS_BACKEND=tensorflow {command}" in parsed.words
    assert "too_few_points 12 16.7" in parsed.words
    assert "12 of 72 streamlines (17%) were left out" in parsed.words
    assert "WARNING: Many streamlines left out: 12 of 72" in result.out
    assert "Report: out dir/training.html" in result.out
    assert f"folder {home}" in parsed.words
    assert "backend tensorflow" in parsed.words
    again = run_command("dipy_train_vae", *arguments, cwd=home)
    assert_refused(again, "training.html", "--force")


def test_no_epoch_is_warned_of(home, capsys, monkeypatch):
    monkeypatch.chdir(home)
    result = call_command(
        capsys,
        "dipy_train_vae",
        "UF.trk",
        "--n_points",
        "16",
        "--latent_dim",
        "2",
        "--epochs",
        "0",
        "--out_dir",
        "none",
    )
    assert result.code == 0, result.err
    assert "WARNING: The model kept is PCA: No epoch of training" in result.out
    page = (home / "none" / "report.html").read_text(encoding="utf-8")
    assert "No epoch of training was asked for" in Page(page).words


def test_evaluation_command_writes_a_report(home, capsys, monkeypatch):
    monkeypatch.chdir(home)
    arguments = ("vae.keras", "UF.trk", "b & 'c'.trk", "--max_streamlines", "15")
    result = call_command(
        capsys, "dipy_evaluate_vae", *arguments, "--out_dir", "measured"
    )
    assert result.code == 0, result.err
    page = (home / "measured" / "evaluation.html").read_text(encoding="utf-8")
    parsed = assert_self_contained(page)
    assert shlex.join(["dipy_evaluate_vae", *arguments]) in parsed.words
    assert "UF.trk 24 4" in parsed.words and "b & 'c'.trk 24 4" in parsed.words
    assert "too_few_points 8 16.7" in parsed.words
    assert "16 streamlines were measured on, and 14 learned from" in parsed.words
    for needle in (
        "reconstruction error, root mean square",
        "How the model was trained",
        "max_streamlines 15 2000",
        "Few streamlines per bundle",
        "PCA: error (mm)",
    ):
        assert needle in parsed.words, needle
    assert len(parsed.all("img")) == 4
    assert "Report: measured/evaluation.html" in result.out


@pytest.mark.parametrize(
    ("name", "arguments", "report"),
    [
        ("dipy_train_vae", ("UF.trk",), "report.html"),
        ("dipy_evaluate_vae", ("vae.keras", "UF.trk"), "evaluation.html"),
    ],
)
def test_reports_are_protected(home, capsys, tmp_path, name, arguments, report):
    (tmp_path / report).write_text("precious")
    arguments = [*(home / argument for argument in arguments), "--out_dir", tmp_path]
    before = files_below(tmp_path)
    assert_refused(call_command(capsys, name, *arguments), report, "--force")
    odd = call_command(capsys, name, *arguments, "--out_report", "")
    assert_refused(odd, "--force" if odd.code == 0 else "a report ends in .html")
    assert files_below(tmp_path) == before


def test_report_of_a_flow_called_from_python(home, tmp_path):
    from dipy_tractoencoder.workflows.train import TrainVAEFlow

    flow = TrainVAEFlow()
    flow.run(
        [str(home / "UF.trk")],
        n_points=16,
        latent_dim=2,
        epochs=1,
        out_dir=str(tmp_path),
    )
    page = Page((tmp_path / "report.html").read_text(encoding="utf-8"))
    assert "run from Python" in page.words
    assert flow.report.command is None
