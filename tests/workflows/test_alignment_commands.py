"""Commands on subjects that do not lie in the space of the model."""

import csv
import json

from dipy.data.fetcher import extract_example_tracts
from dipy.io.stateful_tractogram import StatefulTractogram
from dipy.workflows.combined_workflow import CombinedWorkflow
from flow_data import (
    assert_refused,
    call_command,
    files_below,
    run_python,
)
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from dipy_tractoencoder import (
    Alignment,
    load_alignment,
    load_latents,
    load_tractogram,
    save_model,
    save_tractogram,
)
from dipy_tractoencoder.nn.alignment import store_alignment_reference
from dipy_tractoencoder.training.train import train
from dipy_tractoencoder.workflows.decode import DecodeVAEFlow
from dipy_tractoencoder.workflows.encode import EncodeVAEFlow

BUNDLES = ("AF_L", "CC_ForcepsMajor", "CST_R")


def pose():
    """Return a transform from an unusual pose back to the space of the model."""
    matrix = np.eye(4)
    angles = (20, -60, 100)
    matrix[:3, :3] = Rotation.from_euler("xyz", angles, degrees=True).as_matrix()
    matrix[:3, 3] = 40, -30, 25
    return Alignment(matrix)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """Two subjects of DIPY, a model of the first, and the second in another pose.

    The model is PCA, which is enough to tell right places from wrong ones. It holds no
    reference for alignment; ``new.keras`` does.
    """
    folder = tmp_path_factory.mktemp("world")
    extract_example_tracts(folder / "data")
    atlas, other = folder / "data" / "sub_1", folder / "data" / "sub_2"
    native = folder / "native" / "sub_2"
    native.mkdir(parents=True)
    everything = []
    for name in BUNDLES:
        tractogram = load_tractogram(other / f"{name}.trk")
        moved = pose().inverse().apply(tractogram)
        moved = StatefulTractogram.from_sft(moved, tractogram)
        moved.data_per_streamline["number"] = np.arange(len(moved))[:, None]
        save_tractogram(moved, native / f"{name}.trk")
        everything += list(load_tractogram(atlas / f"{name}.trk").streamlines)
    model = train(everything, n_points=32, latent_dim=6, epochs=0)
    save_model(model, folder / "new.keras")
    store_alignment_reference(model, None)  # As in models of older releases.
    save_model(model, folder / "model.keras")
    np.savetxt(folder / "affine.txt", pose().matrix)
    return folder


@pytest.fixture
def inputs(world, tmp_path, monkeypatch):
    """Return the arguments that all commands take."""
    monkeypatch.chdir(tmp_path)
    return [world / "model.keras", *sorted((world / "native" / "sub_2").glob("*.trk"))]


@pytest.fixture
def aligned(world):
    """Return the options that align."""
    to = ("--align_to", world / "data" / "sub_1", "--subject_by", "folder")
    return ("--align", "rigid", *to)


