import pytest
from django.core.files.storage import InMemoryStorage

from diagnosis import reviews
from diagnosis.learning import reviewed_examples
from diagnosis.models import SmearImage
from ml.datasets import DataError, fingerprint
from ml.images import read_image
from tests.people import join, laboratory_of
from tests.readings import new_image, new_slide, read

pytestmark = pytest.mark.django_db


@pytest.fixture
def laboratory():
    return laboratory_of("ada")


@pytest.fixture
def ada(laboratory):
    return laboratory.members.get()


@pytest.fixture
def slide(laboratory):
    return new_slide(laboratory)


def labels(examples):
    return {example.path.stem: example.label for example in examples}


def test_what_people_said_is_learned_not_what_the_model_did(slide, ada, tmp_path):
    missed, agreed, unreviewed = read(slide), read(slide, "parasitized"), read(slide)
    reviews.say(missed.image, ada, "parasitized")
    reviews.say(agreed.image, ada, "parasitized")
    other = new_slide(laboratory_of("eve", "Mombasa"))
    invented = read(other, "parasitized")
    reviews.say(invented.image, other.laboratory.members.get(), "uninfected")
    examples = reviewed_examples(tmp_path)
    assert labels(examples) == {
        missed.image.sha256: 1,
        agreed.image.sha256: 1,
        invented.image.sha256: 0,
    }
    assert unreviewed.image.sha256 not in labels(examples)
    assert {e.slide for e in examples} == {f"reviewed:{slide.pk}", f"reviewed:{other.pk}"}
    assert all(example.reviewed for example in examples)
    for example in examples:
        image = SmearImage.objects.get(sha256=example.path.stem)
        with image.file.open() as file:
            assert read_image(example.path).tobytes() == read_image(file.read()).tobytes()


def test_doubt_is_not_learned(slide, ada, laboratory, tmp_path):
    ben = join(laboratory, "ben").user
    disputed, unclear, undone, plain = (read(slide).image for _ in range(4))
    reviews.say(disputed, ada, "parasitized")
    reviews.say(disputed, ben, "uninfected")
    reviews.say(unclear, ada, "cannot-tell")
    reviews.say(undone, ada, "uninfected")
    reviews.take_back(undone, ada)
    reviews.say(plain, ben, "uninfected")
    assert labels(reviewed_examples(tmp_path)) == {plain.sha256: 0}


def test_a_picture_on_two_slides_is_one_cell(slide, ada, laboratory, tmp_path):
    other = new_slide(laboratory)
    for sha256, label in (("a" * 64, "parasitized"), ("b" * 64, "uninfected")):
        for place, said in ((slide, "parasitized"), (other, label)):
            image = new_image(place)
            image.sha256 = sha256
            image.save()
            reviews.say(read(place, image=image).image, ada, said)
    assert labels(reviewed_examples(tmp_path)) == {"a" * 64: 1}


def test_a_changed_answer_is_other_data(slide, ada, tmp_path):
    image = read(slide).image
    reviews.say(image, ada, "parasitized")
    before = fingerprint(reviewed_examples(tmp_path))
    assert fingerprint(reviewed_examples(tmp_path)) == before
    reviews.say(image, ada, "uninfected")
    assert fingerprint(reviewed_examples(tmp_path)) != before


def test_without_any_there_is_a_sentence(slide, tmp_path):
    read(slide)
    with pytest.raises(DataError, match="train without --include-reviews"):
        reviewed_examples(tmp_path)


def test_a_lost_file_is_named_and_left_out(slide, ada, tmp_path):
    lost, there = read(slide, name="lost.png").image, read(slide).image
    for image in (lost, there):
        reviews.say(image, ada, "uninfected")
    lost.file.storage.delete(lost.file.name)
    said: list[str] = []
    assert labels(reviewed_examples(tmp_path, said.append)) == {there.sha256: 0}
    assert said == [f"Left out lost.png of slide {slide.code}: its stored file is lost."]


class Elsewhere(InMemoryStorage):
    """Without paths, as a bucket is; now and then it does not answer."""

    is_down = False

    def open(self, name, mode="rb"):
        if self.is_down:
            raise RuntimeError("503 Slow Down")
        return super().open(name, mode)


def test_images_may_be_stored_anywhere(slide, ada, tmp_path, monkeypatch):
    bucket = Elsewhere()
    monkeypatch.setattr(SmearImage._meta.get_field("file"), "storage", bucket)
    image = read(slide).image
    reviews.say(image, ada, "parasitized")
    (example,) = reviewed_examples(tmp_path)
    assert read_image(example.path).size == (64, 64)
    bucket.is_down = True
    with pytest.raises(DataError, match="cannot be fetched: 503 Slow Down"):
        reviewed_examples(tmp_path)
