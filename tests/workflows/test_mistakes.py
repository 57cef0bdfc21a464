"""What users mistype or meet: one bad file of many, a folder, the wrong order."""

import inspect
from pathlib import Path
import shlex

from flow_data import (
    COMMANDS,
    assert_refused,
    call_command,
    files_below,
    flow_class,
    run_python,
)
from made_data import make_tractogram
import numpy as np
import pytest

from dipy_tractoencoder import save_model, save_tractogram
from dipy_tractoencoder.errors import InputFileError, OutputFileError
from dipy_tractoencoder.nn.provenance import TrainingRecord
from dipy_tractoencoder.segment.doubts import find_doubts
from dipy_tractoencoder.utils.atomic_files import check_readable
from dipy_tractoencoder.workflows.base import (
    TractoWorkflow,
    distinguishing_names,
)
from dipy_tractoencoder.workflows.batch import Batch
from dipy_tractoencoder.workflows.docstrings import one_line_each


@pytest.fixture
def here(tmp_path, monkeypatch, trained_vae, bundles):
    """Folder with a model, three tractograms, an empty one and a damaged one."""
    monkeypatch.chdir(tmp_path)
    save_model(trained_vae, "vae.keras")
    for name, bundle in zip(("a", "b", "c"), bundles):
        save_tractogram(make_tractogram(bundle), f"{name}.trk")
    save_tractogram(make_tractogram([]), "empty.trk")
    Path("broken.trk").write_bytes(Path("a.trk").read_bytes()[:-100])
    return tmp_path


# One of many

BATCHES = {
    "dipy_encode_vae": (),
    "dipy_reconstruct_vae": (),
    "dipy_filter_vae": ("--plausible_files", "a.trk", "b.trk", "c.trk"),
    "dipy_label_vae": ("--bundle_files", "a.trk", "b.trk", "c.trk"),
}


@pytest.mark.parametrize("name", BATCHES)
def test_one_damaged_file_does_not_stop_the_others(here, capsys, name):
    result = call_command(
        capsys,
        name,
        "vae.keras",
        "b.trk",
        "broken.trk",
        "c.trk",
        *BATCHES[name],
        "--out_dir",
        "out",
    )
    assert_refused(result, "1 of 3 files", "broken.trk", "the others are complete")
    assert "WARNING" in result.out  # Names the file that was left out.
    names = [path.name for path in Path("out").rglob("*")]
    for tractogram in ("b", "c"):
        assert any(f"{tractogram}_" in written for written in names), names
    assert not any("broken" in written for written in names), names
    if name != "dipy_encode_vae":
        (table,) = Path("out").glob("[rfl]*.csv")
        text = table.read_text(encoding="utf-8")
        assert "b.trk" in text and "c.trk" in text and "broken.trk" not in text


@pytest.mark.parametrize("name", ["dipy_encode_vae", "dipy_reconstruct_vae"])
def test_an_empty_file_does_not_stop_the_others(here, capsys, name):
    result = call_command(
        capsys,
        name,
        "vae.keras",
        "b.trk",
        "empty.trk",
        "c.trk",
        "--out_dir",
        "out",
    )
    assert_refused(result, "1 of 3 files", "empty.trk")
    assert any("c_" in path.name for path in Path("out").iterdir())


@pytest.mark.parametrize("name", BATCHES)
def test_nothing_is_said_to_be_complete_where_nothing_is(here, capsys, name):
    copy = Path("again.trk")
    copy.write_bytes(Path("broken.trk").read_bytes())
    result = call_command(
        capsys,
        name,
        "vae.keras",
        "broken.trk",
        "again.trk",
        *BATCHES[name],
        "--out_dir",
        "out",
    )
    assert_refused(result, "2 of 2 files", "broken.trk", "again.trk")
    assert "complete" not in result.err
    assert not files_below("out")


def test_a_single_file_fails_with_its_own_error(here, capsys):
    result = call_command(capsys, "dipy_encode_vae", "vae.keras", "empty.trk")
    assert_refused(result, "empty.trk", "none of its 0 streamlines")


def test_other_errors_end_a_batch():
    batch = Batch(3)
    with pytest.raises(OutputFileError), batch.going_on(Path("a.trk")):
        raise OutputFileError("no room")
    batch.finish()
    with batch.going_on(Path("b.trk")):
        raise InputFileError("damaged")
    batch.finish(early=True)
    with pytest.raises(InputFileError, match="1 of 3 .* b.trk"):
        batch.finish()


FORCED = {
    "dipy_encode_vae": ("--save_tractogram",),
    "dipy_reconstruct_vae": (),
    "dipy_explore_vae": (),
    "dipy_filter_vae": ("--plausible_files", "b.trk", "c.trk"),
    "dipy_label_vae": ("--bundle_files", "b.trk", "c.trk"),
    "dipy_sample_vae": ("--bundle_files", "b.trk", "--n_streamlines", "5"),
}


@pytest.mark.parametrize("name", FORCED)
def test_force_replaces_every_output(here, capsys, name):
    if name == "dipy_explore_vae":
        pytest.importorskip("plotly", reason="needs the extra explore (plotly)")
    inputs = () if name == "dipy_sample_vae" else ("a.trk",)
    arguments = ("vae.keras", *inputs, *FORCED[name], "--out_dir", "out")
    assert call_command(capsys, name, *arguments).code == 0
    first = files_below("out")
    assert_refused(call_command(capsys, name, *arguments), "--force")
    assert files_below("out") == first
    result = call_command(capsys, name, *arguments, "--force")
    assert result.code == 0, result.err
    again = files_below("out")
    assert set(again) == set(first)
    assert all(again[path][0] > first[path][0] for path in first)


# Places


