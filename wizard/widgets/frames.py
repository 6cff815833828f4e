"""Pictures in terminal cells: a row of frames, as large as there is room, each with a caption below it.

A cell shows 2 x 2 pixels in two colours, by the quadrant of a block that fits them best (of which the half blocks ▀ ▌
are two). Without colours it is 2 x 4 dots of braille, dithered.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageOps
from rich.cells import cell_len, set_cell_size
from rich.color import Color
from rich.segment import Segment
from rich.style import Style
from textual.strip import Strip
from textual.widget import Widget

# By which of its quarters have the foreground's colour: top left 8, top right 4, bottom left 2, bottom right 1.
QUADRANTS = " ▗▖▄▝▐▞▟▘▚▌▙▀▜▛█"
# Those with the top left one in the foreground: the others are these with the colours exchanged. Of several that fit,
# the first one is drawn, and every font has the half blocks.
_HALVES = np.array([12, 10, 8, 9, 11, 13, 14, 15])
_IN_FRONT = (_HALVES[:, None] >> np.array([3, 2, 1, 0])) & 1  # [8, 4]
# Dots of a braille letter, from U+2800 on: bits of the two columns of four rows.
_DOTS = np.array([[0x01, 0x08], [0x02, 0x10], [0x04, 0x20], [0x40, 0x80]])
# Colour systems of Rich that can show a picture; 16 colours cannot.
COLOURFUL = ("truecolor", "256")

GAP = 1  # cells between two pictures
SMALLEST = 5  # rows; with less one sees nothing


@dataclass(frozen=True)
class Arrangement:
    """Pictures of `width` x `height` cells in lines, each line with a caption: `shown` of all there are."""

    width: int
    height: int
    per_line: int
    shown: int


def arrange(pictures: int, aspect: float, width: int, height: int) -> Arrangement:
    """The largest pictures of which all fit into `width` x `height` cells; of too many, some in even steps.

    aspect: width by height of a picture in pixels. A cell is twice as high as wide.
    """
    for rows in range(max(1, height - 1), 0, -1):
        columns = max(1, round(2 * rows * aspect))
        per_line, lines = (width + GAP) // (columns + GAP), height // (rows + 1)
        if per_line and lines and (per_line * lines >= pictures or rows <= SMALLEST):
            return Arrangement(columns, rows, min(per_line, pictures), min(pictures, per_line * lines))
    return Arrangement(max(1, min(width, round(2 * aspect))), 1, 1, 1)


def in_even_steps(all_of: int, shown: int) -> list[int]:
    """So many of all, the first and the last among them."""
    return [0] if shown == 1 else [round(place * (all_of - 1) / (shown - 1)) for place in range(shown)]


class Frames(Widget):
    """As wide and high as it is made; what it shows is arranged to fit."""

    DEFAULT_CSS = """
    Frames { width: 1fr; height: 1fr; }
    """

    def __init__(self) -> None:
        super().__init__()
        self._pictures: np.ndarray | None = None
        self._captions: Sequence[str] = ()
        self._drawn: tuple[object, list[Strip]] | None = None

    def show(self, pictures: np.ndarray | None, captions: Sequence[str] = ()) -> None:
        """pictures: uint8 RGB [T, H, W, 3]; None for nothing. captions: one a picture."""
        if pictures is not self._pictures:
            self._pictures, self._captions, self._drawn = pictures, captions, None
            self.refresh()

    def render_line(self, y: int) -> Strip:
        strips = self._strips()
        return strips[y] if y < len(strips) else Strip.blank(self.size.width, self.rich_style)

    def _strips(self) -> list[Strip]:
        how = (self.size, self._is_colourful, self.rich_style)
        if self._drawn is None or self._drawn[0] != how:
            self._drawn = how, self._draw() if self._pictures is not None and self.size.area else []
        return self._drawn[1]

    @property
    def _is_colourful(self) -> bool:
        return not self.app.no_color and self.app.console.color_system in COLOURFUL

    def _draw(self) -> list[Strip]:
        pictures, width = self._pictures, self.size.width
        assert pictures is not None
        place = arrange(len(pictures), pictures.shape[2] / pictures.shape[1], *self.size)
        chosen = in_even_steps(len(pictures), place.shown)
        plain, quiet = self.rich_style, self.rich_style + Style(dim=True)
        draw = in_colours if self._is_colourful else in_dots
        strips = []
        for start in range(0, len(chosen), place.per_line):
            line = chosen[start : start + place.per_line]
            drawn = [draw(pictures[number], place.width, place.height) for number in line]
            for row in range(place.height):
                segments = [part for cells in drawn for part in (*cells[row], Segment(" " * GAP))]
                strips.append(Strip(segments).apply_style(plain).adjust_cell_length(width, plain))
            captions = [_centred(self._captions[number], place.width) for number in line if self._captions]
            caption = Segment((" " * GAP).join(captions), quiet)
            strips.append(Strip([caption]).adjust_cell_length(width, plain))
        return strips


def in_colours(picture: np.ndarray, width: int, height: int) -> list[list[Segment]]:
    """uint8 RGB [H, W, 3] → a line of segments for each of `height` rows, `width` cells wide."""
    pixels = _resized(Image.fromarray(picture), 2 * width, 2 * height).astype(np.float32)  # [2h, 2w, 3]
    quarters = pixels.reshape(height, 2, width, 2, 3).transpose(0, 2, 1, 3, 4).reshape(height, width, 4, 3)
    in_front = _IN_FRONT.astype(np.float32)
    behind = 1 - in_front
    sizes, others = in_front.sum(1), np.maximum(behind.sum(1), 1)
    front = np.einsum("hwpc,kp->hwkc", quarters, in_front) / sizes[:, None]  # mean colour of each part
    back = np.einsum("hwpc,kp->hwkc", quarters, behind) / others[:, None]
    # Of the ways to divide a cell in two, the one with the least squared error: that is where the means stand out most.
    spread = (sizes[:, None] * front**2 + others[:, None] * back**2).sum(-1)
    best = spread.argmax(-1)  # [h, w]
    rows, columns = np.indices(best.shape)
    colours = np.stack([front[rows, columns, best], back[rows, columns, best]], 2).round().astype(int)
    return [
        [Segment(QUADRANTS[half], _style(*pair[0], *pair[1])) for half, pair in zip(halves, line, strict=True)]
        for halves, line in zip(_HALVES[best].tolist(), colours.tolist(), strict=True)
    ]


def in_dots(picture: np.ndarray, width: int, height: int) -> list[list[Segment]]:
    """The same without colours: bright is many dots."""
    grey = Image.fromarray(_resized(Image.fromarray(picture), 2 * width, 4 * height)).convert("L")
    dots = np.asarray(ImageOps.autocontrast(grey, cutoff=1).convert("1"))  # Floyd-Steinberg
    cells = dots.reshape(height, 4, width, 2).transpose(0, 2, 1, 3)
    letters = 0x2800 + (cells * _DOTS).sum((2, 3))
    return [[Segment("".join(map(chr, line)))] for line in letters.tolist()]


def _resized(image: Image.Image, width: int, height: int) -> np.ndarray:
    return np.asarray(image.resize((width, height), Image.Resampling.LANCZOS))


def _style(*numbers: int) -> Style:
    front, back = numbers[:3], numbers[3:]
    return Style(color=Color.from_rgb(*front), bgcolor=Color.from_rgb(*back))


def _centred(text: str, width: int) -> str:
    room = width - cell_len(text)
    return set_cell_size(" " * (room // 2) + text, width) if room >= 0 else " " * width
