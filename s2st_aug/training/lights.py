"""Training the classifier of made-up lights: blobs of true variants against lights pasted into them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.numpy import save
from torch import nn

from s2st_aug.arrays import Box, Mask
from s2st_aug.procedural.categories import CATEGORIES
from s2st_aug.procedural.drawing import draw_street
from s2st_aug.procedural.labels import read_labels
from s2st_aug.procedural.render import render_drawn
from s2st_aug.procedural.sampling import sample_street
from s2st_aug.procedural.surfaces import surfaces
from s2st_aug.randomness import numpy_generator
from s2st_aug.records.domains import ConditionName
from s2st_aug.records.scene import SceneObject
from s2st_aug.training.pasted_lights import Pair, pasted_light
from s2st_aug.validation.hallucinations import blob_patches
from s2st_aug.validation.lights import CHANNELS, LAYERS
from s2st_aug.validation.patches import frame

CONDITIONS: tuple[ConditionName, ...] = ("night", "rain", "dusk", "fog", "night_rain")
SETS, LIGHTS = 2, 6  # how often lights are pasted into a variant, and how many at once
WIDTHS = (16, 24, 32)
HIDDEN, DROP = 32, 0.3
STEPS, BATCH, RATE, DECAY = 1500, 64, 2e-3, 0.05


@dataclass(frozen=True, slots=True, eq=False)
class Blobs:
    """`patches` n 32 32 6 uint8 and which of them show a pasted light."""

    patches: np.ndarray
    made_up: np.ndarray


def street_pairs(key: int, index: int, size: tuple[int, int]) -> Iterator[tuple[str, Pair]]:
    """A street by day against its other conditions, with its labels as boxes."""
    drawn = draw_street(sample_street(key, index, size))
    surface, labels = surfaces(drawn), read_labels(drawn)
    named = [(o, CATEGORIES[o.instance.category].det) for o in labels.objects]
    boxes = tuple(SceneObject(str(o.instance.number), "box", name, o.box) for o, name in named if name)
    day = render_drawn(drawn, surface, "day")
    for condition in CONDITIONS:
        yield f"{key}-{index}-{condition}", Pair(day, render_drawn(drawn, surface, condition), boxes)


def gathered(pairs: Iterable[tuple[str, Pair]], translated: Iterable[tuple[str, Pair, Mask]] = ()) -> Blobs:
    """Blobs of each true variant, and of the same with lights pasted in.

    `translated` are variants of a model with the place (`h w` bool) of the lights of the true one: a blob there is
    true, and of a blob elsewhere nobody knows, so it teaches nothing.
    """
    found = [_blobs_of(name, pair) for name, pair in pairs]
    found += [_blobs_of(name, pair, true) for name, pair, true in translated]
    return Blobs(np.concatenate([b.patches for b in found]), np.concatenate([b.made_up for b in found]))


def _blobs_of(name: str, pair: Pair, true: Mask | None = None) -> Blobs:
    source, rng = frame(pair.source), numpy_generator(0, "lights", name)
    boxes, own = blob_patches(source, frame(pair.variant), pair.objects)
    if true is not None:
        own = own[[bool(true[int(y1) : int(y2) + 1, int(x1) : int(x2) + 1].any()) for x1, y1, x2, y2 in boxes]]
    patches = [own]
    made_up = [np.zeros(len(patches[0]), bool)]
    for _ in range(SETS):
        planted, places = _with_lights(pair, rng)
        boxes, found = blob_patches(source, frame(planted.variant), pair.objects)
        hit = np.array([any(_touch(b, p) for p in places) for b in boxes], bool)
        patches, made_up = [*patches, found[hit]], [*made_up, np.ones(int(hit.sum()), bool)]
    return Blobs(np.concatenate(patches), np.concatenate(made_up))


def _with_lights(pair: Pair, rng: np.random.Generator) -> tuple[Pair, list[Box]]:
    """Several lights at once, well apart."""
    places: list[Box] = []
    for _ in range(LIGHTS):
        taken = tuple(SceneObject("", "box", "", (b[0] - 40, b[1] - 40, b[2] + 40, b[3] + 40)) for b in places)
        planted = pasted_light(replace(pair, objects=pair.objects + taken), None, rng)
        if planted is not None and planted.box is not None:
            pair, places = replace(pair, variant=planted.variant), [*places, planted.box]
    return pair, places


def _touch(a: Box, b: Box) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


class LightNet(nn.Module):
    """What `validation.lights.scores_with` computes, with dropout before the hidden layer."""

    def __init__(self) -> None:
        super().__init__()
        a, b, c = WIDTHS
        self.conv1, self.conv2, self.conv3 = (nn.Conv2d(i, o, 3, 2, 1) for i, o in ((CHANNELS + 3, a), (a, b), (b, c)))
        self.hidden, self.out = nn.Linear(16 * c, HIDDEN), nn.Linear(HIDDEN, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits `n` of patches `n 6 32 32` in -1..1."""
        x = torch.cat([x, x[:, 3:] - x[:, :3]], 1)
        for name in LAYERS:
            x = F.relu(getattr(self, name)(x))
        x = F.dropout(x.permute(0, 2, 3, 1).flatten(1), DROP, self.training)
        return self.out(F.relu(self.hidden(x)))[:, 0]


