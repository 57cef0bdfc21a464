"""The runs of the FiberCup study: name to data and settings."""

from study_data import SUBJECTS

SEED_MODEL = {"backbone": "finta", "linear_skip": False}
# The GSoC 2024 project: its loss, coordinates in mm, directions as they come, a fixed
# rate and small batches, every epoch used. The weights kept are still those of the
# best validation epoch, which is kind to it: the last ones may be far off.
GSOC = {
    **SEED_MODEL,
    "loss": "mse",
    "normalise": False,
    "orientation": "as_is",
    "rate_schedule": False,
    "clip_norm": 0.0,
    "learning_rate": 6.68e-4,
    "batch_size": 20,
    "refit": False,
}
HEADLINE = {
    "VAE": {},
    "AE": {"model": "ae"},
    "seed VAE": SEED_MODEL,
    "seed AE": {**SEED_MODEL, "model": "ae"},
    "GSoC VAE": GSOC,
}
DIMENSIONS = (2, 4, 6, 8, 16, 32)
EPOCHS = (50, 120)
SWEEPS = {
    "latent_dim": [
        *({"latent_dim": d} for d in DIMENSIONS),
        *({"latent_dim": d, "model": "ae"} for d in DIMENSIONS),
    ],
    "kl_annealing": [
        {"latent_dim": 6, "kl_annealing": name}
        for name in ("constant", "warmup", "cyclical", "rise_and_fall")
    ],
    "seed kl_annealing": [
        {**SEED_MODEL, "kl_annealing": name}
        for name in ("warmup", "cyclical", "rise_and_fall")
    ],
    "orientation": [
        {"latent_dim": 6, "orientation": name}
        for name in ("canonical", "augment", "as_is")
    ],
    "backbone": [
        {"latent_dim": 6, "backbone": backbone, "linear_skip": skip}
        for backbone in ("dense", "compact", "finta")
        for skip in (True, False)
    ],
    "loss": [{"latent_dim": 6, "loss": name} for name in ("likelihood", "mse")],
    "epsilon_std": [{"latent_dim": 6, "epsilon_std": s} for s in (0.1, 0.5, 1.0, 2.0)],
}
# What might bring the default VAE nearer to a third of PCA's error at six dimensions.
# "constants" are values of the package's modules, changed for that run alone.
REMEDIES = {
    "as it is": {},
    "400 epochs": {"epochs": 400},
    "rate 1e-3": {"learning_rate": 1e-3},
    "rate 4e-3": {"learning_rate": 4e-3},
    "batch 32": {"batch_size": 32},
    "kl_weight 0.1": {"kl_weight": 0.1},
    "autoencoder, 400 epochs": {"model": "ae", "epochs": 400},
    "wider (1024)": {"constants": {"nn.architecture.DENSE_UNITS": (1024, 1024)}},
    "deeper (4 x 256)": {"constants": {"nn.architecture.DENSE_UNITS": (256,) * 4}},
    "128 directions": {"constants": {"nn.autoencoder.N_COMPONENTS": 128}},
    "wider, 400 epochs, rate 1e-3": {
        "epochs": 400,
        "learning_rate": 1e-3,
        "constants": {"nn.architecture.DENSE_UNITS": (1024, 1024)},
    },
}


def study_runs(*, quick=False):
    """Every run of the study.

    Parameters
    ----------
    quick : bool, optional
        A handful of short ones.

    Returns
    -------
    runs : dict of dict
        Name to "section", "data", "row", training settings, and perhaps "constants"
        and "snapshot", the name of the run that is the first epochs of this one.
    """
    runs = {}

    def add(section, row, *, data="phantom", constants=None, **settings):
        shown = {k: v for k, v in settings.items() if k in ("epochs", "seed")}
        parts = [section, data, row, *(f"{k}={v}" for k, v in shown.items())]
        name = "-".join(parts)
        name = "".join(c if c.isalnum() or c in "-=._" else "_" for c in name)
        runs[name] = {"section": section, "data": data, "row": row}
        runs[name]["settings"] = settings
        if constants:
            runs[name]["constants"] = constants
        return name

    def add_headline(rows, data, seed, *, lengths=EPOCHS, **settings):
        for row in rows:
            names = [
                add(
                    "headline",
                    row,
                    data=data,
                    **{**HEADLINE[row], **settings, "epochs": epochs, "seed": seed},
                )
                for epochs in lengths
            ]
            # At a fixed rate the shorter run is in the longer.
            if row == "GSoC VAE" and len(names) == 2:
                runs[names[1]]["snapshot"] = names[0]

    if quick:
        rows = ("VAE", "seed VAE", "GSoC VAE")
        add_headline(rows, "phantom", 0, lengths=(1, 2), latent_dim=6)
        add_headline(rows[:1], "sub_5", 0, lengths=(1, 2), latent_dim=6)
        add("remedies", "128 directions", **REMEDIES["128 directions"], epochs=2)
        return runs

    # Fast rows first, so that an interrupted study has most of its tables.
    fast, slow = ("VAE", "AE"), ("seed VAE", "GSoC VAE", "seed AE")
    sweep = {"epochs": 50, "seed": 0}
    for section, rows in SWEEPS.items():
        for settings in rows:
            if settings.get("backbone", "dense") == "dense":
                add(section, row_name(settings), **settings, **sweep)
    for row, settings in REMEDIES.items():
        add("remedies", row, **{**sweep, "latent_dim": 6, **settings})
    for seed in (0, 1, 2):
        add_headline(fast, "phantom", seed)
    for subject in SUBJECTS:
        add_headline(fast, subject, 0)
        for settings in SWEEPS["latent_dim"]:
            row = row_name(settings)
            add("latent_dim", row, data=subject, **settings, epochs=100, seed=0)
    # Hours.
    add_headline(slow[:2], "phantom", 0)
    add_headline(slow[2:], "phantom", 0)
    add("latent_dim", "GSoC VAE, latent_dim=6", **GSOC, latent_dim=6, **sweep)
    for section, rows in SWEEPS.items():
        for settings in rows:
            if settings.get("backbone", "dense") != "dense":
                add(section, row_name(settings), **settings, **sweep)
    for subject in reversed(SUBJECTS):
        add_headline(slow, subject, 0, lengths=EPOCHS[:1])
    for seed in (1, 2):
        add_headline(slow, "phantom", seed, lengths=EPOCHS[:1])
    return runs


def row_name(settings):
    """Name a row after its settings."""
    return ", ".join(f"{k}={v}" for k, v in settings.items())