def rows_of(path):
    with open(path, encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_encode_and_decode(world, inputs, aligned, capsys, tmp_path):
    result = call_command(capsys, "dipy_encode_vae", *inputs, *aligned)
    assert result.code == 0, result.err
    assert result.out.count("moved to the space of the model (rigid) by") == 1
    assert "sub_2 (3 files)" in result.out
    assert {str(path) for path in files_below(tmp_path)} == {
        "transform.json",
        "alignment.png",
        *(f"{name}_latents.h5" for name in BUNDLES),
    }
    found = load_alignment("transform.json")
    assert found.transform == "rigid"
    points = load_tractogram(inputs[1]).streamlines.get_data()
    distance = np.linalg.norm(found.apply(points) - pose().apply(points), axis=1)
    assert distance.mean() < 40  # The subjects differ, but not as much as the poses.
    latents = [f"{name}_latents.h5" for name in BUNDLES]
    assert load_latents(latents[0]).alignment.to_dict() == found.to_dict()
    result = call_command(capsys, "dipy_decode_vae", inputs[0], *latents)
    assert result.code == 0, result.err
    for path, name in zip(inputs[1:], BUNDLES):
        native = load_tractogram(path)
        decoded = load_tractogram(f"{name}_latents_decoded.trx")
        np.testing.assert_allclose(decoded.affine, native.affine, atol=1e-5)
        middles = [
            np.mean([line.mean(axis=0) for line in each.streamlines], axis=0)
            for each in (native, decoded)
        ]
        assert np.linalg.norm(middles[0] - middles[1]) < 10


@pytest.mark.parametrize("one_file", [False, True])
def test_label_writes_own_points(world, inputs, aligned, capsys, tmp_path, one_file):
    bundles = ("--bundle_files", world / "data" / "sub_1")
    options = ("--one_file",) if one_file else ()
    lost = call_command(
        capsys, "dipy_label_vae", *inputs, *bundles, "--assign_all", "--out_dir", "lost"
    )
    assert lost.code == 0, lost.err
    result = call_command(
        capsys, "dipy_label_vae", *inputs, *bundles, "--assign_all", *aligned, *options
    )
    assert result.code == 0, result.err
    right = {}
    for folder in ("lost", "."):
        rows = rows_of(f"{folder}/labels.csv")
        right[folder] = sum(
            int(row["n_streamlines"])
            for row in rows
            if row["file"] == f"{row['bundle']}.trk"
        )
    assert right["."] >= 148 > right["lost"]
    for path, name in zip(inputs[1:], BUNDLES):
        native = load_tractogram(path).streamlines
        for part in [""] if one_file else [f"{bundle}_" for bundle in BUNDLES]:
            found = (
                load_tractogram(f"{part and part}{name}_labelled.trx")
                if (one_file)
                else load_tractogram(f"{part}{name}_labelled.trx")
            )
            numbers = found.data_per_streamline["number"][:, 0].astype(int)
            for number, line in zip(numbers, found.streamlines):
                np.testing.assert_array_equal(line, native[number])


def test_filter_writes_own_points(world, inputs, aligned, capsys):
    plausible = ("--plausible_files", world / "data" / "sub_1")
    options = ("--threshold", 30)
    lost = call_command(
        capsys, "dipy_filter_vae", *inputs, *plausible, *options, "--out_dir", "lost"
    )
    assert lost.code == 0, lost.err
    result = call_command(
        capsys, "dipy_filter_vae", *inputs, *plausible, *options, *aligned
    )
    assert result.code == 0, result.err
    kept = {
        folder: [int(row["n_kept"]) for row in rows_of(f"{folder}/filter.csv")]
        for folder in ("lost", ".")
    }
    assert sum(kept["."]) > sum(kept["lost"])
    for path, name in zip(inputs[1:], BUNDLES):
        native = load_tractogram(path).streamlines
        count = 0
        for part in ("kept", "removed"):
            found = load_tractogram(f"{name}_{part}.trx")
            numbers = found.data_per_streamline["number"][:, 0].astype(int)
            for number, line in zip(numbers, found.streamlines):
                np.testing.assert_array_equal(line, native[number])
            count += len(found)
        assert count == len(native)


def test_reconstruct_measures_where_the_model_is(world, inputs, aligned, capsys):
    call_command(capsys, "dipy_reconstruct_vae", *inputs, "--out_dir", "lost")
    result = call_command(capsys, "dipy_reconstruct_vae", *inputs, *aligned)
    assert result.code == 0, result.err
    for lost, row in zip(
        rows_of("lost/reconstruction.csv"), rows_of("reconstruction.csv")
    ):
        assert float(row["error_mm"]) < 0.7 * float(lost["error_mm"])
    native = load_tractogram(inputs[1])
    home = load_tractogram("AF_L_reconstructed.trx")
    np.testing.assert_allclose(home.affine, native.affine, atol=1e-5)
    apart = [
        np.linalg.norm(one.mean(axis=0) - other.mean(axis=0))
        for one, other in zip(native.streamlines, home.streamlines)
    ]
    assert np.median(apart) < 10


def test_known_transform(world, inputs, capsys, tmp_path):
    known = ("--transform", world / "affine.txt", "--subject_by", "folder")
    result = call_command(capsys, "dipy_encode_vae", *inputs, *known)
    assert result.code == 0, result.err
    assert json.loads((tmp_path / "transform.json").read_text())["transform"] == "given"
    others = sorted((world / "data" / "sub_2").glob("*.trk"))
    result = call_command(
        capsys, "dipy_encode_vae", inputs[0], *others, "--out_dir", "unmoved"
    )
    for name in BUNDLES:
        latents = load_latents(f"{name}_latents.h5")
        unmoved = load_latents(f"unmoved/{name}_latents.h5")
        np.testing.assert_allclose(latents.mean, unmoved.mean, atol=0.01)
        np.testing.assert_array_equal(latents.alignment.matrix, pose().matrix)
        assert unmoved.alignment is None


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("1 0 0 0\n0 1 0 0\n0 0 0 0\n0 0 0 1\n", "inverted"),
        ("1 0 0\n0 1 0\n0 0 1\n", "4 x 4"),
        ("1 0 0 0\n0 1 0 0\n0 0 1 nan\n0 0 0 1\n", "finite"),
    ],
)
def test_transform_that_is_none(inputs, capsys, tmp_path, content, words):
    (tmp_path / "wrong.txt").write_text(content)
    result = call_command(
        capsys, "dipy_encode_vae", *inputs[:2], "--transform", "wrong.txt"
    )
    assert_refused(result, "wrong.txt", words)
    assert list(files_below(tmp_path)) == [
        tmp_path.joinpath("wrong.txt").relative_to(tmp_path)
    ]


