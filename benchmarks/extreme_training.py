"""Train with extreme settings and data: results are finite, or a clear error stops it.

    python benchmarks/extreme_training.py

Runs the cases of ``tests/nn/test_numerics.py`` with all four KL schedules, and once
with convolutions without a skip; CI runs each case with one schedule. A training that
ends with a non-finite number, or with an error other than `TrainingDivergedError`, is a
failure. Writes ``doc/results/extreme_training.csv``.
"""

from collections import Counter
import csv
from pathlib import Path
import sys

from study_main import main

from dipy_tractoencoder.nn.architecture import KL_ANNEALINGS
from dipy_tractoencoder.utils.atomic_files import whole_file

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))
CONVOLUTIONS = {"backbone": "compact", "linear_skip": False}


def outcome(name, options):
    from test_numerics import finite_or_stopped

    try:
        return "finite" if finite_or_stopped(name, **options) else "stopped"
    except Exception as err:  # Whatever it is, it is what this looks for.
        return f"failed: {type(err).__name__}: {err}"


def run(options):
    from test_numerics import CASES, SCHEDULES

    rows = []
    for name in CASES:
        todo = [("dense", schedule, {}) for schedule in KL_ANNEALINGS]
        todo.append(("compact, no skip", SCHEDULES[name], CONVOLUTIONS))
        for networks, kl_annealing, more in todo:
            what = outcome(name, {"kl_annealing": kl_annealing, **more})
            row = {"case": name, "networks": networks, "kl_annealing": kl_annealing}
            rows.append({**row, "outcome": what})
            print(rows[-1], flush=True)
    with (
        whole_file(options.out) as partial,
        open(partial, "w", encoding="utf-8", newline="") as file,
    ):
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    counts = Counter(row["outcome"].partition(":")[0] for row in rows)
    print(dict(counts))
    sys.exit(counts["failed"] > 0)


if __name__ == "__main__":
    main(run, __doc__, out_file="extreme_training.csv")
