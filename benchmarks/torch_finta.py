"""FINTA's autoencoder in PyTorch, from its published layer table."""

import torch
from torch import nn

FILTERS = (32, 64, 128, 256, 512)


class Finta(nn.Module):
    """Points (n, 3, n_points) in and out."""

    def __init__(self, n_points=256, latent_dim=32):
        super().__init__()
        steps = n_points // 2 ** len(FILTERS)
        pad = {"padding": 1, "padding_mode": "reflect"}
        encoder, channels = [], 3
        for filters in FILTERS:
            encoder += [nn.Conv1d(channels, filters, 3, stride=2, **pad), nn.ReLU()]
            channels = filters
        encoder += [nn.Conv1d(channels, 1024, 3, **pad), nn.Flatten()]
        self.encoder = nn.Sequential(*encoder, nn.Linear(1024 * steps, latent_dim))
        decoder = [nn.Linear(latent_dim, 1024 * steps), nn.Unflatten(1, (1024, steps))]
        channels = 1024
        for filters in FILTERS[::-1]:
            decoder += [nn.Conv1d(channels, filters, 3, **pad), nn.ReLU()]
            decoder += [nn.Upsample(scale_factor=2, mode="linear")]
            channels = filters
        self.decoder = nn.Sequential(*decoder, nn.Conv1d(channels, 3, 3, **pad))

    def forward(self, x):
        return self.decoder(self.encoder(x))


def train(points, batch_size):
    """Train one epoch with Adam and mean squared error; yields after each batch."""
    model = Finta(points.shape[1])
    optimizer = torch.optim.Adam(model.parameters(), lr=6.68e-4)
    data = torch.from_numpy(points.transpose(0, 2, 1).copy())
    while True:
        for batch in data[torch.randperm(len(data))].split(batch_size):
            optimizer.zero_grad()
            nn.functional.mse_loss(model(batch), batch).backward()
            optimizer.step()
        yield model


@torch.no_grad()
def encode(model, points, batch_size):
    """Latents of points (n, n_points, 3)."""
    data = torch.from_numpy(points.transpose(0, 2, 1).copy())
    return torch.cat([model.encoder(batch) for batch in data.split(batch_size)]).numpy()
