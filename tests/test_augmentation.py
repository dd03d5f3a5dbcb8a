import numpy as np
import pytest
import torch
from torch import Generator

from ml.augmentation import Augmentation
from ml.drawing import draw_cell
from ml.images import resized

STILL = Augmentation(
    rotation=0,
    scale=(1, 1),
    shift=0,
    gain=0,
    saturation=(1, 1),
    stain=(1, 1),
    tint=0,
    brightness=0,
    blur=0,
    noise=0,
    painted=0,
    crowded=0,
    borrowed=0,
)
"""Only mirrors and turns by quarters, which lose nothing."""


def batch(count, size=32, background=(0, 0, 0)):
    drawn = [draw_cell(seed, bool(seed % 2), background=background) for seed in range(count)]
    pixels = np.stack([resized(image, size) for image in drawn])
    return torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 255


def seeded(seed=0):
    return Generator().manual_seed(seed)


def corners(images):
    """(n, 3, 4): where a crop shows its background."""
    return images[:, :, [0, 0, -1, -1], [0, -1, 0, -1]]


def test_a_generator_decides_all():
    images = batch(6)
    first, again, other = (Augmentation()(images, seeded(seed)) for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_the_torch_of_everybody_else_is_left_alone():
    torch.manual_seed(5)
    wanted = torch.rand(3)
    torch.manual_seed(5)
    Augmentation()(batch(4), seeded())
    assert torch.equal(torch.rand(3), wanted)


@pytest.mark.parametrize("fill", [None, 0.0, 1.0])
def test_shape_and_range_are_kept(fill):
    images = batch(8) if fill is None else torch.full((8, 3, 32, 32), fill)
    before = images.clone()
    changed = Augmentation(noise=0.5, brightness=0.5)(images, seeded())
    assert changed.shape == images.shape
    assert changed.dtype == torch.float32
    assert changed.min() >= 0
    assert changed.max() <= 1
    assert torch.equal(images, before)


def test_each_image_is_changed_in_its_own_way():
    images = batch(1).expand(5, -1, -1, -1)
    changed = Augmentation()(images, seeded())
    for first in range(5):
        for second in range(first):
            assert (changed[first] - changed[second]).abs().mean() > 0.01


def test_without_ranges_only_mirrors_and_quarter_turns_are_left():
    images = batch(40, background=(226, 224, 214))
    turned = [torch.rot90(images, turns, (2, 3)) for turns in range(4)]
    views = torch.stack(turned + [view.flip(3) for view in turned])
    off = (views - STILL(images, seeded())).abs().amax((2, 3, 4))  # (8 views, 40 images)
    assert off.amin(0).max() < 0.01
    assert set(off.argmin(0).tolist()) == set(range(8))


def test_images_stay_in_order_so_that_labels_fit():
    images = torch.full((6, 3, 32, 32), 0.15)
    images[::2] = 0.85
    changed = Augmentation()(images, seeded())
    middle = changed[:, :, 12:20, 12:20].mean((1, 2, 3))
    assert (middle > 0.5).tolist() == [True, False] * 3


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_a_share_of_the_black_backgrounds_is_painted_light(share):
    images = batch(4, 24).repeat(100, 1, 1, 1)
    changed = Augmentation(painted=share, crowded=0, noise=0)(images, seeded())
    light = (corners(changed).amax(1) > 0.4).all(1).double().mean().item()
    assert light == pytest.approx(share, abs=0.07 if share % 1 else 0)


def test_some_painted_backgrounds_show_other_cells():
    images = batch(60, 32)
    changed = {
        share: Augmentation(**{**vars(STILL), "painted": 1.0, "crowded": share})(images, seeded())
        for share in (0.0, 0.5, 1.0)
    }
    crowd = [
        ((changed[share] - changed[0.0]).abs().amax((1, 2, 3)) > 0.1).double().mean().item()
        for share in (0.5, 1.0)
    ]
    assert crowd == pytest.approx([0.5, 1.0], abs=0.2)
    middle = (slice(None), slice(None), slice(12, 20), slice(12, 20))
    assert torch.equal(changed[1.0][middle], changed[0.0][middle])


def test_painting_leaves_the_cell_as_it_is():
    images = batch(20, 64)
    plain, painted = (
        Augmentation(painted=share, noise=0, blur=0)(images, seeded()) for share in (0.0, 1.0)
    )
    middle = (slice(None), slice(None), slice(26, 38), slice(26, 38))
    assert torch.equal(plain[middle], painted[middle])


def test_a_background_that_is_light_already_is_not_painted():
    images = batch(20, background=(226, 224, 214))
    plain, painted = (STILL, Augmentation(**{**vars(STILL), "painted": 1.0}))
    assert torch.equal(plain(images, seeded()), painted(images, seeded()))


def test_the_cell_stays_in_the_picture():
    images = batch(60, 64)
    ranges = {"rotation": 15, "scale": (0.8, 1.2), "shift": 0.06}
    changed = Augmentation(**{**vars(STILL), **ranges})(images, seeded())
    kept = (changed.amax(1) > 0.2).double().mean((1, 2)) / (images.amax(1) > 0.2).double().mean(
        (1, 2)
    )
    assert 0.5 < kept.min() < 0.8
    assert 1.2 < kept.max() < 1.5


def photographs(count, size=32):
    return batch(count, size, background=(226, 224, 214))


def test_a_photograph_keeps_no_black_edge():
    light = Augmentation(noise=0, blur=0)(photographs(60, 64), seeded()).amax(1)
    assert min(light[:, [0, -1]].min(), light[:, :, [0, -1]].min()) > 0.4


def test_a_deeper_stain_darkens_what_is_darker_than_the_cell_and_leaves_the_cell():
    body = torch.tensor([190, 152, 154])[:, None, None] / 255
    images = body.repeat(8, 1, 32, 32)
    images[:, :, :8] *= 0.6
    images[:, :, 24:] *= 1.2
    deep = {**vars(STILL), "stain": (2.0, 2.0)}
    changed = Augmentation(**deep)(images, seeded())
    ratio = changed / body
    assert ratio.amin((1, 2, 3)).tolist() == pytest.approx([0.36] * 8, abs=0.01)
    assert ratio.amax((1, 2, 3)).tolist() == pytest.approx([1.44] * 8, abs=0.01)
    assert ratio[:, :, 14:18, 14:18].tolist() == pytest.approx(np.ones((8, 3, 4, 4)), abs=0.01)


def test_a_painted_background_may_be_that_of_a_photograph_in_the_batch():
    images = torch.cat([batch(30, 32), photographs(2, 32)])
    borrow = {**vars(STILL), "painted": 1.0, "borrowed": 1.0}
    changed = Augmentation(**borrow)(images, seeded())
    wanted = torch.tensor([226, 224, 214])[:, None] / 255
    assert (corners(changed)[:30] - wanted).abs().max() < 0.08
