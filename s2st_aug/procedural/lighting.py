"""Light on the surfaces: sun with shadows, sky, lamps, head and tail lights, lit windows; and the sky itself."""

from __future__ import annotations

import cv2
import numpy as np

from s2st_aug.procedural.camera import NEAR, clip_near
from s2st_aug.procedural.canvas import SHIFT, fixed_point
from s2st_aug.procedural.conditions import Condition
from s2st_aug.procedural.drawing import Drawn, Lamp
from s2st_aug.procedural.mesh import Glow, Material
from s2st_aug.procedural.street import Sun
from s2st_aug.procedural.surfaces import Surfaces, look_up, spread
from s2st_aug.procedural.textures import clouds

F = np.float32
GLOWS: dict[Glow, tuple[tuple[float, float, float], str]] = {
    Glow.HEAD: ((22.0, 21.0, 18.5), "heads"), Glow.TAIL: ((0.75, 0.018, 0.012), "tails"),
    Glow.BRAKE: ((3.2, 0.06, 0.03), "always"), Glow.RED: ((4.2, 0.10, 0.05), "always"),
    Glow.AMBER: ((4.0, 1.35, 0.06), "always"), Glow.GREEN: ((0.12, 3.3, 1.25), "always"),
    Glow.LAMP: ((16.0, 10.6, 5.0), "lamps"), Glow.INDICATOR: ((1.6, 0.75, 0.05), "always"),
}  # fmt: skip
ROOMS = np.array(
    [
        (0.85, 0.50, 0.20),
        (0.95, 0.66, 0.34),
        (0.72, 0.66, 0.52),
        (0.62, 0.70, 0.72),
        (0.90, 0.42, 0.14),
        (0.30, 0.36, 0.46),
        (0.80, 0.55, 0.26),
        (0.5, 0.3, 0.14),
    ],
    F,
)
LAMP_COLOURS = {"lamp": (16.0, 10.2, 4.9), "head": (26.0, 24.5, 21.0), "tail": (0.85, 0.05, 0.03)}


def lit_scene(drawn: Drawn, surface: Surfaces, condition: Condition, sun: Sun) -> np.ndarray:
    """Radiance `h w 3` float32 of the scene in clear, dry air, sky included."""
    light = _even_light(drawn, surface, condition, sun)
    if condition.lamps + condition.heads > 0.5:
        light += _lamp_light(drawn, surface, condition)
    out = surface.colour * light
    _gloss(drawn, surface, condition, out)
    _glow(drawn, surface, condition, out)
    rows = int(np.clip(np.ceil(drawn.camera.horizon) + 3, 1, len(out)))
    cv2.copyTo(sky_image(drawn, condition, sun, rows), surface.sky[:rows].view(np.uint8), out[:rows])
    return out


def _even_light(drawn: Drawn, surface: Surfaces, condition: Condition, sun: Sun) -> np.ndarray:
    """Sky, bounced and sun light per face, then ground shadows per pixel."""
    normal = drawn.table.normal
    up = normal[:, 2:]
    sky = np.array(condition.ambient, F) * (0.62 + 0.38 * up) + np.array(condition.bounce, F) * (0.5 - 0.5 * up)
    direct = np.array(condition.sun, F)
    facing = np.clip(normal @ sun.direction.astype(F), 0, None)[:, None]
    facing = np.where((drawn.table.material == Material.FOLIAGE)[:, None], 0.35 + 0.65 * facing, facing)
    light = look_up((sky + direct * facing).astype(F), surface.face)
    _shade_ground(drawn, surface, condition, sun, light)
    return light


def _shade_ground(drawn: Drawn, surface: Surfaces, condition: Condition, sun: Sun, light: np.ndarray) -> None:
    under = 1 - F(0.78) * contact_shadow(drawn)
    if max(condition.sun) > 0.02:
        shadow = sun_shadow(drawn, sun) * F(1 / 255)
        loss = np.array(condition.sun, F) * F(max(np.sin(sun.elevation), 0))
        shadow *= surface.ground
        light -= cv2.merge([shadow * part for part in loss])
    light *= spread(np.where(surface.ground, under, F(1)))


def contact_shadow(drawn: Drawn) -> np.ndarray:
    """The dark under things that stand on the ground, 0 to 1, `h w` float32."""
    layer = np.zeros(drawn.faces.shape, np.uint8)
    for outline in drawn.footprints:
        _fill_ground(drawn, layer, outline, 255)
    sigma = max(drawn.camera.height / 240, 0.6)
    return cv2.GaussianBlur(layer, (0, 0), sigma).astype(F) * F(1 / 255)


def sun_shadow(drawn: Drawn, sun: Sun) -> np.ndarray:
    """Where the ground lies in the shadow of something, uint8 `h w`."""
    layer = np.zeros(drawn.faces.shape, np.uint8)
    way = sun.direction[:2] / max(float(sun.direction[2]), 0.04)
    for caster in drawn.casters:
        flat = caster[:, :2] - caster[:, 2:] * way
        hull = cv2.convexHull(flat.astype(np.float32))[:, 0].astype(float)
        _fill_ground(drawn, layer, np.column_stack([hull, np.zeros(len(hull))]), 255)
    return cv2.blur(layer, (3, 3))


