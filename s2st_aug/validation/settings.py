"""Thresholds of the gates: everything a verdict depends on, beside the measures.

Filled by the `validation:` part of a config.
"""

from __future__ import annotations

from typing import Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

ORDERED = (("least_structure", "keep_structure"), ("min_side_px", "min_lost_side_px"), ("min_strength", "max_strength"))
CRITICAL = ("pedestrian", "person", "rider", "traffic light", "traffic sign")


class ValidationSettings(BaseModel):
    """Defaults were chosen on one half of the planted-fault suite's scenes and videos (curves: docs/validity.md)."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    # objects
    keep_structure: float = Field(
        0.35,
        ge=-1,
        le=0.7,
        description="at or above: the object is there, whatever became of its surroundings [structure]",
    )
    least_structure: float = Field(
        0.15, ge=-1, le=0.7, description="below: it is not there, whatever became of its surroundings [structure]"
    )
    keep_of_around: float = Field(
        0.5,
        ge=0,
        le=1,
        description="between the two: the share of its surroundings' structure that it must keep [share]",
    )
    lost_of_around: float = Field(
        0.25, ge=0, le=1, description="a smaller share than this: lost, not merely ignored [share]"
    )
    keep_structure_raw: float = Field(
        0.10, ge=-1, le=1, description="the same before the detail step, for lines of two latent cells [structure]"
    )
    least_evidence: float = Field(
        0.15, ge=0, le=1, description="evidence before the detail step that an object must have to be kept [evidence]"
    )
    least_signal_kept: float = Field(
        0.6,
        ge=0,
        le=1,
        description="how surely a signal's lamps, and no other, shone before the detail step; below: ignored [share]",
    )
    lost_signal_kept: float = Field(
        0.3, ge=0, le=1, description="the same; below this too, its state is lost, as a changed one [share]"
    )
    latent_cells_across: int = Field(
        72, ge=1, description="latent cells in an image's width at working size (288 / 4 for the small models) [cells]"
    )
    min_side_px: float = Field(10.0, ge=0, description="smaller objects are too tiny to judge [source px]")
    min_lost_side_px: float = Field(
        16.0,
        ge=0,
        description="smaller objects are at worst ignored, but for a signal changed in the variant [source px]",
    )
    max_shift_px: float = Field(3.0, gt=0, description="a label moved by more is lost [source px]")
    max_shift_of_size: float = Field(
        0.012,
        ge=0,
        description="the same as a share of the object's longer side: large ones are measured small [share]",
    )
    shift_gain: float = Field(
        0.15, ge=0, description="how much better a far place must fit to count as the object's [structure]"
    )
    shift_structure: float = Field(0.35, ge=-1, le=1, description="how well the best place itself must fit [structure]")
    # gates of the image
    min_structure: float | None = Field(0.10, ge=-1, le=1)
    """below: the street is no longer that of the source [structure]"""
    min_structure_raw: float | None = Field(None, ge=-1, le=1)
    """the same before the detail step; null: not looked at [structure]"""
    min_strength: float | None = Field(0.25, description="below: unchanged, or merely darkened [strength]")
    max_strength: float | None = Field(2.5, description="above: overshoots the target [strength]")
    max_tone_explained: float | None = Field(
        0.97, ge=0, le=1, description="share of the variant's luma that one tone curve of the source explains [share]"
    )
    min_contrast: float | None = Field(6.0, ge=0, description="5-95 % range of L*; below: black, or washed out [L*]")
    max_ignored: float = Field(
        0.30, ge=0, le=1, description="share of objects measurable in the source that may come out ignore [share]"
    )
    critical: tuple[str, ...] = Field(
        CRITICAL, description="losing one of these, however it is spelled, rejects the image"
    )
    max_hallucination: float | None = Field(
        0.95, ge=0, le=1, description="score at which a hallucinated light rejects the image [score]"
    )
    detector: str | None = Field(
        None, description="street-mini-detector, or the path of a YOLO- or YOLOX-style ONNX file of images or of pairs"
    )
    detector_score: float = Field(
        0.5, ge=0, le=1, description="score at which a detection that nothing explains rejects the image [score]"
    )
    calibrated_on: str | None = Field(
        None, description="what `calibrate` saw; null: shipped defaults, not calibrated on your photos"
    )

    @model_validator(mode="after")
    def _lower_is_lower(self) -> Self:
        """Of two thresholds on one measure the lower stays below the upper."""
        for low, high in ORDERED:
            a, b = getattr(self, low), getattr(self, high)
            if a is not None and b is not None and a > b:
                raise ValueError(f"{low} {a:g} is above {high} {b:g}")
        return self