@pytest.mark.parametrize("name", ["dipy_encode_vae", "dipy_explore_vae"])
def test_a_folder_for_the_model_is_named(here, capsys, name):
    Path("model").mkdir()
    Path("vae.keras").rename("model/vae.keras")
    result = call_command(capsys, name, "model", "a.trk")
    assert_refused(result, "model is a folder")
    Path("model/history.csv").write_text("epoch\n", encoding="utf-8")
    result = call_command(capsys, name, "model", "a.trk")
    assert_refused(result, "the model", "model/history.csv", "model/vae.keras")


def test_the_model_comes_first(here, capsys):
    result = call_command(capsys, "dipy_encode_vae", "a.trk", "vae.keras")
    assert_refused(result, "vae.keras", "Give the model first")


def test_an_empty_folder_is_not_missing(here, capsys):
    Path("nothing").mkdir()
    result = call_command(capsys, "dipy_encode_vae", "vae.keras", "nothing")
    assert_refused(result, "nothing holds no tractogram", "empty folder")


def test_files_that_may_not_be_read_are_not_damaged(here, monkeypatch):
    def refuse(self, *arguments, **options):
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(InputFileError, match="a.trk: Permission denied") as caught:
        check_readable("a.trk")
    assert "damaged" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "option"),
    [
        ("dipy_reconstruct_vae", "--out_table"),
        ("dipy_evaluate_vae", "--out_bundles"),
    ],
)
def test_tables_are_csv(here, capsys, name, option):
    before = files_below(here)
    result = call_command(capsys, name, "vae.keras", "a.trk", option, "x.xlsx")
    assert_refused(result, "x.xlsx", ".csv")
    assert files_below(here) == before


def test_names_that_differ_in_their_ends_only_keep_those():
    paths = [Path("s/dec.trk"), Path("s/dec.vtk"), Path("t/other.trx")]
    assert distinguishing_names(paths) == ["dec_trk", "dec_vtk", "other_trx"]
    paths = [Path("s/a.trk"), Path("t/a.trk")]
    assert distinguishing_names(paths) == ["s_a", "t_a"]


# Words

PARTS = [name for name in COMMANDS if issubclass(flow_class(name), TractoWorkflow)]


def test_what_comes_next_can_be_copied(here, capsys):
    Path("my model").mkdir()
    Path("vae.keras").rename("my model/vae.keras")
    result = call_command(
        capsys, "dipy_encode_vae", "my model/vae.keras", "a.trk", "--out_dir", "o"
    )
    (line,) = (text for text in result.out.splitlines() if "Next:" in text)
    words = shlex.split(line.split("Next:")[1])
    assert words == ["dipy_decode_vae", "my model/vae.keras", "LATENTS"]


def test_strangers_are_warned_of(here, capsys):
    far = [np.float32(40) * np.array([[0, 0, 0], [1, 0, 0], [1, 1, 1]])] * 5
    bent = [line + np.float32(n) for n, line in enumerate(far)]
    save_tractogram(make_tractogram([line - 60 for line in bent]), "far.trk")
    result = call_command(
        capsys,
        "dipy_reconstruct_vae",
        "vae.keras",
        "a.trk",
        "far.trk",
        "--out_dir",
        "o",
    )
    assert result.code == 0, result.err
    warned = [line for line in result.out.splitlines() if line.startswith("WARNING")]
    assert len(warned) == 1 and "far.trk" in warned[0]


def test_an_error_of_zero_in_training_is_no_measure_of_strangers():
    for error, warned in ((0.0, 0), (0.1, 1)):
        record = TrainingRecord(history={"val_error_mm": [error]})
        assert len(find_doubts(record=record, error_mm=1.0)) == warned


def test_a_file_that_is_filtered_by_itself_is_warned_of(here, capsys):
    result = call_command(
        capsys,
        "dipy_filter_vae",
        "vae.keras",
        "a.trk",
        "--plausible_files",
        "a.trk",
        "b.trk",
        "--out_dir",
        "o",
    )
    assert result.code == 0, result.err
    (warning,) = (row for row in result.out.splitlines() if "WARNING" in row)
    assert "a.trk" in warning


def test_a_bundle_that_labels_itself_is_warned_of(here, capsys):
    result = call_command(
        capsys,
        "dipy_label_vae",
        "vae.keras",
        "a.trk",
        "--bundle_files",
        "a.trk",
        "b.trk",
        "--out_dir",
        "o",
    )
    assert result.code == 0, result.err
    (warning,) = (row for row in result.out.splitlines() if "WARNING" in row)
    assert "a.trk" in warning


@pytest.mark.parametrize("name", PARTS)
def test_help_within_a_combined_flow_has_its_spaces(name):
    """DIPY joins the lines of a parameter's text without one, for parts of flows."""
    doc = inspect.cleandoc(flow_class(name).run.__doc__)
    lines = doc.partition("Parameters\n----------\n")[2].splitlines()
    assert [line[:4] for line in lines[1::2]] == ["    "] * (len(lines) // 2)
    assert not any(line.startswith(" ") for line in lines[::2])
    assert one_line_each(doc) == doc


def test_help_of_the_demo_has_its_spaces():
    code = (
        "import sys; sys.argv = ['dipy_vae_demo', '--help'];"
        "from dipy_tractoencoder.workflows.cli import run_command;"
        "from dipy_tractoencoder.workflows.demo import VAEDemoFlow;"
        "run_command(VAEDemoFlow())"
    )
    result = run_python("-c", code, COLUMNS="400")
    text = " ".join(result.out.split())
    assert result.code == 0, result.err
    assert "dense (on principal" in text or "squared error" in text
    assert "Withfinta" not in text and "squarederror" not in text
