"""
=====================
5. Chain the commands
=====================

Every command is a DIPY workflow, a Python class. You can chain commands in three ways:
in the shell, in a ``CombinedWorkflow``, which gives a new command, or with the Python
library, without files. This tutorial trains, filters and labels in the first two ways.
"""

import os
from pathlib import Path
import shlex
import subprocess
import tempfile

from dipy.workflows.combined_workflow import CombinedWorkflow
import matplotlib.pyplot as plt

import dipy_tractoencoder as dte

temporary = tempfile.TemporaryDirectory()
folder = Path(temporary.name)

###############################################################################
# In the shell
# ------------
#
# This function runs the command lines below; in a terminal, type what follows the
# ``$``.


def run(line):
    """Run a command line in the folder, and show what it prints."""
    print("$", line)
    done = subprocess.run(
        shlex.split(line), cwd=folder, capture_output=True, text=True, check=False
    )
    print(done.stdout + done.stderr if done.returncode else done.stdout)
    return done.returncode


###############################################################################
# The data are those of a synthetic FiberCup. The bundles are groups of the TRX files.

run(
    "dipy_simulate_fibercup --n_train 800 --n_validation 150 --n_test 300 --out_dir cup"
)

###############################################################################
# Train, then filter. At the end, each command lists its outputs and the next step. The
# plausible streamlines are a group of the training file.

run(
    "dipy_train_vae cup/train.trx --validation_files cup/validation.trx "
    "--latent_dim 16 --epochs 20 --out_dir model"
)

###############################################################################

run(
    "dipy_filter_vae model/vae.keras cup/test.trx --plausible_files cup/train.trx "
    "--groups plausible --validation_file cup/validation.trx --out_dir filtered"
)

###############################################################################

run(
    "dipy_label_vae model/vae.keras filtered/kept.trx --bundle_files cup/train.trx "
    "--groups bundle_* --one_file --out_dir labelled"
)

###############################################################################
# Existing files are not replaced without ``--force``. The command prints one line and
# exits with code 2 before it starts to work, so a script with ``set -e`` stops there.

code = run("dipy_train_vae cup/train.trx --out_dir model")
print("exit code:", code)

###############################################################################
# A command accepts several inputs, and loads the model once. If inputs have the same
# name, the names of their outputs begin with the names of the folders.

for subject in ("sub-01", "sub-02"):
    (folder / subject).mkdir()
    os.link(folder / "cup" / "test.trx", folder / subject / "whole.trx")
run("dipy_encode_vae model/vae.keras sub-01/whole.trx sub-02/whole.trx --out_dir both")

###############################################################################
# As a combined workflow
# ----------------------
#
# A ``CombinedWorkflow`` lists its parts and passes outputs from one to the next. It can
# be used as a command as well: a script with ``run_flow(SortOutFlow())`` has all
# options of its parts, for example ``--filter.alpha`` or ``--label.alpha``.


class SortOutFlow(CombinedWorkflow):
    """Train on one tractogram; filter and label another."""

    def _get_sub_flows(self):
        return [dte.TrainVAEFlow, dte.FilterVAEFlow, dte.LabelVAEFlow]

    def run(self, training_file, new_file, out_dir=""):
        """Train, filter, label.

        Parameters
        ----------
        training_file : string
            TRX with the groups plausible and bundle_*.
        new_file : string
            Tractogram to filter and label.
        out_dir : string, optional
            Output directory.
        """
        train, sift, label = (
            flow(force=self._force_overwrite) for flow in self._get_sub_flows()
        )
        out_dir = Path(out_dir)
        self.run_sub_flow(train, training_file, out_dir=str(out_dir / "model"))
        model = train.last_generated_outputs["out_model"]
        self.run_sub_flow(
            sift,
            model,
            new_file,
            plausible_files=[training_file],
            groups=["plausible"],
            out_dir=str(out_dir / "filtered"),
        )
        kept = sift.last_generated_outputs["out_kept"]
        self.run_sub_flow(
            label,
            model,
            kept,
            bundle_files=[training_file],
            groups=["bundle_*"],
            out_dir=str(out_dir / "labelled"),
        )
        self.tables = sift.table, label.table


###############################################################################
# In Python, first set the options of the parts by the names of their classes.

flow = SortOutFlow()
flow.set_sub_flows_optionals(
    {
        "TrainVAEFlow": {"latent_dim": 16, "epochs": 20},
        "FilterVAEFlow": {"alpha": 0.02},
        "LabelVAEFlow": {"alpha": 0.02},
    }
)
flow.run(
    str(folder / "cup" / "train.trx"),
    str(folder / "cup" / "test.trx"),
    out_dir=str(folder / "combined"),
)
filtered, labelled = flow.tables
for row in filtered:
    print({key: row[key] for key in ("n_kept", "n_removed", "alpha", "accuracy")})
for row in labelled:
    print({key: row[key] for key in ("bundle", "n_streamlines")})

###############################################################################
# The figure written by the filter:

fig, axis = plt.subplots(figsize=(11, 4.5), layout="constrained")
axis.imshow(plt.imread(folder / "combined" / "filtered" / "filter.png"))
axis.set_axis_off()
plt.show()

###############################################################################
# Labelled bundles are ordinary tractograms:

for path in sorted((folder / "combined" / "labelled").glob("*labelled.trx")):
    tractogram = dte.load_tractogram(path)
    print(f"{path.name:32} {len(tractogram):4}", *tractogram.data_per_streamline)
