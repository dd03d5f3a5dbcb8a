"""Folders of drawn cells, named and sorted as data sets are."""

from pathlib import Path

from ml.drawing import draw_cell


def write_cells(folder: Path, slides: int, each: int, size: int = 40) -> Path:
    """`each` cells of both classes on every slide, under names like those of the NIH."""
    for name, parasitized in (("Parasitized", True), ("Uninfected", False)):
        (folder / name).mkdir(parents=True)
        for number in range(slides * each):
            slide, cell = divmod(number, each)
            cell += each * parasitized
            file = f"C{slide}P{slide + 50}ThinF_IMG_20150918_{slide:06}_cell_{cell}.png"
            draw_cell(number, parasitized, size).save(folder / name / file)
    return folder