def fit_lights(blobs: Blobs, *, steps: int = STEPS) -> dict[str, np.ndarray]:
    """Weights in the form that `validation.lights` reads; the same blobs give the same weights on one thread."""
    torch.manual_seed(0)
    net, rng = LightNet(), np.random.default_rng(0)
    optimizer = torch.optim.AdamW(net.parameters(), RATE, weight_decay=DECAY)
    pixels = torch.from_numpy(blobs.patches).permute(0, 3, 1, 2)
    wanted = torch.from_numpy(blobs.made_up.astype(np.float32)) * 0.98 + 0.01
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = RATE * 0.5 * (1 + np.cos(np.pi * step / steps))
        chosen = rng.choice(len(pixels), BATCH)
        # mirrored, moved by up to two pixels, brighter or darker: all of a batch alike
        batch = pixels[chosen].flip(-1) if rng.random() < 0.5 else pixels[chosen]
        batch = torch.roll(batch, tuple(rng.integers(-2, 3, 2).tolist()), (2, 3))
        batch = batch.float() / 128 * float(rng.uniform(0.85, 1.15)) - 1
        loss = F.binary_cross_entropy_with_logits(net(batch), wanted[chosen])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return _named(net)


def _named(net: LightNet) -> dict[str, np.ndarray]:
    """Weights by name; the difference of the two pictures is folded into the first kernel."""
    convs = {name: getattr(net, name) for name in LAYERS}
    kernels = {name: conv.weight.detach().permute(2, 3, 1, 0) for name, conv in convs.items()}
    source, variant, difference = kernels["conv1"].split(3, 2)
    kernels["conv1"] = torch.cat([source - difference, variant + difference], 2)
    out = {f"{name}.weight": kernel.reshape(-1, kernel.shape[-1]).numpy() for name, kernel in kernels.items()}
    out |= {f"{name}.bias": conv.bias.detach().numpy() for name, conv in convs.items()}
    for name, layer in (("hidden", net.hidden), ("out", net.out)):
        out |= {f"{name}.weight": layer.weight.detach().T.numpy(), f"{name}.bias": layer.bias.detach().numpy()}
    return {k: np.ascontiguousarray(v, np.float32) for k, v in out.items()}


def write_lights(weights: dict[str, np.ndarray], path: Path, fitted_on: str) -> None:
    """The weights as safetensors; one metadata key, so that the bytes are the same every time."""
    path.write_bytes(save(weights, metadata={"fitted_on": fitted_on}))
