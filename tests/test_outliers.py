import numpy as np

from ml.drawing import draw_cell
from ml.images import resized
from ml.outliers import drawn, spoilt
from ml.rejection import REASONS


def pixels(pictures):
    return np.stack([np.asarray(picture) for picture in pictures])


def sharpness(images):
    grey = images.mean(-1)
    return np.abs(np.diff(grey, axis=1)).max(axis=(1, 2))


def test_a_seed_draws_the_same_pictures_and_another_draws_others():
    first, again, other = (pixels(drawn(14, seed)) for seed in (1, 1, 2))
    assert first.shape == (14, 128, 128, 3)
    assert (first == again).all()
    assert (first != other).any(axis=(1, 2, 3)).all()


def test_cells_are_spoilt_in_every_way_there_is_a_reason_for():
    cells = pixels([resized(draw_cell(seed, True), 64) for seed in range(20)])
    ways = spoilt(cells, 5, seed=1)
    assert set(ways) < set(REASONS)
    assert all(pixels(pictures).shape == (5, 64, 64, 3) for pictures in ways.values())
    assert sharpness(pixels(ways["blurred"])).max() < sharpness(cells).min() / 3
    assert pixels(ways["part"])[:, ::63, ::63].min() > 30  # no background is left
