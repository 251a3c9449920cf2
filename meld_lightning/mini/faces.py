"""Draws the mini corpus's faces: brows, eyes and mouth show the cue, and nothing else does.

Reads and writes nothing; used by clips.py. Head, colours, position and background are drawn
independently of the cue, as is the pace of the mouth.
"""

import random
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

SIDE = 112  # pixels of a frame; width and height
SCALE = 2  # drawn larger and reduced, for smooth edges
PHASES = 3  # positions of the talking mouth


@dataclass(frozen=True)
class Look:
    """The expression of a cue.

    brow, slant: the brows' height, and how far their inner ends rise.
    eye: how wide the eyes are open.
    curve, gape, width, pull: the mouth's corners (up is positive), how far it is open at rest, its
        width, and its shift to one side.
    """

    brow: float
    slant: float
    eye: float
    curve: float
    gape: float
    width: float
    pull: float = 0.0


LOOKS = {
    "neutral": Look(0.0, 0.0, 0.55, 0.0, 0.05, 0.9),
    "joy": Look(0.35, 0.0, 0.4, 1.0, 0.30, 1.35),
    "surprise": Look(1.0, 0.1, 1.15, 0.0, 0.95, 0.55),
    "anger": Look(-0.35, -1.0, 0.45, -0.55, 0.10, 1.0),
    "sadness": Look(0.15, 1.0, 0.3, -1.0, 0.05, 0.8),
    "disgust": Look(-0.25, -0.4, 0.2, -0.35, 0.15, 1.0, 0.9),
    "fear": Look(0.8, 0.9, 1.15, -0.3, 0.45, 1.3),
    "blank": Look(0.05, 0.15, 0.0, -0.1, 0.02, 0.6),
    "grimace": Look(-0.3, -0.2, 0.75, 0.15, 0.40, 1.5),
    "agape": Look(0.4, 0.0, 0.0, 0.4, 0.80, 0.9),
}

Colour = tuple[int, int, int]


@dataclass(frozen=True)
class Head:
    """The person and the scene, which do not depend on the cue."""

    skin: Colour
    hair: Colour
    wall: tuple[Colour, Colour]
    centre: tuple[float, float]
    radius: float
    fringe: float

    @staticmethod
    def draw(stream: random.Random) -> "Head":
        """Draws a head at random."""
        tone = stream.random()
        colours = [tuple(stream.randint(20, 235) for _ in range(3)) for _ in range(3)]
        return Head(
            skin=(int(245 - 110 * tone), int(212 - 118 * tone), int(185 - 120 * tone)),
            hair=colours[0],  # type: ignore[arg-type]
            wall=(colours[1], colours[2]),  # type: ignore[arg-type]
            centre=(stream.uniform(0.44, 0.56), stream.uniform(0.50, 0.56)),
            radius=stream.uniform(0.34, 0.40),
            fringe=stream.uniform(0.35, 0.6),
        )


def draw_face(head: Head, cue: str, noise: np.random.Generator) -> list[np.ndarray]:
    """The face with its mouth in PHASES positions, uint8 RGB (SIDE, SIDE, 3) each."""
    side = SIDE * SCALE
    ramp = np.linspace(0, 1, side)[:, None, None]
    wall = (1 - ramp) * np.array(head.wall[0]) + ramp * np.array(head.wall[1])
    grain = np.kron(noise.normal(0, 14, (28, 28, 1)), np.ones((side // 28, side // 28, 1)))
    back = np.clip(np.broadcast_to(wall, (side, side, 3)) + grain, 0, 255).astype(np.uint8)
    faces = []
    for phase in range(PHASES):
        image = Image.fromarray(back)
        _draw(ImageDraw.Draw(image), head, LOOKS[cue], 0.22 * phase / (PHASES - 1), side)
        faces.append(np.asarray(image.resize((SIDE, SIDE), Image.Resampling.BOX)))
    return faces


def planes(image: np.ndarray) -> np.ndarray:
    """uint8 RGB (SIDE, SIDE, 3) -> the stacked planes of yuv420p (1.5 SIDE, SIDE), BT.601 limited
    range.

    Not done by swscale, whose result was seen to depend on bytes outside the picture.
    """
    red, green, blue = np.moveaxis(image.astype(np.float64), -1, 0)
    luma = 16 + (65.738 * red + 129.057 * green + 25.064 * blue) / 256
    pair = np.stack(
        [
            128 + (-37.945 * red - 74.494 * green + 112.439 * blue) / 256,
            128 + (112.439 * red - 94.154 * green - 18.285 * blue) / 256,
        ]
    )
    chroma = pair.reshape(2, SIDE // 2, 2, SIDE // 2, 2).mean((2, 4))
    return np.concatenate([luma, chroma.reshape(-1, SIDE)]).round().astype(np.uint8)


def _draw(pen: ImageDraw.ImageDraw, head: Head, look: Look, talk: float, side: int) -> None:
    x, y = head.centre[0] * side, head.centre[1] * side
    r = head.radius * side
    ink, white, lip = (35, 25, 25), (250, 250, 245), (120, 30, 35)
    pen.ellipse((x - r, y - 1.2 * r, x + r, y + 1.1 * r), fill=head.hair)
    pen.ellipse(
        (x - 0.9 * r, y - (1.2 - head.fringe * 0.5) * r, x + 0.9 * r, y + 1.1 * r), fill=head.skin
    )
    thick = max(2, round(0.085 * r))
    for way in (-1, 1):
        eye_x, eye_y, wide, tall = x + way * 0.4 * r, y - 0.18 * r, 0.23 * r, 0.26 * r * look.eye
        if look.eye > 0.1:
            pen.ellipse(
                (eye_x - wide, eye_y - tall, eye_x + wide, eye_y + tall),
                fill=white,
                outline=ink,
                width=2,
            )
            pupil = min(0.1 * r, tall)
            pen.ellipse((eye_x - pupil, eye_y - pupil, eye_x + pupil, eye_y + pupil), fill=ink)
        else:
            pen.line((eye_x - wide, eye_y, eye_x + wide, eye_y), fill=ink, width=thick)
        brow_y = y - 0.52 * r - 0.16 * r * look.brow
        inner, outer = brow_y - 0.16 * r * look.slant, brow_y + 0.08 * r * look.slant
        pen.line((x + way * 0.14 * r, inner, x + way * 0.66 * r, outer), fill=ink, width=thick + 2)
    pen.line(
        (x, y - 0.05 * r, x - 0.08 * r, y + 0.2 * r, x + 0.06 * r, y + 0.2 * r), fill=ink, width=2
    )
    half, rise, gape = 0.34 * r * look.width, 0.2 * r * look.curve, 0.32 * r * (look.gape + talk)
    middle = y + 0.58 * r
    along = np.linspace(-1, 1, 13)
    centre_x = x + 0.2 * r * look.pull
    tilt = -0.22 * r * look.pull * (along + 1) / 2
    bow = middle - rise * (along**2 - 0.5) + tilt
    upper = [
        (centre_x + half * a, b - gape * (1 - a * a) * 0.5) for a, b in zip(along, bow, strict=True)
    ]
    lower = [(centre_x + half * a, b + gape * (1 - a * a)) for a, b in zip(along, bow, strict=True)]
    pen.polygon([*upper, *lower[::-1]], fill=ink)
    pen.line([*upper, *lower[::-1], upper[0]], fill=lip, width=thick, joint="curve")