def test_mistakes_in_options(world, inputs, capsys, tmp_path):
    known = ("--transform", world / "affine.txt")
    command = "dipy_label_vae"
    some = (*inputs, "--bundle_files", world / "data" / "sub_1")
    for options, words in (
        (known, ("of one subject", "{subject}")),
        (("--align", "rigid"), ("--align_to",)),
        (("--align", "none"), ("off, check, rigid",)),
        (("--align", "rigid", *known), ("Leave out",)),
        (("--align_to", "nowhere.trk"), ("nowhere.trk",)),
        (("--align_to", inputs[0], "--align", "rigid"), ("holds no reference",)),
        (("--subject_by", "brain"), ("`subject_by`",)),
        (("--out_transform", "a.txt"), (".json",)),
        (("--out_alignment", "a.trk"), ("a.trk",)),
    ):
        assert_refused(call_command(capsys, command, *some, *options), *words)
    assert not files_below(tmp_path)


def test_refused_subject_does_not_stop_the_others(
    world, inputs, aligned, capsys, tmp_path
):
    rng = np.random.default_rng(0)
    (tmp_path / "in" / "scrambled").mkdir(parents=True)
    (tmp_path / "in" / "good").mkdir()
    for path in inputs[1:]:
        tractogram = load_tractogram(path)
        save_tractogram(tractogram, tmp_path / "in" / "good" / path.name)
        points = rng.normal(scale=40, size=tractogram.streamlines.get_data().shape)
        tractogram.streamlines._data[:] = points
        save_tractogram(tractogram, tmp_path / "in" / "scrambled" / path.name)
    some = (inputs[0], tmp_path / "in" / "good", tmp_path / "in" / "scrambled")
    result = call_command(
        capsys, "dipy_encode_vae", *some, *aligned, "--out_dir", "out"
    )
    assert_refused(result, "3 of 6 files", "The outputs of the others are complete")
    assert result.out.count("cannot be relied on") == 3
    written = {path.name for path in (tmp_path / "out").iterdir()}
    assert written == {
        "good_transform.json",
        "good_alignment.png",
        *(f"good_{name}_latents.h5" for name in BUNDLES),
    }
    result = call_command(
        capsys, "dipy_encode_vae", some[0], some[2], *aligned, "--align_anyway"
    )
    assert result.code == 0, result.err
    assert "the alignment may be wrong" in result.out
    assert load_latents("AF_L_latents.h5").alignment.verdict == "refused"
    result = call_command(
        capsys,
        "dipy_encode_vae",
        some[0],
        some[2] / "AF_L.trk",
        *aligned,
        "--out_dir",
        "alone",
    )
    assert_refused(result, "AF_L.trk", "--align_anyway", "--transform")
    assert not (tmp_path / "alone").exists() or not files_below(tmp_path / "alone")


