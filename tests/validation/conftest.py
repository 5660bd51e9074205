from __future__ import annotations

import numpy as np
import pytest

from benchmarks.planted_faults import Pair
from s2st_aug.records.scene import SceneObject


def street(size: tuple[int, int] = (320, 240)) -> np.ndarray:
    """A drawn day street: sky, facade with windows, road, a car, a person, a traffic light showing red; RGB."""
    import cv2

    w, h = size
    image = np.zeros((h, w, 3), np.uint8)
    image[: h // 2], image[h // 2 :] = (170, 200, 235), (110, 110, 112)
    cv2.rectangle(image, (0, 20), (w // 3, h // 2 + 10), (150, 120, 95), -1)
    for x in range(8, w // 3 - 14, 24):
        for y in range(30, h // 2 - 14, 22):
            cv2.rectangle(image, (x, y), (x + 10, y + 12), (70, 80, 90), -1)
    cv2.rectangle(image, (150, 130), (214, 174), (40, 60, 160), -1)
    cv2.rectangle(image, (162, 134), (202, 148), (190, 210, 220), -1)
    cv2.circle(image, (162, 174), 8, (20, 20, 20), -1)
    cv2.circle(image, (202, 174), 8, (20, 20, 20), -1)
    cv2.rectangle(image, (250, 118), (266, 170), (160, 60, 50), -1)
    cv2.circle(image, (258, 112), 7, (215, 170, 140), -1)
    cv2.rectangle(image, (128, 40), (146, 90), (25, 25, 25), -1)
    cv2.circle(image, (137, 49), 6, (255, 50, 40), -1)
    cv2.line(image, (180, 240), (200, 182), (240, 240, 240), 4)
    noise = np.random.default_rng(0).normal(0, 1.5, image.shape)
    return np.clip(image + noise, 0, 255).astype(np.uint8)


def night_of(image: np.ndarray) -> np.ndarray:
    """The true night of that street: dark and blue, black sky, lit windows, lamp colours kept."""
    dark = image.astype(np.float64) * (0.38, 0.36, 0.42)
    h, w = image.shape[:2]
    dark[: h // 2][(image[: h // 2] > 160).all(-1)] *= 0.25
    lit = (np.abs(image.astype(int) - (70, 80, 90)).max(-1) < 8) & (np.arange(w) % 48 < 24)
    dark[lit] = (250, 210, 130)
    lamp = (image[..., 0].astype(int) - image[..., 1] > 150) & (image[..., 0] > 230)
    dark[lamp] = image[lamp]
    return np.clip(dark + np.random.default_rng(1).normal(0, 1.5, image.shape), 0, 255).astype(np.uint8)


OBJECTS = (
    SceneObject("car", "box", "car", (150.0, 130.0, 215.0, 183.0)),
    SceneObject("person", "box", "pedestrian", (250.0, 105.0, 267.0, 171.0)),
    SceneObject("light", "box", "traffic light", (128.0, 40.0, 147.0, 91.0), signal="red"),
)


@pytest.fixture(scope="session")
def pair() -> Pair:
    day = street()
    return Pair(day, night_of(day), OBJECTS)


@pytest.fixture(scope="session")
def street_photos() -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Ten day and ten night photos of the street at different exposures."""
    days = [np.clip(np.roll(street(), 9 * i, 1) * (0.8 + 0.04 * i), 0, 255).astype(np.uint8) for i in range(10)]
    return days, [night_of(np.roll(street(), 9 * i + 4, 1)) for i in range(10)]
