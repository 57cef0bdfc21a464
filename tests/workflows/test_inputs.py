"""Files, folders and wildcards that commands are given, and names with brackets."""

from pathlib import Path
import shutil

from dipy.workflows.combined_workflow import CombinedWorkflow
from flow_data import assert_refused, call_command
from made_data import make_tractogram
from nibabel.affines import apply_affine
import numpy as np
import pytest
from tiny_track_data import TO_MNI, matrix, write as write_tiny_track
from trx.trx_file_memmap import load as load_trx

from dipy_tractoencoder import (
    StreamlineEmbedding,
    bundle_arrays,
    fit_plausibility_scorer,
    load_latents,
    save_model,
    save_tractogram,
)
from dipy_tractoencoder.workflows.decode import DecodeVAEFlow
from dipy_tractoencoder.workflows.encode import EncodeVAEFlow


@pytest.fixture
def here(bundles, trained_vae, tmp_path, monkeypatch):
    """Folder with a model, an atlas of three bundles, and other files in the atlas."""
    monkeypatch.chdir(tmp_path)
    save_model(trained_vae, "vae.keras")
    Path("atlas/more").mkdir(parents=True)
    for name, bundle in zip(("AF", "CST", "more/UF"), bundles):
        save_tractogram(make_tractogram(bundle), f"atlas/{name}.trk")
    for name in ("README.txt", "LICENSE", "about.json", ".AF.trk"):
        Path("atlas", name).write_text("not a tractogram", encoding="utf-8")
    Path("atlas/CC.trk.bz2").write_bytes(b"BZh9")
    return tmp_path


@pytest.mark.parametrize("name", ["dipy_encode_vae", "dipy_reconstruct_vae"])
def test_a_folder_is_read_beside_its_readme(here, capsys, name):
    result = call_command(capsys, name, "vae.keras", "atlas", "--out_dir", "out")
    assert result.code == 0, result.err
    for count, said in ((1, "README.txt"), (1, "LICENSE"), (1, "CC.trk.bz2")):
        assert result.out.count(said) == count
    assert "WARNING: atlas: not read: CC.trk.bz2" in result.out
    found = {path.name[:3] for path in Path("out").glob("*_*")}
    assert found == {"AF_", "CST"}


def test_two_stars_descend(here, capsys):
    result = call_command(
        capsys, "dipy_encode_vae", "vae.keras", "atlas/**", "--out_dir", "out"
    )
    assert result.code == 0, result.err
    assert len(list(Path("out").glob("*.h5"))) == 3


OPTIONS = {
    "dipy_label_vae": ("vae.keras", "x.trk", "--bundle_files"),
    "dipy_filter_vae": ("vae.keras", "x.trk", "--plausible_files"),
    "dipy_sample_vae": ("vae.keras", "--n_streamlines", 3, "--bundle_files"),
}


@pytest.mark.parametrize("name", OPTIONS)
def test_folders_of_options_are_read_by_the_same_rule(here, capsys, name):
    shutil.copytree("atlas", "known")
    Path("atlas/more/UF.trk").rename("x.trk")
    result = call_command(capsys, name, *OPTIONS[name], "known", "--out_dir", "out")
    assert result.code == 0, result.err
    assert "WARNING: known: not read: CC.trk.bz2" in result.out
    assert (
        result.out.count("known: passed over, as no tractogram: LICENSE, README") == 1
    )
    Path("known/AF.trk").unlink()
    Path("known/CST.trk").unlink()
    shutil.rmtree("known/more")
    result = call_command(capsys, name, *OPTIONS[name], "known", "--out_dir", "out2")
    assert_refused(result, "known holds no tractogram", "README.txt", "CC.trk.bz2")
    assert not Path("out2").exists() or not list(Path("out2").iterdir())


@pytest.mark.parametrize(
    "arguments",
    [
        ("dipy_train_vae", "atlas/AF.trk", "--validation_files", "atlas"),
        ("dipy_evaluate_vae", "vae.keras", "atlas/AF.trk", "--training_files", "atlas"),
        ("dipy_compare_vae", "vae.keras", "atlas/AF.trk", "--reference_files", "atlas"),
    ],
)
def test_files_in_a_folder_are_not_used_twice(here, capsys, arguments):
    result = call_command(capsys, *arguments, "--out_dir", "out")
    assert_refused(result, "atlas/AF.trk")
    assert "WARNING: atlas: not read: CC.trk.bz2" in result.out


def test_folders_and_wildcards_from_python(here, trained_vae):
    points, _ = bundle_arrays(trained_vae, ["atlas/**"])
    assert sorted(points) == ["AF", "CST", "UF"]
    scorer = fit_plausibility_scorer(trained_vae, "atlas", score="reconstruction")
    assert len(scorer.own) == 40
    embedding = StreamlineEmbedding(n_points=16, latent_dim=3, epochs=0)
    assert embedding.fit("atlas").transform(["atlas", "atlas/more"]).shape == (60, 3)


