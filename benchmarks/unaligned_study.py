r"""Label a whole brain by bundles of other subjects, before and after alignment.

    KERAS_BACKEND=jax python benchmarks/unaligned_study.py --whole_brain brain.trk.gz \
        --hcp1065 hcp1065.trx

The atlas is three bundles of one of DIPY's subjects, in its own space, and the model is
trained on them; nothing of the brain belongs there. Then brain and subjects are aligned
to a common atlas (--hcp1065) and labelled again: the lengths of what is labelled should
be those of the bundles. Any whole brain will do, and any atlas of a whole brain, for
example the HCP1065 atlas of F.-C. Yeh (https://brain.labsolver.org). Writes
``doc/results/unaligned.{csv,rst}``.
"""

import numpy as np
from result_tables import write_results
from study_data import SUBJECTS, bundles_without
from study_main import RESULTS, main, option

from dipy_tractoencoder import (
    check_alignment,
    encode,
    fit_alignment,
    fit_alignment_reference,
    fit_latent_classifier,
    label_streamlines,
    load_tractogram,
    train,
)
from dipy_tractoencoder.latent.alignment import aligned
from dipy_tractoencoder.streamlines.array import as_sequence
from dipy_tractoencoder.workflows.demo import BUNDLES

COLUMNS = {
    "atlas": "atlas",
    "space": "space",
    "warned": "alignment check warns",
    "estimate": "factor before the guard",
    "factor": "subject factor",
    "judged": "judged",
    "labelled": "labelled",
    "fraction": "fraction",
    "bundle_length": "bundles, median length (mm)",
    "labelled_length": "labelled, median length (mm)",
}
ABOUT = """\
A whole brain labelled with alpha 0.05 by three bundles of others. Lengths are medians
over the bundles, of those that anything was labelled as, weighted by how much was.
By ``benchmarks/unaligned_study.py``."""


def length(lines):
    """Length of each streamline, mm."""
    return np.array([np.linalg.norm(np.diff(x, axis=0), axis=1).sum() for x in lines])


def labelled(brain, atlas, codes, name, space):
    """Row for the labels of a brain by an atlas."""
    model = train(as_sequence(atlas), seed=0)
    latents = encode(model, as_sequence(atlas))
    classifier = fit_latent_classifier(latents.mean, codes[latents.index], BUNDLES)
    check = check_alignment(fit_alignment_reference(as_sequence(atlas)), brain)
    labels = label_streamlines(model, brain, classifier)
    found = labels.bundle >= 0
    row = {
        "atlas": name,
        "space": space,
        "warned": "yes" if check.verdict != "accepted" else "no",
        "estimate": labels.factor.estimate,
        "factor": labels.factor.factor,
        "judged": len(brain),
        "labelled": int(found.sum()),
        "fraction": float(found.mean()),
    }
    counts = np.bincount(labels.bundle[found], minlength=len(BUNDLES))
    if found.any():
        own, new = length(atlas), length(brain)
        for key, lengths, bundle in (
            ("bundle_length", own, codes),
            ("labelled_length", new, labels.bundle),
        ):
            there = [c for c in range(len(BUNDLES)) if counts[c]]
            medians = [np.median(lengths[bundle == code]) for code in there]
            row[key] = float(np.average(medians, weights=counts[there]))
    return row


def run(options):
    brain = as_sequence(load_tractogram(options.whole_brain))
    home = fit_alignment_reference(load_tractogram(options.hcp1065).streamlines)
    moved_brain = aligned(brain, fit_alignment(home, brain))
    moved, rows = [], []
    for name in SUBJECTS:
        lines, codes = bundles_without(name)["test"]
        codes = np.asarray(codes)
        rows.append(labelled(brain, lines, codes, name, "its own"))
        there = aligned(as_sequence(lines), fit_alignment(home, as_sequence(lines)))
        rows.append(labelled(moved_brain, list(there), codes, name, "aligned"))
        moved.append((list(there), codes))
    lines = [line for part, _ in moved for line in part]
    codes = np.concatenate([codes for _, codes in moved])
    rows.append(labelled(moved_brain, lines, codes, "all five", "aligned"))
    write_results(
        rows,
        options.out_dir / "unaligned",
        title="Labels of a brain that is not aligned",
        about=ABOUT,
        columns=COLUMNS,
    )


if __name__ == "__main__":
    main(
        run,
        __doc__,
        option("--whole_brain", required=True, help="tractogram of a whole brain"),
        option("--hcp1065", required=True, help="tractogram to align both to"),
        out_dir=RESULTS,
    )
