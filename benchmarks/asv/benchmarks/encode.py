"""Encoding and decoding; the model is an untrained one of the usual size."""

import dipy_tractoencoder as dte


class Encode:
    """Default model; time does not depend on what it has learned."""

    params = (1_000, 100_000)
    param_names = ("n_streamlines",)
    timeout = 600
    number = 1

    def setup(self, n_streamlines):
        some = dte.make_fibercup(1_000, 0.0, seed=0).streamlines
        self.model = dte.train(some, epochs=0)
        self.lines = [some[k % len(some)] for k in range(n_streamlines)]
        self.latents = dte.encode(self.model, self.lines)  # Compiled, too.
        dte.decode(self.model, self.latents)

    def time_encode(self, n_streamlines):
        dte.encode(self.model, self.lines)

    def time_decode(self, n_streamlines):
        dte.decode(self.model, self.latents)

    def peakmem_encode(self, n_streamlines):
        dte.encode(self.model, self.lines)