def test_a_name_with_brackets_is_a_file_before_it_is_a_wildcard(here, capsys, bundles):
    save_tractogram(make_tractogram(bundles[0][:5]), "AF [L].trk")
    save_tractogram(make_tractogram(bundles[1][:9]), "AF L.trk")
    Path("vae.keras").rename("v*e [1].keras")
    arguments = ("dipy_encode_vae", "v*e [1].keras", "AF [L].trk")
    result = call_command(capsys, *arguments, "--out_dir", "o")
    assert result.code == 0, result.err
    latents = load_latents("o/latents.h5")
    assert len(latents.mean) == 5 and latents.tractogram.endswith("AF [L].trk")
    result = call_command(
        capsys, "dipy_label_vae", "v*e [1].keras", "AF [L].trk", "--bundle_files",
        "AF [L].trk", "atlas/CST.trk", "--assign_all", "--n_neighbors", 1,
    )  # fmt: skip
    assert result.code == 0, result.err
    assert Path("AF [L]_labelled.trx").is_file()
    Path("AF [L].trk").unlink()  # Now it is a wildcard, for AF L.trk.
    result = call_command(capsys, *arguments, "--out_dir", "o2")
    assert result.code == 0, result.err
    assert len(load_latents("o2/latents.h5").mean) == 9


class ThereAndBackFlow(CombinedWorkflow):
    """Encode and decode."""

    def _get_sub_flows(self):
        return [EncodeVAEFlow, DecodeVAEFlow]

    def run(self, model_file, input_files, out_dir=""):
        """Encode and decode.

        Parameters
        ----------
        model_file : string
            Model.
        input_files : variable string
            Tractograms.
        out_dir : string, optional
            Output directory.
        """
        encode, decode = (flow() for flow in self._get_sub_flows())
        self.run_sub_flow(encode, model_file, input_files, out_dir=out_dir)
        self.run_sub_flow(decode, model_file, encode.flat_outputs, out_dir=out_dir)
        self.outputs = decode.flat_outputs


def test_flows_with_brackets_in_names_can_be_chained(here, bundles):
    save_tractogram(make_tractogram(bundles[0]), "AF [L].trk")
    save_tractogram(make_tractogram(bundles[1]), "AF L.trk")
    flow = ThereAndBackFlow()
    flow.set_sub_flows_optionals({"EncodeVAEFlow": {}, "DecodeVAEFlow": {}})
    flow.run(Path("vae.keras"), [Path("AF [L].trk"), "atlas"], out_dir="out")
    assert sorted(Path(path).name for path in flow.outputs) == [
        "AF [L]_latents_decoded.trx",
        "AF_latents_decoded.trx",
        "CST_latents_decoded.trx",
    ]


def test_decode_reads_a_folder_of_latents(here, capsys):
    call_command(capsys, "dipy_encode_vae", "vae.keras", "atlas", "--out_dir", "out")
    shutil.copy("atlas/AF.trk", "out")
    result = call_command(capsys, "dipy_decode_vae", "vae.keras", "out")
    assert result.code == 0, result.err
    assert "no latents file: AF.trk" in result.out
    assert len(list(Path(".").glob("*decoded.trx"))) == 2


def test_decode_leaves_densities_in_a_folder_alone(here, capsys):
    """dipy_sample_vae writes densities.h5 beside the latents of other commands."""
    call_command(capsys, "dipy_encode_vae", "vae.keras", "atlas", "--out_dir", "out")
    atlas = ("--bundle_files", "atlas", "--n_streamlines", 3, "--out_dir", "out")
    assert call_command(capsys, "dipy_sample_vae", "vae.keras", *atlas).code == 0
    result = call_command(capsys, "dipy_decode_vae", "vae.keras", "out")
    assert result.code == 0, result.err
    assert "no latents file: out/densities.h5" in result.out
    result = call_command(capsys, "dipy_decode_vae", "vae.keras", "out/densities.h5")
    assert result.code == 2 and "densities.h5" in result.err


def test_clusters_of_a_tiny_track_file_are_bundles(here, capsys, bundles):
    lines = [*bundles[0][:6], *bundles[1][:6]]
    to_voxels = np.linalg.inv(TO_MNI)
    write_tiny_track(
        here / "two.tt.gz",
        [apply_affine(to_voxels, dense(line)) for line in lines],
        cluster=matrix("cluster", [0] * 6 + [1] * 6, "i4"),
    )
    Path("two.tt.gz.txt").write_text("AF\nCST\n", encoding="utf-8")
    result = call_command(
        capsys, "dipy_encode_vae", "vae.keras", "two.tt.gz", "--save_tractogram"
    )
    assert result.code == 0, result.err
    assert result.out.count("WARNING: two.tt.gz: its points are put into MNI") == 1
    groups = load_trx("encoded.trx").groups
    assert {name: list(members) for name, members in groups.items()} == {
        "AF": list(range(6)),
        "CST": list(range(6, 12)),
    }
    result = call_command(
        capsys, "dipy_label_vae", "vae.keras", "atlas/AF.trk", "--bundle_files",
        "two.tt.gz", "--n_neighbors", 1, "--assign_all", "--out_dir", "out",
    )  # fmt: skip
    assert result.code == 0, result.err
    assert "AF" in result.out and Path("out/AF_labelled.trx").is_file()


def dense(line):
    """Add points, so that steps are short enough for a Tiny Track file."""
    at = np.linspace(0, len(line) - 1, 30 * len(line))
    return np.stack(
        [np.interp(at, np.arange(len(line)), axis) for axis in line.T], axis=1
    )
