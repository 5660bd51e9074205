"""`s2st-aug calibrate`: thresholds from one's own photos, and their false-alarm rate."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from s2st_aug.cli.method_options import Device
from s2st_aug.cli.terminal import out
from s2st_aug.errors import UnreadableImage, UsageError

if TYPE_CHECKING:
    from s2st_aug.arrays import Image
    from s2st_aug.diffusion.model import LatentModel
    from s2st_aug.validation.calibration import TrueChange


def calibrate(
    photos: Annotated[
        Path, typer.Option(help="Folder with your own photos of the source domain; subfolders are searched too.")
    ],
    model: Annotated[
        str, typer.Option(help="Model whose encoder and decoder show how much detail a translation may lose.")
    ] = "street-mini",
    file: Annotated[
        Path | None,
        typer.Option("--out", help="Write the thresholds to a YAML file, as the `validation:` part of a config."),
    ] = None,
    device: Device = "auto",
    limit: Annotated[int, typer.Option(min=8, help="Maximum number of photos, chosen evenly.")] = 40,
) -> None:
    """Choose thresholds on half of your photos, and print how often they reject a true label on the other half."""
    from s2st_aug.formats.names import IMAGE_SUFFIXES

    if not photos.is_dir():
        raise UsageError(f"--photos: no such folder: {photos}")
    paths = sorted(p for p in photos.rglob("*") if p.suffix.lower() in IMAGE_SUFFIXES)
    chosen = paths[:: max(1, -(-len(paths) // limit))]
    if file is not None and not file.absolute().parent.is_dir():
        raise UsageError(f"--out: no such folder: {file.absolute().parent}")
    from s2st_aug.validation.calibration import LEAST_PHOTOS
    from s2st_aug.validation.calibration import calibrate as measure

    if len(chosen) < LEAST_PHOTOS:
        raise UsageError(f"--photos: calibrating needs at least {LEAST_PHOTOS} photos; {photos} has {len(chosen)}")
    from s2st_aug.diffusion.device import resolve_device
    from s2st_aug.diffusion.stable_diffusion import load_model
    from s2st_aug.validation.settings import ValidationSettings

    loaded, about = load_model(model, device=resolve_device(device)), f"{len(chosen)} photos of {photos.name}, {model}"
    found = measure(_changes(chosen, loaded), ValidationSettings(), about)
    given = {k: v for k, v in found.settings.model_dump().items() if v != getattr(ValidationSettings(), k)}
    out.print(f"{found.photos} photos, {found.objects} places held out: true labels doubted")
    out.print(f"  shipped thresholds (not calibrated): {found.before:.1%}")
    out.print(f"  these thresholds:                    {found.after:.1%}")
    for line in _strength(chosen, model):
        out.print(line)
    _tell(given, file)


def _strength(paths: list[Path], model: str) -> Iterator[str]:
    """What each shipped discriminant makes of these photos, which are none of its target, and whether it may reject."""
    from s2st_aug.images import read_image
    from s2st_aug.profiles.accuracy import discriminants_beside
    from s2st_aug.validation.strength import features, position_of, ungated

    rows = []
    for path in paths:
        with suppress(UnreadableImage):  # named above
            rows.append(features(read_image(path)))
    for name, own in discriminants_beside(model).items():
        middle = (own.source_median + own.target_median) / 2
        taken = sum(position_of(row, own) >= middle for row in rows)
        told = "unknown" if own.accuracy is None else f"{own.accuracy:.2f}"
        may = "rejects nothing" if ungated(own) else "may reject"
        yield f"strength to {name} {may}: accuracy on other photos {told}; {taken} of your {len(rows)} taken for {name}"


def _changes(paths: list[Path], model: LatentModel) -> Iterator[TrueChange]:
    from s2st_aug.images import read_image
    from s2st_aug.validation.calibration import TrueChange, retouched

    for number, path in enumerate(paths):
        try:
            photo = read_image(path)
        except UnreadableImage as error:
            out.print(f"left out: {error}")
            continue
        variant = retouched(photo, str(number))
        yield TrueChange(photo, variant, _round_trip(model, variant))


def _round_trip(model: LatentModel, photo: Image) -> Image:
    """Through the model's autoencoder at its native size and back to the photo's own."""
    import cv2
    import torch

    small = cv2.resize(photo, model.native_size, interpolation=cv2.INTER_AREA)
    pixels = torch.from_numpy(small).permute(2, 0, 1)[None].to(model.device, torch.float32) / 127.5 - 1
    with torch.inference_mode():
        back = model.decode(model.encode(pixels))[0].permute(1, 2, 0).clamp(-1, 1)
    image = ((back + 1) * 127.5).round().to(torch.uint8).cpu().numpy()
    return cv2.resize(image, photo.shape[1::-1], interpolation=cv2.INTER_CUBIC)


def _tell(given: dict[str, object], file: Path | None) -> None:
    import yaml

    text = yaml.safe_dump({"validation": given}, sort_keys=False)
    if file is None:
        out.print("put this into your config:", text, sep="\n", end="")
        return
    file.write_text(text, encoding="utf-8")
    out.print(f"written to {file}")
