"""Training the classifier of made-up lights: what shines in true variants against lights painted into them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.numpy import save
from torch import nn

from s2st_aug.arrays import Box, Mask
from s2st_aug.procedural.categories import CATEGORIES
from s2st_aug.procedural.drawing import Drawn, draw_street
from s2st_aug.procedural.labels import read_labels
from s2st_aug.procedural.render import render_drawn
from s2st_aug.procedural.sampling import sample_street
from s2st_aug.procedural.surfaces import surfaces
from s2st_aug.randomness import numpy_generator
from s2st_aug.records.domains import ConditionName
from s2st_aug.records.scene import SceneObject
from s2st_aug.training.false_lights import false_light
from s2st_aug.training.pasted_lights import Pair
from s2st_aug.validation.hallucinations import candidates, unexplained_share
from s2st_aug.validation.lights import CHANNELS, LAYERS, SIDE, logits
from s2st_aug.validation.patches import frame

CONDITIONS: tuple[ConditionName, ...] = ("night", "rain", "dusk", "fog", "night_rain")
SIZES = ((1280, 720), (640, 360), (960, 540), (1280, 720), (640, 360), (1600, 900))
"""w, h in pixels of one street after another: a lamp drawn at 640 px is sharper than one that was shrunk to it."""
SETS, LIGHTS = 2, 6  # how often lights are painted into a variant, and how many at once
APART = 20  # px between them
NEAR = 9  # px: a variant's light this near to a true one is that one
STANDS = 0.75  # correlation with the source from which what shines in a model's variant stands in the source
WIDTHS = (32, 64, 64)
HIDDEN, DROP = 64, 0.3
STEPS, WARM, BATCH, RATE, DECAY = 12_000, 200, 64, 2e-3, 0.05
BRIGHTER = 0.2  # by how much a patch is made brighter or darker at most
REJECTS = 0.95  # the score that rejects, which `at_most` gives its meaning
LOWEST = -30.0  # output where there is no candidate
MADE_UP = 0.4  # share of a batch


@dataclass(frozen=True, slots=True, eq=False)
class Blobs:
    """`patches` n 32 32 12 uint8 and which of them show a false light."""

    patches: np.ndarray
    made_up: np.ndarray


@dataclass(frozen=True, slots=True, eq=False)
class Translated:
    """A model's variant of a street, and where lights truly are (`h w` bool)."""

    pair: Pair
    true: Mask


def drawn_boxes(drawn: Drawn) -> tuple[SceneObject, ...]:
    """A drawn street's labels: boxes of the detection classes."""
    named = [(o, CATEGORIES[o.instance.category].det) for o in read_labels(drawn).objects]
    return tuple(SceneObject(str(o.instance.number), "box", name, o.box) for o, name in named if name)


def street_pairs(key: int, index: int, size: tuple[int, int] | None = None) -> Iterator[tuple[str, Pair]]:
    """A street by day against its other conditions with its labels as boxes, at a size (w, h), else at one of SIZES."""
    drawn = draw_street(sample_street(key, index, size or SIZES[index % len(SIZES)]))
    surface, boxes = surfaces(drawn), drawn_boxes(drawn)
    day = render_drawn(drawn, surface, "day")
    for condition in CONDITIONS:
        yield f"{key}-{index}-{condition}", Pair(day, render_drawn(drawn, surface, condition), boxes)


def gathered(pairs: Iterable[tuple[str, Pair]], translated: Iterable[tuple[str, Translated]] = ()) -> Blobs:
    """Candidates of each true variant, and of the same with false lights painted in.

    Of a model's variant only what is a true light or stands in the source counts as true; of the rest nobody knows, so
    it teaches nothing.
    """
    found = [_blobs_of(name, pair) for name, pair in pairs]
    found += [_blobs_of(name, done.pair, done.true) for name, done in translated]
    return Blobs(np.concatenate([b.patches for b in found]), np.concatenate([b.made_up for b in found]))