def write_unusual(kind, paths, folder):
    """Write a subject as users may have it, next to the model's own streamlines."""
    (folder / "odd").mkdir()
    for path in paths:
        tractogram = load_tractogram(path)
        points = tractogram.streamlines.get_data()
        if kind == "small animal":
            tractogram.streamlines._data[:] = 0.2 * (points - points.mean(axis=0))
        elif kind == "one streamline":
            tractogram = tractogram[:1]
        elif kind == "all alike":
            tractogram = tractogram[np.zeros(50, int)]
        save_tractogram(tractogram, folder / "odd" / path.name)
        if kind != "small animal":
            return


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("small animal", ["odd (3 files)", "times as large as the subject"]),
        ("one streamline", ["1 streamline"]),
        ("all alike", ["different"]),
    ],
)
def test_unusual_subjects_are_refused_and_nothing_is_written(
    world, inputs, capsys, tmp_path, kind, words
):
    write_unusual(kind, inputs[1:], tmp_path)
    values = (world / "new.keras", tmp_path / "odd", "--align", "rigid")
    values += ("--subject_by", "folder", "--out_dir", "out")
    result = call_command(capsys, "dipy_encode_vae", *values)
    assert result.code == 2
    said = (result.out + result.err).lower()
    assert all(word.lower() in said for word in words), said
    assert "Traceback" not in said
    assert not (tmp_path / "out").exists() or not files_below(tmp_path / "out")


def test_a_bundle_alone_is_never_certain(world, inputs, capsys, tmp_path):
    values = (world / "new.keras", inputs[1], "--align", "rigid")
    result = call_command(capsys, "dipy_encode_vae", *values)
    said = result.out + result.err
    assert result.code == 2 or "WARNING" in result.out, said
    assert ": accepted" not in said
    if result.code == 0:
        assert load_latents("latents.h5").alignment.verdict == "uncertain"


def test_two_subjects_in_one_folder_are_said_to_be_possible(
    world, inputs, capsys, tmp_path
):
    """They lie in two poses, so that no single transform fits both."""
    (tmp_path / "both").mkdir()
    turned = Alignment(np.diag([-1.0, -1.0, 1.0, 1.0]))
    for path in inputs[1:]:
        tractogram = load_tractogram(path)
        save_tractogram(tractogram, tmp_path / "both" / path.name)
        moved = StatefulTractogram.from_sft(turned.apply(tractogram), tractogram)
        save_tractogram(moved, tmp_path / "both" / f"other_{path.name}")
    values = (world / "new.keras", tmp_path / "both", "--align", "rigid")
    values += ("--subject_by", "folder", "--out_dir", "out")
    result = call_command(capsys, "dipy_encode_vae", *values)
    said = result.out + result.err
    assert result.code == 2 or "WARNING" in result.out
    assert ": accepted" not in said
    assert "--subject_by file" in said


def test_a_mirrored_transform_warns(world, inputs, capsys, tmp_path):
    np.savetxt(tmp_path / "mirror.txt", np.diag([-1.0, 1, 1, 1]) @ pose().matrix)
    values = ("--transform", "mirror.txt", "--subject_by", "folder")
    result = call_command(capsys, "dipy_encode_vae", *inputs, *values)
    assert result.code == 0, result.err
    assert result.out.count("exchanges left and right") == 1


