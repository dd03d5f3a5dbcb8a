"""Whether the stored images are where this site keeps them, or that place is away.

An unmounted folder and a missing bucket look like one without this image. So the first image
leaves a mark beside it: where the mark is not, no image is lost, and none is stored.
"""

from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.db.models import QuerySet

from .models import Prediction, SmearImage

MARK = "images-of-this-site.txt"
WORDS = b"Without this file the site takes this place for the wrong one. Leave it here.\n"
ASKED = 3
"""The newest images, which stand for all."""


class Away(OSError):
    """The images cannot be reached, whatever they are asked for."""


def require() -> None:
    """Raises Away, or what the storage itself raises."""
    if default_storage.exists(MARK):
        return
    newest = _newest(Prediction.objects.all())
    if newest and not any(default_storage.exists(name) for name in newest):
        raise Away("The storage holds neither the mark nor the newest images of this site.")
    default_storage.save(MARK, ContentFile(WORDS))


def is_at_fault(image: SmearImage, error: Exception) -> bool:
    """Whether it is this image's file alone that cannot be opened, and not the storage."""
    try:
        require()
        if isinstance(error, FileNotFoundError):
            return True  # in the right place one is lost
        others = _newest(Prediction.objects.exclude(image=image))
        return not others or any(_opens(name) for name in others)
    except Exception:  # each storage has its own kinds
        return False


def _newest(rows: QuerySet[Prediction]) -> list[str]:
    return list(rows.order_by("-pk").values_list("image__file", flat=True)[:ASKED])


def _opens(name: str) -> bool:
    try:
        with default_storage.open(name) as file:
            return bool(file.read(1))
    except Exception:
        return False
