import pytest

from diagnosis import reviews, verdict
from diagnosis.models import READ_STATES, Prediction, State
from diagnosis.verdict import ALARM, NOT_NEGATIVE, Tally
from tests.people import laboratory_of
from tests.readings import failed, new_slide, read, waiting


def tally_of(**counts):
    images = ("parasitized", "uninfected", "uncertain", "rejected", "failed", "pending")
    return Tally(total=sum(counts.get(name, 0) for name in images), **counts)


@pytest.mark.parametrize(
    ("counts", "sentence", "result", "status"),
    [
        ({}, "No images yet.", "none", "empty"),
        ({"pending": 1}, "Reading 1 image.", "none", "reading"),
        ({"pending": 4, "rejected": 1}, "Reading 4 images.", "none", "reading"),
        ({"rejected": 2}, "No cell could be read.", "none", "done"),
        ({"failed": 2}, "No cell could be read.", "none", "failed"),
        ({"uninfected": 1}, "0 of 1 cell parasitized.", "uninfected", "done"),
        (
            {"parasitized": 3, "uninfected": 30, "uncertain": 2, "rejected": 5},
            "3 of 35 cells parasitized.",
            "parasitized",
            "done",
        ),
        ({"uninfected": 9, "uncertain": 1}, "0 of 10 cells parasitized.", "uncertain", "done"),
        (
            {"parasitized": 1, "pending": 9, "failed": 1},
            "1 of 1 cell parasitized.",
            "parasitized",
            "reading",
        ),
    ],
)
def test_the_sentence(counts, sentence, result, status):
    tally = tally_of(**counts)
    assert (tally.sentence, tally.result, tally.status) == (sentence, result, status)


@pytest.mark.parametrize("others", [{}, {"pending": 5}, {"uncertain": 2, "uninfected": 100}])
def test_one_parasitized_cell_is_critical_at_once(others):
    tally = tally_of(parasitized=1, **others)
    assert tally.is_critical
    assert tally.advice == ALARM


@pytest.mark.parametrize("counts", [{"uninfected": 1}, {"uninfected": 5000, "rejected": 3}])
def test_uninfected_cells_alone_are_never_a_negative_result(counts):
    tally = tally_of(**counts)
    assert not tally.is_critical
    assert tally.advice == NOT_NEGATIVE
    assert "negative" not in tally.sentence


@pytest.mark.parametrize(
    ("counts", "concluded", "result"),
    [
        ({"uninfected": 3}, "positive", "parasitized"),
        ({"uninfected": 3}, "cannot-tell", "uncertain"),
        ({"uncertain": 3}, "negative", "uninfected"),
        ({"parasitized": 1, "uninfected": 3}, "negative", "parasitized"),
        ({"uninfected": 1, "fields": 1, "finding": "negative"}, "positive", "parasitized"),
        ({"uncertain": 1, "fields": 1, "finding": "uncertain"}, "negative", "uninfected"),
        ({}, "negative", "none"),
        ({}, "positive", "parasitized"),
    ],
)
def test_what_a_person_concludes_stands_over_what_was_counted(counts, concluded, result):
    tally = tally_of(**counts, concluded=concluded)
    assert tally.result == result
    assert tally.is_critical == (result == "parasitized")
    assert tally.sentence.startswith(str(verdict.CONCLUDED[concluded]))


def test_uncertain_cells_are_for_a_person():
    assert tally_of(uncertain=2, uninfected=3).advice.startswith("2 cells to be judged by a person")


@pytest.mark.parametrize("counts", [{}, {"pending": 2}, {"uninfected": 9, "pending": 1}])
def test_nothing_is_advised_before_all_is_read(counts):
    assert tally_of(**counts).advice == ""


def test_no_sentence_speaks_of_a_parasitaemia():
    for counts in ({"parasitized": 5, "uninfected": 5}, {"uninfected": 9}, {"uncertain": 1}):
        tally = tally_of(**counts)
        words = " ".join([tally.sentence, tally.advice, *tally.remarks])
        assert "%" not in words
        assert "emia" not in words


def test_what_the_sentence_leaves_out_is_remarked():
    tally = tally_of(uninfected=1, uncertain=2, rejected=1, failed=3, pending=4)
    numbers = [remark.split()[:2] for remark in tally.remarks]
    assert numbers == [["2", "images"], ["1", "image"], ["3", "images"], ["4", "images"]]
    assert tally_of(uninfected=1).remarks == []
    reviewed = Tally(2, uninfected=2, reviewed=1)
    assert reviewed.remarks == ["1 image reviewed: a person's answer counts."]


@pytest.mark.django_db
class TestCounting:
    @pytest.fixture
    def laboratory(self):
        return laboratory_of("ada")

    @pytest.fixture
    def slide(self, laboratory):
        slide = new_slide(laboratory)
        for decision in ("parasitized", "uninfected", "uninfected", "uncertain", "rejected"):
            read(slide, decision)
        failed(slide)
        waiting(slide)
        waiting(slide, state=State.RUNNING)
        return slide

    ALL = Tally(8, parasitized=1, uninfected=2, uncertain=1, rejected=1, failed=1, pending=2)

    def test_each_image_counts_once(self, slide):
        assert verdict.tally(slide) == self.ALL

    def test_only_current_predictions_count(self, slide):
        Prediction.objects.filter(decision="parasitized").update(is_current=False)
        assert verdict.tally(slide).parasitized == 0

    def test_many_slides_take_two_queries(self, laboratory, slide, django_assert_num_queries):
        empty, other = new_slide(laboratory), new_slide(laboratory)
        read(other, "uncertain")
        with django_assert_num_queries(2):
            tallies = verdict.tallies([slide, empty, other])
        assert tallies == {
            slide.pk: self.ALL,
            empty.pk: Tally(),
            other.pk: Tally(1, uncertain=1),
        }

    def test_what_people_said_counts_before_the_model(self, slide):
        ada = slide.laboratory.members.get()
        for prediction in slide.predictions.filter(state__in=READ_STATES):
            reviews.say(prediction.image, ada, "parasitized")
        expected = Tally(8, parasitized=5, failed=1, pending=2, reviewed=5)
        assert verdict.tally(slide) == expected
        slide.refresh_from_db()
        assert (slide.parasitized, slide.uncertain, slide.rejected) == (5, 0, 0)

    def test_but_only_where_the_model_has_answered(self, slide):
        """An image that is being read again."""
        slide.images.update(reviewed="parasitized")
        found = verdict.tally(slide)
        assert (found.failed, found.pending, found.parasitized) == (1, 2, 5)

    def test_a_slide_keeps_its_counts(self, slide):
        slide.refresh_from_db()
        assert {name: getattr(slide, name) for name in verdict.COUNTS} == {
            name: getattr(self.ALL, name) for name in verdict.COUNTS
        }
        Prediction.objects.filter(slide=slide).delete()
        verdict.recount([slide.pk])
        slide.refresh_from_db()
        assert not any(getattr(slide, name) for name in verdict.COUNTS)

    def test_counting_again_writes_nothing(self, slide, django_assert_num_queries):
        with django_assert_num_queries(2 + 2):  # look and count, between a savepoint's ends
            verdict.recount([slide.pk])
