"""The box of a cell, and what of its field is cut out with it. A web process may read it too."""

Box = tuple[int, int, int, int]
"""x, y, width, height in whole pixels of the upright image."""

MARGIN = 0.1
"""Around a found cell, as a share of its box's sides: as the network's cells are cut."""


def surroundings(box: Box, size: tuple[int, int]) -> Box:
    """Left, top, right, lower: the box with a little of what is around it, as far as the image of
    that width and height goes."""
    x, y, width, height = box
    dx, dy = round(MARGIN * width), round(MARGIN * height)
    return (
        max(0, x - dx),
        max(0, y - dy),
        min(size[0], x + width + dx),
        min(size[1], y + height + dy),
    )