def test_default_warns_of_a_subject_elsewhere(world, inputs, capsys, tmp_path):
    new = (world / "new.keras", *inputs[1:], "--subject_by", "folder")
    result = call_command(capsys, "dipy_encode_vae", *new)
    assert result.code == 0, result.err
    assert result.out.count("WARNING") == 1
    assert "sub_2 (3 files): may lie in another space" in result.out
    latents = load_latents("AF_L_latents.h5")
    assert latents.alignment.verdict == "uncertain"
    assert not latents.alignment.moves
    expected = load_latents("AF_L_latents.h5").mean
    call_command(capsys, "dipy_encode_vae", *new, "--align", "off", "--force")
    np.testing.assert_array_equal(load_latents("AF_L_latents.h5").mean, expected)
    assert "transform.json" not in {path.name for path in tmp_path.iterdir()}


def test_default_changes_nothing_for_models_of_today(inputs, capsys, tmp_path):
    for options in ((), ("--align", "off")):
        result = call_command(
            capsys, "dipy_encode_vae", *inputs[:2], *options, "--force"
        )
        assert result.code == 0, result.err
        assert result.out.count("not checked") == (not options)
        assert "WARNING" not in result.out
        assert load_latents("latents.h5").alignment is None
        assert [path.name for path in tmp_path.iterdir()] == ["latents.h5"]


def test_check_imports_no_registration(world, inputs):
    code = (
        "import sys\n"
        "from dipy_tractoencoder.align.files import fit_reference_to_files\n"
        "from dipy_tractoencoder.workflows.alignment import SubjectAligner\n"
        "reference = fit_reference_to_files([sys.argv[1]])\n"
        "before = set(sys.modules)\n"
        "for path in sys.argv[1:]:\n"
        "    print(SubjectAligner(reference, [path]).alignment(path).verdict)\n"
        "print(*sorted(m for m in set(sys.modules) - before))\n"
    )
    atlas = world / "data" / "sub_1" / "AF_L.trk"
    result = run_python("-c", code, atlas, inputs[1])
    assert result.code == 0, result.err
    first, second, loaded = result.out.strip("\n").split("\n")
    assert (first, second) == ("accepted", "uncertain")
    assert "registration" not in loaded and "streamlinear" not in loaded


class ThereAndBackFlow(CombinedWorkflow):
    """Encode aligned subjects, and decode them."""

    def _get_sub_flows(self):
        return [EncodeVAEFlow, DecodeVAEFlow]

    def run(self, model_file, input_files, align_to, out_dir=""):
        """Go there and back.

        Parameters
        ----------
        model_file : string
            Model.
        input_files : variable string
            Tractograms.
        align_to : string
            Folder.
        out_dir : string, optional
            Output directory.
        """
        encode, decode = (flow() for flow in self._get_sub_flows())
        how = {"align": "rigid", "align_to": align_to, "subject_by": "folder"}
        self.run_sub_flow(encode, model_file, input_files, out_dir=out_dir, **how)
        latents = [str(row["out_latents"]) for row in encode.generated]
        self.run_sub_flow(decode, model_file, latents, out_dir=out_dir)
        self.decoded = [row["out_tractogram"] for row in decode.generated]


def test_combined_flow_comes_home(world, inputs, tmp_path):
    flow = ThereAndBackFlow()
    flow.set_sub_flows_optionals({f.__name__: {} for f in flow._get_sub_flows()})
    model, *paths = map(str, inputs)
    flow.run(model, paths, str(world / "data" / "sub_1"), out_dir=str(tmp_path / "o"))
    for path, decoded in zip(paths, flow.decoded):
        native, home = load_tractogram(path), load_tractogram(decoded)
        middles = [t.streamlines.get_data().mean(axis=0) for t in (native, home)]
        assert np.linalg.norm(middles[0] - middles[1]) < 15
