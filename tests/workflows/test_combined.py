"""The flows inside somebody's own CombinedWorkflow, run from Python."""

from dipy.workflows.combined_workflow import CombinedWorkflow
from flow_data import files_below
from made_data import make_tractogram
from matplotlib.image import imsave
import numpy as np
import pytest

from dipy_tractoencoder import (
    load_latents,
    load_tractogram,
    save_model,
    save_tractogram,
)
from dipy_tractoencoder.errors import InvalidArgumentError, OutputFileError
from dipy_tractoencoder.workflows.decode import DecodeVAEFlow
from dipy_tractoencoder.workflows.demo import BUNDLES, TEST_SUBJECT, VAEDemoFlow
from dipy_tractoencoder.workflows.encode import EncodeVAEFlow
from dipy_tractoencoder.workflows.filter import FilterVAEFlow
from dipy_tractoencoder.workflows.label import LabelVAEFlow
from dipy_tractoencoder.workflows.train import TrainVAEFlow

TRAINING = {"n_points": 16, "latent_dim": 3, "epochs": 1}


class RoundTripFlow(CombinedWorkflow):
    """Train on some bundles, then encode and decode all of them."""

    def _get_sub_flows(self):
        return [TrainVAEFlow, EncodeVAEFlow, DecodeVAEFlow]

    def run(self, input_files, out_dir=""):
        """Go there and back.

        Parameters
        ----------
        input_files : variable string
            Tractograms.
        out_dir : string, optional
            Output directory.
        """
        train, encode, decode = (
            flow(force=self._force_overwrite) for flow in self._get_sub_flows()
        )
        self.run_sub_flow(train, input_files, out_dir=out_dir)
        model = train.last_generated_outputs["out_model"]
        self.run_sub_flow(encode, model, input_files, out_dir=out_dir)
        self.latents = [rows["out_latents"] for rows in encode.generated]
        self.run_sub_flow(
            decode, model, [str(path) for path in self.latents], out_dir=out_dir
        )
        self.decoded = [rows["out_tractogram"] for rows in decode.generated]


@pytest.fixture(autouse=True)
def _no_drawing(monkeypatch):
    """Write one pixel for figures, whose drawing takes most of the time."""
    monkeypatch.setattr(
        "dipy_tractoencoder.viz.base.save_figure",
        lambda figure, path: imsave(path, np.zeros((1, 1, 3))),
    )


@pytest.fixture(scope="module")
def paths(tmp_path_factory, bundles):
    folder = tmp_path_factory.mktemp("bundles")
    for name, bundle in zip(("AF", "CST"), bundles):
        save_tractogram(make_tractogram(bundle), folder / f"{name}.trk")
    return [str(folder / f"{name}.trk") for name in ("AF", "CST")]


def round_trip(**options):
    flow = RoundTripFlow(**options)
    flow.set_sub_flows_optionals(
        {
            "TrainVAEFlow": TRAINING,
            "EncodeVAEFlow": {"save_tractogram": True},
            "DecodeVAEFlow": {"out_tractogram": "there and back.trk"},
        }
    )
    return flow


@pytest.mark.slow
def test_chain_of_our_flows_and_force(paths, tmp_path):
    flow = round_trip()
    flow.run(paths, out_dir=str(tmp_path))
    for path, latents, decoded in zip(paths, flow.latents, flow.decoded):
        original = load_tractogram(path)
        assert load_latents(latents).mean.shape == (20, 3)
        assert len(load_tractogram(decoded)) == len(original) == 20
    written = files_below(tmp_path)
    assert {str(path) for path in written} == {
        "vae.keras",
        "history.csv",
        "training.png",
        "report.html",
        *(f"{name}_latents.h5" for name in ("AF", "CST")),
        *(f"{name}_encoded.trx" for name in ("AF", "CST")),
        *(f"{name}_latents_there and back.trk" for name in ("AF", "CST")),
    }

    with pytest.raises(OutputFileError, match="vae.keras"):
        round_trip().run(paths, out_dir=str(tmp_path))
    assert files_below(tmp_path) == written
    round_trip(force=True).run(paths, out_dir=str(tmp_path))
    again = files_below(tmp_path)
    assert set(again) == set(written)
    assert all(again[name][0] > written[name][0] for name in written)


def test_flow_called_from_python(paths, tmp_path):
    flow = TrainVAEFlow()
    flow.run(paths, **TRAINING, out_dir=str(tmp_path), out_model="a.keras")
    assert flow.last_generated_outputs == {
        "out_model": str(tmp_path / "a.keras"),
        "out_history": str(tmp_path / "history.csv"),
        "out_figure": str(tmp_path / "training.png"),
        "out_report": str(tmp_path / "report.html"),
    }
    assert sorted(flow.flat_outputs) == sorted(flow.last_generated_outputs.values())
    with pytest.raises(InvalidArgumentError, match="latent_dim"):
        flow.run(paths, latent_dim=-1, out_dir=str(tmp_path / "b"))


@pytest.mark.slow
def test_demo_called_from_python(tmp_path):
    flow = VAEDemoFlow()
    flow.set_sub_flows_optionals(
        {"TrainVAEFlow": TRAINING, "EncodeVAEFlow": {}, "ReconstructVAEFlow": {}}
    )
    flow.run(out_dir=str(tmp_path / "demo"))
    assert [row["file"] for row in flow.table] == [f"{name}.trk" for name in BUNDLES]
    assert (tmp_path / "demo" / "data" / TEST_SUBJECT).is_dir()
    with pytest.raises(OutputFileError, match="demo"):
        VAEDemoFlow().run(out_dir=str(tmp_path / "demo"))


class SortOutFlow(CombinedWorkflow):
    """Filter a tractogram, then label what was kept."""

    def _get_sub_flows(self):
        return [FilterVAEFlow, LabelVAEFlow]

    def run(self, model_file, input_files, out_dir=""):
        """Filter, then label.

        Parameters
        ----------
        model_file : string
            Model.
        input_files : string
            Tractogram.
        out_dir : string, optional
            Output directory.
        """
        filtering, labelling = (flow() for flow in self._get_sub_flows())
        self.run_sub_flow(filtering, model_file, input_files, out_dir=out_dir)
        kept = filtering.last_generated_outputs["out_kept"]
        self.run_sub_flow(labelling, model_file, kept, out_dir=out_dir)
        self.outputs = labelling.last_generated_outputs


def test_chain_of_filter_and_label(paths, tmp_path, trained_vae):
    model = tmp_path / "vae.keras"
    save_model(trained_vae, model)
    flow = SortOutFlow()
    flow.set_sub_flows_optionals(
        {
            "FilterVAEFlow": {"plausible_files": paths, "alpha": 0.0},
            "LabelVAEFlow": {"bundle_files": paths, "out_tractogram": "it.trk"},
        }
    )
    flow.run(str(model), paths[0], out_dir=str(tmp_path / "out"))
    found = load_tractogram(flow.outputs["out_tractogram_AF"])
    assert len(found) == 20
    assert len(load_tractogram(flow.outputs["out_tractogram_CST"])) == 0
