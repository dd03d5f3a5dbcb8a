from functools import partial

import pytest
from django.db import IntegrityError, transaction

from diagnosis import opinions, reviews, verdict
from diagnosis.models import Opinion, Prediction, Review, Slide, State
from tests.databases import at_once, slow_down
from tests.people import join, laboratory_of, person
from tests.readings import failed, new_slide, read, waiting


@pytest.fixture
def laboratory(db):
    return laboratory_of("ada")


@pytest.fixture
def ada(laboratory):
    return laboratory.members.get()


@pytest.fixture
def ben(laboratory):
    return join(laboratory, "ben").user


@pytest.fixture
def slide(laboratory):
    return new_slide(laboratory, "S-1")


def standing(image):
    found = Review.objects.filter(image=image, is_standing=True)
    return [(review.reviewer.username, review.label) for review in found]


def counts(slide):
    slide.refresh_from_db()
    return {name: getattr(slide, name) for name in verdict.COUNTS if getattr(slide, name)}


def test_a_review_stands_beside_the_prediction(slide, ada):
    prediction = read(slide, "parasitized")
    review = reviews.say(prediction.image, ada, Opinion.UNINFECTED, "a platelet")
    before = prediction.decision, prediction.label, prediction.probability
    prediction.refresh_from_db()
    assert (prediction.decision, prediction.label, prediction.probability) == before
    assert (review.prediction, review.comment) == (prediction, "a platelet")
    assert standing(prediction.image) == [("ada", "uninfected")]
    assert counts(slide) == {"uninfected": 1}


def test_a_newer_one_of_the_same_person_takes_its_place(slide, ada):
    image = read(slide).image
    for label in ("uninfected", "parasitized", "cannot-tell"):
        reviews.say(image, ada, label)
    assert standing(image) == [("ada", "cannot-tell")]
    assert [r.label for r in image.reviews.all()] == ["uninfected", "parasitized", "cannot-tell"]
    assert not image.reviews.exclude(withdrawn_at=None).exists()


def test_the_same_again_is_one(slide, ada):
    image = read(slide).image
    first = reviews.say(image, ada, "uninfected")
    assert reviews.say(image, ada, "uninfected") == first
    assert reviews.say(image, ada, "uninfected", "with a note") != first


def test_what_is_taken_back_leaves_the_model_alone_again(slide, ada, ben):
    image = read(slide, "parasitized").image
    reviews.say(image, ada, "parasitized")
    reviews.say(image, ada, "uninfected")
    assert not reviews.take_back(image, ben)
    assert counts(slide) == {"uninfected": 1}
    assert reviews.take_back(image, ada)
    assert standing(image) == []
    assert counts(slide) == {"parasitized": 1}
    assert [r.withdrawn_at is None for r in image.reviews.all()] == [True, False]
    assert not reviews.take_back(image, ada)


@pytest.mark.parametrize(
    ("labels", "found"),
    [
        ([], ""),
        (["parasitized"], "parasitized"),
        (["uninfected", "uninfected"], "uninfected"),
        (["parasitized", "uninfected"], "uncertain"),
        (["cannot-tell"], "uncertain"),
        (["cannot-tell", "parasitized"], "uncertain"),
        (["no-cell"], "removed"),
        (["no-cell", "parasitized"], "uncertain"),
    ],
)
def test_what_several_say_together(labels, found):
    assert opinions.together(labels) == found


def test_people_who_disagree_leave_it_uncertain_until_one_gives_way(slide, ada, ben):
    image = read(slide, "parasitized").image
    reviews.say(image, ada, "parasitized")
    reviews.say(image, ben, "uninfected")
    assert counts(slide) == {"uncertain": 1}
    reviews.say(image, ben, "parasitized")
    assert counts(slide) == {"parasitized": 1}


def test_a_rejected_image_may_be_a_cell_after_all(slide, ada):
    reviews.say(read(slide, "rejected").image, ada, "parasitized")
    assert counts(slide) == {"parasitized": 1}


@pytest.mark.parametrize("make", [waiting, failed])
def test_what_was_not_read_is_not_reviewed(slide, ada, make):
    image = make(slide).image
    with pytest.raises(reviews.NothingToReview, match="was not read yet"):
        reviews.say(image, ada, "uninfected")
    assert not Review.objects.exists()


def test_it_is_about_the_reading_that_was_seen(slide, ada):
    old = read(slide, "parasitized", is_current=False)
    other = read(slide)
    version = old.model
    version.pk, version.fingerprint, version.is_active = None, "another", False
    version.save()
    new = Prediction.objects.create(
        image=old.image, model=version, state=State.DONE, decision="uninfected"
    )
    assert reviews.say(old.image, ada, "parasitized", seen=old.pk).prediction == old
    assert reviews.say(old.image, ada, "uninfected", seen=other.pk).prediction == new


def test_a_review_outlives_its_reviewer(slide, ada, ben):
    image = read(slide).image
    reviews.say(image, ben, "parasitized")
    ben.delete()
    reviews.say(image, ada, "uninfected")
    image.refresh_from_db()
    assert image.reviewed == "uncertain"


def test_two_of_one_person_cannot_stand(slide, ada):
    image = read(slide).image
    reviews.say(image, ada, "uninfected")
    with pytest.raises(IntegrityError), transaction.atomic():
        Review.objects.create(image=image, reviewer=ada, label="parasitized")


def test_a_slide_that_is_deleted_takes_its_reviews_along(slide, ada):
    reviews.say(read(slide).image, ada, "uninfected")
    Slide.objects.all().delete()
    assert not Review.objects.exists()


def test_of_two_at_once_the_later_counts_both(real_database, monkeypatch):
    laboratory = laboratory_of("ada")
    slide = new_slide(laboratory)
    image = read(slide).image
    users = [laboratory.members.get(), *(person(f"p{n}") for n in range(3))]
    labels = ["parasitized", "uninfected", "uninfected", "uninfected"]
    slow_down(monkeypatch, reviews, "_prediction")
    saying = [partial(reviews.say, image, *each) for each in zip(users, labels, strict=True)]
    outcomes = at_once(*saying)
    assert [type(outcome) for outcome in outcomes] == [Review] * 4
    image.refresh_from_db()
    assert image.reviewed == "uncertain"
    assert counts(slide) == {"uncertain": 1}
