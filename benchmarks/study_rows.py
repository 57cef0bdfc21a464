"""The runs of the FiberCup study: name to settings."""

SEED_MODEL = {"backbone": "finta", "linear_skip": False}
# The GSoC 2024 project: its loss, coordinates in mm, directions as they come, a fixed
# rate and small batches, every epoch used.
GSOC = {
    **SEED_MODEL,
    "loss": "mse",
    "normalise": False,
    "orientation": "as_is",
    "rate_schedule": False,
    "clip_norm": 0.0,
    "learning_rate": 6.68e-4,
    "batch_size": 20,
}
HEADLINE = {
    "VAE": {},
    "AE": {"model": "ae"},
    "seed VAE": SEED_MODEL,
    "seed AE": {**SEED_MODEL, "model": "ae"},
    "GSoC VAE": GSOC,
}
DIMENSIONS = (2, 4, 6, 8, 16, 32)
SWEEPS = {
    "latent_dim": [{"latent_dim": d} for d in DIMENSIONS],
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


def study_runs(*, quick=False):
    """Every run of the study.

    Parameters
    ----------
    quick : bool, optional
        A handful of short ones.

    Returns
    -------
    runs : dict of dict
        Name to "section", "row" and training settings.
    """
    runs = {}

    def add(section, row, **settings):
        name = "-".join([section, row, *(f"{k}={v}" for k, v in settings.items())])
        name = "".join(c if c.isalnum() or c in "-=._" else "_" for c in name)
        runs[name] = {"section": section, "row": row, "settings": settings}

    if quick:
        for row in ("VAE", "AE"):
            add("headline", row, **HEADLINE[row], latent_dim=6, epochs=3, seed=0)
        return runs
    # Fast rows first, so that an interrupted study has most of its tables.
    slow = []
    for section, sweep in SWEEPS.items():
        for settings in sweep:
            row = ", ".join(f"{k}={v}" for k, v in settings.items())
            item = (section, row, {**settings, "epochs": 50, "seed": 0})
            (slow if settings.get("backbone", "dense") != "dense" else [item]).append(
                item
            )
            if item not in slow:
                add(section, row, **item[2])
    for row in HEADLINE:
        for epochs in (50, 120):
            for seed in (0, 1, 2):
                settings = {**HEADLINE[row], "epochs": epochs, "seed": seed}
                if "backbone" in settings:
                    slow.append(("headline", row, settings))
                else:
                    add("headline", row, **settings)
    for section, row, settings in sorted(slow, key=lambda item: item[2]["seed"]):
        add(section, row, **settings)
    return runs