def _fill_ground(drawn: Drawn, layer: np.ndarray, outline: np.ndarray, value: int) -> None:
    cam = drawn.camera.to_camera(outline)
    if cam[:, 2].min() < NEAR:
        cam = clip_near(cam)
    if len(cam) >= 3:
        points = fixed_point(drawn.camera.to_image(cam))
        cv2.fillConvexPoly(layer, points, value, cv2.LINE_8, SHIFT)


def _positions(drawn: Drawn, surface: Surfaces, step: int) -> tuple[np.ndarray, np.ndarray]:
    """World position and normal of every `step`-th pixel, `h' w' 3` each."""
    across, down = drawn.camera.rays()
    depth = surface.depth[::step, ::step]
    axes = drawn.camera.axes.astype(F)
    ray = axes[2] + across[::step][None, :, None] * axes[0] + down[::step][:, None, None] * axes[1]
    normal = np.take(drawn.table.normal, surface.face[::step, ::step], axis=0)
    return ray * depth[..., None] + drawn.camera.centre.astype(F), normal


def _lamp_light(drawn: Drawn, surface: Surfaces, condition: Condition) -> np.ndarray:
    """Light of street lamps and vehicles, worked out at a third of the size."""
    step = 3
    at, normal = _positions(drawn, surface, step)
    total = np.zeros_like(at)
    for lamp in _strongest(drawn, condition):
        total += _one_lamp(lamp, condition, at, normal)
    total += _ego_beam(drawn, at, normal) * F(condition.heads)
    height, width = surface.depth.shape
    return cv2.resize(total, (width, height), interpolation=cv2.INTER_LINEAR)


def _strongest(drawn: Drawn, condition: Condition) -> list[Lamp]:
    near = [
        m
        for m in drawn.lamps
        if -12 < float(drawn.camera.to_camera(m.at[None])[0, 2]) < (110 if m.kind == "lamp" else 45)
    ]
    near.sort(key=lambda m: float(np.linalg.norm(m.at - drawn.camera.centre)))
    return [m for m in near if m.kind == "lamp"][:9] + [m for m in near if m.kind != "lamp"][:12]


def _one_lamp(lamp: Lamp, condition: Condition, at: np.ndarray, normal: np.ndarray) -> np.ndarray:
    to = lamp.at.astype(F) - at
    d2 = np.einsum("ijk,ijk->ij", to, to) + F(0.6)
    d = np.sqrt(d2)
    incidence = np.clip(np.einsum("ijk,ijk->ij", to, normal) / d, 0, None)
    aim = np.einsum("ijk,k->ij", to, -lamp.towards.astype(F)) / d
    if lamp.kind == "lamp":
        spread, strength = np.clip(aim * 1.25 - 0.08, 0, 1), condition.lamps
    elif lamp.kind == "head":
        spread, strength = np.clip((aim - 0.80) * 5.0, 0, 1) ** 2, condition.heads
    else:
        spread, strength = np.clip(aim, 0, 1), condition.tails
    return (spread * (incidence * 0.93 + 0.07) / d2)[..., None] * (np.array(LAMP_COLOURS[lamp.kind], F) * F(strength))


def _ego_beam(drawn: Drawn, at: np.ndarray, normal: np.ndarray) -> np.ndarray:
    """The low beam of the car that carries the camera."""
    camera = drawn.camera
    forward = np.array([np.sin(camera.yaw), np.cos(camera.yaw), 0.0], F)
    to = (camera.centre - [0, 0, camera.z - 0.7]).astype(F) - at
    d2 = np.einsum("ijk,ijk->ij", to, to) + F(9.0)
    d = np.sqrt(d2)
    aim = np.einsum("ijk,k->ij", to, -forward) / d
    below = np.clip(1.35 - at[..., 2] * 0.55 - d * 0.008, 0.03, 1)
    cone = np.clip((aim - 0.86) * 7.5, 0, 1)
    incidence = np.clip(np.einsum("ijk,ijk->ij", to, normal) / d, 0, None) ** 0.6
    return (cone * below * (0.15 + incidence) / d2)[..., None] * np.array((52.0, 49.0, 43.0), F)


def sky_image(drawn: Drawn, condition: Condition, sun: Sun, rows: int) -> np.ndarray:
    """The sky of the upper `rows` of the frame, `rows w 3`; computed at half the size."""
    camera = drawn.camera
    across, down = camera.rays()
    across, down = across[::2], down[:rows:2]
    axes = camera.axes.astype(F)
    rise = axes[2, 2] + down * axes[1, 2]  # no roll: the height of a ray depends on its row only
    length = np.sqrt(1 + across[None] ** 2 + down[:, None] ** 2)
    elevation = np.clip(rise[:, None] / length, 0, 1)
    blend = (1 - elevation) ** 5
    sky = cv2.merge([F(z) + F(h - z) * blend for z, h in zip(condition.zenith, condition.horizon, strict=True)])
    east = (axes[2, 0] + across * axes[0, 0])[None] + down[:, None] * axes[1, 0]
    north = (axes[2, 1] + across * axes[0, 1])[None] + down[:, None] * axes[1, 1]
    if max(condition.sun) > 0:
        towards = sun.direction.astype(F)
        cosine = (
            east * towards[0] + north * towards[1] + rise[:, None] * towards[2]
        ) / length  # of the angle to the sun
        near = np.clip(cosine, 0, 1)
        glare = F(0.35) * near**40 + F(0.12) * near**6
        sky += cv2.merge([glare * F(part) for part in condition.sun])
    cover = _cloud_cover(east, north, rise, drawn.street.key, condition.cover)
    sky += spread(cover) * (np.array(condition.cloud, F) - sky)
    return cv2.resize(sky, (camera.width, rows), interpolation=cv2.INTER_LINEAR)


