"""Drawn letters: images of many classes, with a border, that nobody has to fetch."""

from __future__ import annotations

import string
from pathlib import Path

import matplotlib
import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageFont

N_IMAGES, SIDE = 8000, 28
# Drawn three times as large first.
DRAWN = 3 * SIDE
# Of the fonts that matplotlib brings along, those that have letters.
FAMILIES = ("DejaVuSans", "DejaVuSerif", "STIXGeneral", "cmr", "cmb", "cmtt", "cmss")
NOISE = 0.03


def drawn_letters(n: int = N_IMAGES) -> tuple[np.ndarray, np.ndarray, tuple[int, int]]:
    """Draw A to Z, each image in a font, size, place, slant and sharpness of its own.

    The letters have some 10 pixels of the 28 of a side, and faint noise around them.
    """
    rng = np.random.RandomState(0)
    folder = Path(matplotlib.get_data_path(), "fonts", "ttf")
    fonts = [f for f in sorted(folder.glob("*.ttf")) if _has_letters(f.name)]
    rows, classes = np.empty((n, SIDE**2), dtype=np.float32), []
    for row in rows:
        letter = rng.randint(26)
        font = ImageFont.truetype(fonts[rng.randint(len(fonts))], rng.uniform(36, 50))
        image = _drawn(string.ascii_uppercase[letter], font, rng)
        row[:] = (image + NOISE * rng.randn(SIDE, SIDE)).clip(0, 1).ravel()
        classes.append(letter)
    return rows, np.array(classes), (SIDE, SIDE)


def _has_letters(name: str) -> bool:
    return name.startswith(FAMILIES) and "Display" not in name


def _drawn(
    letter: str, font: ImageFont.FreeTypeFont, rng: np.random.RandomState
) -> np.ndarray:
    """Return an image (side, side) of values in [0, 1]."""
    canvas = Image.new("L", (DRAWN, DRAWN))
    place = DRAWN / 2 + rng.uniform(-4, 4, size=2)
    ImageDraw.Draw(canvas).text(tuple(place), letter, 255, font, anchor="mm")
    turned = canvas.rotate(8 * rng.randn(), resample=Image.Resampling.BILINEAR)
    blurred = turned.filter(ImageFilter.GaussianBlur(rng.uniform(0, 1.5)))
    small = blurred.resize((SIDE, SIDE), Image.Resampling.BILINEAR)
    return np.asarray(small, dtype=np.float32) / 255