def _blobs_of(name: str, pair: Pair, true: Mask | None = None) -> Blobs:
    source, rng = frame(pair.source), numpy_generator(0, "lights", name)
    seen = candidates(source, frame(pair.variant), pair.objects)
    own = seen.patches
    if true is not None:
        lit = [bool(true[int(y1) : int(y2) + 1, int(x1) : int(x2) + 1].any()) for x1, y1, x2, y2 in seen.boxes]
        own = own[np.array(lit, bool) | (_correlation(own) >= STANDS)]
    patches, made_up = [own], [np.zeros(len(own), bool)]
    for _ in range(SETS):
        planted, places = _with_lights(pair, rng)
        seen = candidates(source, frame(planted.variant), pair.objects)
        hit = np.array([any(_touch(b, p) for p in places) for b in seen.boxes], bool)
        patches, made_up = [*patches, seen.patches[hit]], [*made_up, np.ones(int(hit.sum()), bool)]
    return Blobs(np.concatenate(patches), np.concatenate(made_up))


def _correlation(patches: np.ndarray) -> np.ndarray:
    """Of the brightness of source and variant in the middle of each patch, -1..1."""
    cut = slice(SIDE // 4, -SIDE // 4)
    source, variant = (patches[:, cut, cut, i : i + 3].max(-1).reshape(len(patches), (SIDE // 2) ** 2) for i in (0, 3))
    a, b = (x - x.mean(1, keepdims=True) for x in (source.astype(np.float64), variant.astype(np.float64)))
    return np.asarray((a * b).sum(1) / np.maximum(np.sqrt((a**2).sum(1) * (b**2).sum(1)), 1e-6))


def _with_lights(pair: Pair, rng: np.random.Generator) -> tuple[Pair, list[Box]]:
    """Several false lights at once, well apart."""
    places: list[Box] = []
    far = APART
    for _ in range(LIGHTS):
        taken = tuple(SceneObject("", "box", "", (b[0] - far, b[1] - far, b[2] + far, b[3] + far)) for b in places)
        planted = false_light(replace(pair, objects=pair.objects + taken), rng)
        if planted is not None and planted.box is not None:
            pair, places = replace(pair, variant=planted.variant), [*places, planted.box]
    return pair, places


def _touch(a: Box, b: Box) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


class LightNet(nn.Module):
    """What `validation.lights.logits` computes, with dropout before the hidden layer."""

    def __init__(self) -> None:
        super().__init__()
        a, b, c = WIDTHS
        self.conv1, self.conv2, self.conv3 = (nn.Conv2d(i, o, 3, 2, 1) for i, o in ((CHANNELS + 6, a), (a, b), (b, c)))
        self.hidden, self.out = nn.Linear(16 * c, HIDDEN), nn.Linear(HIDDEN, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits `n` of patches `n 12 32 32` in -1..1."""
        x = torch.cat([x, x[:, 3:6] - x[:, :3], x[:, 9:] - x[:, 6:9]], 1)
        for name in LAYERS:
            x = F.relu(getattr(self, name)(x))
        x = F.dropout(x.permute(0, 2, 3, 1).flatten(1), DROP, self.training)
        return self.out(F.relu(self.hidden(x)))[:, 0]


def fit_lights(blobs: Blobs, *, steps: int = STEPS) -> dict[str, np.ndarray]:
    """Weights in the form that `validation.lights` reads; the same blobs give the same weights on one thread.

    In bfloat16, channels last: on a processor that knows it a step takes a sixth of the time.
    """
    torch.manual_seed(0)
    net, rng = LightNet(), np.random.default_rng(0)
    net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = torch.optim.AdamW(net.parameters(), RATE, weight_decay=DECAY)
    pixels = torch.from_numpy(blobs.patches).permute(0, 3, 1, 2)
    groups = _groups(blobs.made_up)
    wanted = torch.from_numpy(blobs.made_up.astype(np.float32)) * 0.98 + 0.01
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = RATE * min(1.0, (step + 1) / WARM) * 0.5 * (1 + np.cos(np.pi * step / steps))
        chosen = np.concatenate([rng.choice(some, n) for some, n in groups])
        with torch.autocast("cpu", torch.bfloat16):
            found = net(_disguised(pixels[chosen], rng))
        loss = F.binary_cross_entropy_with_logits(found.float(), wanted[chosen])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return _named(net)


def _disguised(batch: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
    """Patches `n 12 32 32` in -1..1: each mirrored or not, brighter or darker, all moved by up to two pixels."""
    each = (len(batch), 1, 1, 1)
    mirrored = torch.from_numpy(rng.random(each) < 0.5)
    batch = torch.roll(torch.where(mirrored, batch.flip(-1), batch), tuple(rng.integers(-2, 3, 2).tolist()), (2, 3))
    gain = torch.from_numpy(rng.uniform(1 - BRIGHTER, 1 + BRIGHTER, each).astype(np.float32))
    return (batch.float() / 128 * gain - 1).contiguous(memory_format=torch.channels_last)


def surest(weights: dict[str, np.ndarray], pair: Pair) -> float:
    """The highest output of the network on a variant's candidates, of those whose score counts whole."""
    source, variant = frame(pair.source), frame(pair.variant)
    seen = candidates(source, variant, pair.objects)
    whole = np.array([unexplained_share(source, variant, box) >= REJECTS for box in seen.boxes], bool)
    return float(logits(weights, seen.patches[whole]).max(initial=LOWEST))


def at_most(share: float, weights: dict[str, np.ndarray], *true: Sequence[float]) -> dict[str, np.ndarray]:
    """The weights with their last bias moved so that at most this share of any group of true variants is rejected;
    each group holds what `surest` finds in its variants.
    """
    bar = max(sorted(outputs, reverse=True)[int(share * len(outputs))] for outputs in true)
    bias = weights["out.bias"] + np.float32(np.log(REJECTS / (1 - REJECTS)) - bar - 1e-3)
    return {**weights, "out.bias": bias}


def _groups(made_up: np.ndarray) -> list[tuple[np.ndarray, int]]:
    """Rows of false and of true lights, and how many of each a batch has."""
    both = [
        (np.flatnonzero(made_up), round(MADE_UP * BATCH)),
        (np.flatnonzero(~made_up), BATCH - round(MADE_UP * BATCH)),
    ]
    return [(rows, n) for rows, n in both if len(rows)]


def _named(net: LightNet) -> dict[str, np.ndarray]:
    """Weights by name; the differences of the pictures are folded into the first kernel."""
    convs = {name: getattr(net, name) for name in LAYERS}
    kernels = {name: conv.weight.detach().permute(2, 3, 1, 0) for name, conv in convs.items()}
    near, variant, wide, variant_wide, change, change_wide = kernels["conv1"].split(3, 2)
    folded = [near - change, variant + change, wide - change_wide, variant_wide + change_wide]
    kernels["conv1"] = torch.cat(folded, 2)
    out = {f"{name}.weight": kernel.reshape(-1, kernel.shape[-1]).numpy() for name, kernel in kernels.items()}
    out |= {f"{name}.bias": conv.bias.detach().numpy() for name, conv in convs.items()}
    for name, layer in (("hidden", net.hidden), ("out", net.out)):
        out |= {f"{name}.weight": layer.weight.detach().T.numpy(), f"{name}.bias": layer.bias.detach().numpy()}
    return {k: np.ascontiguousarray(v, np.float32) for k, v in out.items()}


def write_lights(weights: dict[str, np.ndarray], path: Path, fitted_on: str) -> None:
    """The weights as safetensors; one metadata key, so that the bytes are the same every time."""
    path.write_bytes(save(weights, metadata={"fitted_on": fitted_on}))
