"""Two-dimensional projections of a latent space."""

import numpy as np

from dipy_tractoencoder.errors import InvalidArgumentError, check_choice

PROJECTIONS = ("pca", "tsne")


def latent_map(
    latent: np.ndarray, method: str = "pca", *, seed: int = 0
) -> tuple[np.ndarray, float | None]:
    """Project latents to two dimensions.

    Parameters
    ----------
    latent : ndarray, shape (n_streamlines, latent_dim)
        Posterior means.
    method : {"pca", "tsne"}, optional
        PCA, which preserves distances as far as two dimensions allow, or t-SNE
        :footcite:p:`vanderMaaten2008`, which preserves neighbourhoods but not
        distances.
    seed : int, optional
        Seed of t-SNE.

    Returns
    -------
    map : ndarray, shape (n_streamlines, 2)
        Coordinates, in the unit of the latents for "pca", without unit for "tsne".
    fraction : float or None
        Fraction of the variance explained by the two components; None for "tsne".

    Raises
    ------
    InvalidArgumentError
        If the method is unknown or there are fewer than three streamlines.

    Examples
    --------
    >>> import numpy as np
    >>> import dipy_tractoencoder as dte
    >>> flat, fraction = dte.latent_map(np.random.default_rng(0).normal(size=(50, 4)))
    >>> flat.shape, 0 < fraction < 1
    ((50, 2), True)
    """
    check_choice("method", method, PROJECTIONS)
    latent = np.asarray(latent, dtype=np.float64)
    if len(latent) < 3:
        raise InvalidArgumentError(
            f"A latent map needs at least three streamlines. Received: {len(latent)}."
        )
    if method == "pca":
        from sklearn.decomposition import PCA

        pca = PCA(min(2, latent.shape[1]))
        flat = pca.fit_transform(latent)
        if flat.shape[1] == 1:  # One latent dimension: a line.
            flat = np.column_stack([flat, np.zeros(len(flat))])
        return flat, float(pca.explained_variance_ratio_.sum())
    from sklearn.manifold import TSNE

    perplexity = min(30.0, (len(latent) - 1) / 3)
    tsne = TSNE(2, perplexity=perplexity, init="random", random_state=seed)
    return tsne.fit_transform(latent), None
