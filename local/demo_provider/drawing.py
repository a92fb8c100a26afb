"""Pictures that show what was asked for: colours and shapes from text and seed, and the text itself."""

from __future__ import annotations

import hashlib
import io
import random
import textwrap

from PIL import Image, ImageDraw, ImageFont, ImageOps

MAX_SIDE = 2048


def draw(text: str, seed: int, width: int, height: int) -> bytes:
    """A PNG; the same arguments always give the same one."""
    chance = random.Random(hashlib.sha256(f"{seed}\n{text}".encode()).digest())
    colours = [f"hsl({(chance.randrange(360) + step * 40) % 360}, 70%, {25 + step * 25}%)" for step in range(3)]
    gradient = Image.linear_gradient("L").rotate(chance.choice((0, 90, 180, 270))).resize((width, height))
    picture = ImageOps.colorize(gradient, black=colours[0], mid=colours[1], white=colours[2])
    canvas = ImageDraw.Draw(picture, "RGBA")
    for _ in range(chance.randint(6, 12)):
        radius = chance.randint(min(width, height) // 16, min(width, height) // 4)
        fill = (chance.randrange(256), chance.randrange(256), chance.randrange(256), 110)
        canvas.regular_polygon(
            (chance.randrange(width), chance.randrange(height), radius),
            chance.randint(3, 8),
            chance.randrange(360),
            fill,
        )
    _caption(canvas, f"{text[:200]}\nseed {seed}", width, height)
    return _png(picture)


def upscale(data: bytes, factor: float) -> bytes:
    """The picture enlarged, in a frame that says so. Raises OSError where it is not a picture."""
    picture = Image.open(io.BytesIO(data)).convert("RGB")
    scale = max(0.1, min(factor, MAX_SIDE / max(picture.size)))
    size = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
    picture = picture.resize(size, Image.Resampling.LANCZOS)
    border = max(2, min(size) // 64)
    ImageDraw.Draw(picture).rectangle((0, 0, size[0] - 1, size[1] - 1), outline="gold", width=border)
    return _png(picture)


def _caption(canvas: ImageDraw.ImageDraw, text: str, width: int, height: int) -> None:
    size = max(10, width // 24)
    lines = [line for part in text.splitlines() for line in textwrap.wrap(part, max(8, width * 2 // size)) or [""]]
    top = max(0, height - (len(lines) + 1) * size * 5 // 4)
    canvas.rectangle((0, top, width, height), fill=(0, 0, 0, 150))
    font = ImageFont.load_default(size)
    canvas.multiline_text((size // 2, top + size // 2), "\n".join(lines), fill="white", font=font)


def _png(picture: Image.Image) -> bytes:
    file = io.BytesIO()
    picture.save(file, "PNG")
    return file.getvalue()