def _cloud_cover(east: np.ndarray, north: np.ndarray, rise: np.ndarray, key: int, cover: float) -> np.ndarray:
    flat = np.clip(rise, 0.03, None)[:, None]
    x = (east / flat * 42 + (key & 511)).astype(F) % 512
    y = (north / flat * 42 + (key >> 9 & 511)).astype(F) % 512
    density = cv2.remap(clouds(), x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP)
    threshold = 1.6 - 2.6 * cover
    amount = np.clip((density - threshold) * 0.75, 0, 1) * np.clip(rise[:, None] * 9, 0, 1)
    if cover >= 1:
        amount = np.clip(0.55 + 0.25 * density, 0, 1) * np.clip(rise[:, None] * 9, 0, 1)
    return amount.astype(F)


def _gloss(drawn: Drawn, surface: Surfaces, condition: Condition, out: np.ndarray) -> None:
    """Glass and car paint mirror the sky; curtains differ from window to window."""
    ambient = (0.55 * np.array(condition.horizon, F) + 0.45 * np.array(condition.zenith, F)) * F(0.85)
    table = drawn.table
    strength = np.where(
        table.material == Material.CAR_PAINT, 0.05 + 0.25 * np.clip(table.normal[:, 2], 0, 1), 0
    ).astype(F)
    strength = np.where(
        table.material == Material.GLASS, 0.16 + 0.42 * np.clip(table.normal[:, 2], 0, 1), strength
    ).astype(F)
    amount = np.take(strength, surface.face)
    panes = (surface.glass > 0) & (amount == 0)
    amount = np.where((surface.glass > 0) & ~panes, amount * surface.glass, amount)
    amount = np.where(panes, surface.glass * (0.10 + 0.22 * (surface.window & 15) * F(1 / 15)), amount)
    rows, columns = np.nonzero(amount > 0.01)
    share = amount[rows, columns][:, None]
    out[rows, columns] = out[rows, columns] * (1 - 0.5 * share) + ambient * share


def shining(drawn: Drawn, surface: Surfaces, condition: Condition) -> np.ndarray:
    """What gives light of its own under a condition: the number of its `Glow` for each pixel, 0 elsewhere, uint8."""
    kinds = np.where(_emission(drawn, condition).max(1) > 0, drawn.table.glow, 0).astype(np.uint8)
    out = np.take(kinds, surface.face)
    windows = _lit_windows(drawn, surface, condition)
    out[windows] = np.take(drawn.table.glow, surface.face[windows])
    return out


def _emission(drawn: Drawn, condition: Condition) -> np.ndarray:
    """Radiance `faces 3` of lamps and lenses; vehicles parked at the kerb have their lights off."""
    table = drawn.table
    strength = {"always": 1.0, "heads": condition.heads, "tails": condition.tails, "lamps": condition.lamps}
    emission = np.zeros((len(table.glow), 3), F)
    for kind, (colour, source) in GLOWS.items():
        emission[table.glow == kind] = np.array(colour, F) * F(strength[source])
    emission[np.isin(table.owner, [t.uid * 8 for t in drawn.street.things if t.parked])] = 0
    return emission


def _glow(drawn: Drawn, surface: Surfaces, condition: Condition, out: np.ndarray) -> None:
    """Add what gives light: lamps, lenses, lit windows."""
    emission = _emission(drawn, condition)
    lenses = np.take(emission.max(1) > 0, surface.face)
    out[lenses] += emission[surface.face[lenses]]
    if condition.windows > 0:
        lit = _lit_windows(drawn, surface, condition)
        number = surface.window[lit]
        room = ROOMS[number & 7] * (0.35 + 0.65 * (number[:, None] % 11) * F(1 / 10))
        out[lit] += room * (surface.glass[lit] * F(0.34 + 0.5 * (condition.lamps > 0.5)))[:, None]


def _lit_windows(drawn: Drawn, surface: Surfaces, condition: Condition) -> np.ndarray:
    glow = np.take(drawn.table.glow, surface.face)
    chance = np.where(glow == Glow.SHOP, 0.25 + 0.6 * condition.windows, condition.windows) * 256
    lit = (surface.glass > 0) & ((glow == Glow.INTERIOR) | (glow == Glow.SHOP)) & (surface.window < chance)
    return lit & (np.take(drawn.table.owner == 0, surface.face) | (surface.window >= 0))
