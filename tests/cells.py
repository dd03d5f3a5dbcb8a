"""Folders of drawn cells, named and sorted as data sets are."""

from pathlib import Path

from PIL import Image

from ml.drawing import draw_cell

PURPLE = (60, 0, 90)


def write_cells(folder: Path, slides: int, each: int, size: int = 40, easy: bool = False) -> Path:
    """`each` cells of both classes on every slide, under names like those of the NIH.

    Parasitized ones are `easy` to tell when they are purple all over: some thirty steps of
    training are enough then.
    """
    for name, parasitized in (("Parasitized", True), ("Uninfected", False)):
        (folder / name).mkdir(parents=True)
        for number in range(slides * each):
            slide, cell = divmod(number, each)
            cell += each * parasitized
            file = f"C{slide}P{slide + 50}ThinF_IMG_20150918_{slide:06}_cell_{cell}.png"
            image = draw_cell(number, parasitized, size)
            if easy and parasitized:
                image = Image.blend(image, Image.new("RGB", image.size, PURPLE), 0.6)
            image.save(folder / name / file)
    return folder
