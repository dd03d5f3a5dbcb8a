import time
from datetime import UTC, datetime
from types import SimpleNamespace

import pytest
from django.core.cache import cache
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from diagnosis import limits
from diagnosis.models import SmearImage
from malariaweb.middleware import MAX_BODY
from tests.databases import at_once, slow_down
from tests.people import join, laboratory_of, signed_in
from tests.readings import active_model, new_slide, png
from tests.test_api import program_of

pytestmark = pytest.mark.django_db
JSON = {"Accept": "application/json"}


@pytest.fixture(autouse=True)
def _empty_cache():
    cache.clear()


@pytest.fixture
def slide():
    active_model()
    return new_slide(laboratory_of("ada"))


@pytest.fixture
def ada(slide):
    return slide.laboratory.members.get()


def send(user, slide, *seeds, **headers):
    files = [SimpleUploadedFile(f"{seed}.png", png(seed)) for seed in seeds]
    address = reverse("slide_images", args=[slide.pk])
    return signed_in(user).post(address, {"images": files}, headers=headers)


def test_files_of_an_hour_are_counted_for_each_account(ada, slide, settings):
    settings.UPLOADS_PER_HOUR = 3
    assert send(ada, slide, 1, 2, **JSON).status_code == 200
    refused = send(ada, slide, 3, 4, **JSON)
    assert refused.status_code == 429
    assert "More than 3 files in an hour" in refused.json()["error"]
    with pytest.raises(limits.TooMuch) as error:
        limits.check(ada, slide.laboratory_id, [1, 1])
    assert 0 < error.value.wait <= limits.HOUR
    assert slide.images.count() == 2
    assert send(ada, slide, 3, **JSON).status_code == 200
    assert send(ada, slide, 4, **JSON).status_code == 429
    ben = join(slide.laboratory, "ben").user
    assert send(ben, slide, 4, **JSON).status_code == 200


def test_the_next_hour_begins_anew(ada, slide, settings, monkeypatch):
    settings.UPLOADS_PER_HOUR = 1
    now = 1_000 * limits.HOUR + 3_000
    monkeypatch.setattr(limits, "time", SimpleNamespace(time=lambda: now))
    assert send(ada, slide, 1, **JSON).status_code == 200
    assert "in 11 minutes" in send(ada, slide, 2, **JSON).json()["error"]
    now += 600
    assert send(ada, slide, 2, **JSON).status_code == 200


def test_a_pause_does_not_begin_the_hour_anew(ada, slide, settings):
    settings.UPLOADS_PER_HOUR = 1
    send(ada, slide, 1, **JSON)
    with connection.cursor() as cursor:
        cursor.execute("SELECT expires FROM cache WHERE cache_key LIKE '%uploads%'")
        (expires,) = cursor.fetchone()
    ends = datetime.fromisoformat(str(expires)).replace(tzinfo=UTC).timestamp()
    assert ends - time.time() > limits.HOUR - 60


def test_what_was_sent_since_the_last_measurement_counts(ada, slide, settings, monkeypatch):
    now = 1_000 * limits.MEASURED_EVERY + 1
    monkeypatch.setattr(limits, "time", SimpleNamespace(time=lambda: now))
    monkeypatch.setattr(limits, "GB", len(png(1)) + len(png(2)) + len(png(3)) - 1)
    settings.STORAGE_QUOTA_GB = 1
    assert [send(ada, slide, seed, **JSON).status_code for seed in (1, 2, 3)] == [200, 200, 507]


def test_no_file_of_two_requests_at_once_is_left_uncounted(real_database, settings, monkeypatch):
    settings.UPLOADS_PER_HOUR = 9
    slow_down(monkeypatch, limits, "_check_rate")
    laboratory = laboratory_of("ada")
    user = laboratory.members.get()
    outcomes = at_once(*[lambda: limits.check(user, laboratory.pk, [1, 1])] * 6)
    assert sum(outcome is None for outcome in outcomes) == 4
    limits.check(user, laboratory.pk, [1])
    with pytest.raises(limits.TooMuch):
        limits.check(user, laboratory.pk, [1])


def test_a_page_without_a_script_says_it_too(ada, slide, settings):
    settings.UPLOADS_PER_HOUR = 1
    send(ada, slide, 1)
    answer = send(ada, slide, 2)
    page = signed_in(ada)
    assert answer.status_code == 302
    assert SmearImage.objects.count() == 1
    address = reverse("slide_images", args=[slide.pk])
    followed = page.post(address, {"images": [SimpleUploadedFile("2.png", png(2))]}, follow=True)
    assert "are too many for this site" in followed.text


def test_a_laboratory_that_filled_its_quota_is_told_so(ada, slide, settings, monkeypatch):
    assert send(ada, slide, 1, **JSON).status_code == 200
    size = slide.images.get().file.size
    cache.clear()
    assert limits.stored(slide.laboratory_id) == size
    monkeypatch.setattr(limits, "GB", size + len(png(2)) - 1)
    settings.STORAGE_QUOTA_GB = 1
    refused = send(ada, slide, 2, **JSON)
    assert refused.status_code == 507
    assert "Your laboratory has filled its 1 GB of storage" in refused.json()["error"]
    assert slide.images.count() == 1


def test_other_laboratories_and_no_quota_go_on(ada, slide, settings, monkeypatch):
    monkeypatch.setattr(limits, "GB", 1)
    settings.STORAGE_QUOTA_GB = 0
    assert send(ada, slide, 1, **JSON).status_code == 200
    other = new_slide(laboratory_of("eve", "Mombasa"))
    monkeypatch.setattr(limits, "GB", len(png(2)))
    settings.STORAGE_QUOTA_GB = 1
    assert send(other.laboratory.members.get(), other, 2, **JSON).status_code == 200


def test_no_quota_costs_nothing(ada, slide, settings):
    settings.STORAGE_QUOTA_GB = 0
    limits.check(ada, slide.laboratory_id, [1])
    with CaptureQueriesContext(connection) as asked:
        limits.check(ada, slide.laboratory_id, [1])
    assert not [query for query in asked if "smearimage" in query["sql"]]
    assert not [query for query in asked if "stored-" in query["sql"]]


def test_a_quota_is_asked_of_the_database_alone(ada, slide):
    send(ada, slide, 1, **JSON)
    image = slide.images.get()
    assert image.stored_bytes == image.file.size
    image.file.delete(save=False)
    cache.clear()
    assert limits.stored(slide.laboratory_id) == image.stored_bytes


def test_programs_are_limited_too(ada, slide, settings):
    settings.UPLOADS_PER_HOUR = 1
    program, address = program_of(ada), reverse("api_slide_images", args=[slide.pk])
    answers = []
    for seed in (1, 2):
        files = [SimpleUploadedFile("cell.png", png(seed))]
        answers.append(program.post(address, {"images": files}))
    assert [answer.status_code for answer in answers] == [200, 429]
    assert "More than 1 files in an hour" in answers[1].json()["detail"]


def test_too_many_files_at_a_time_are_refused_in_words(ada, slide, settings):
    settings.DATA_UPLOAD_MAX_NUMBER_FILES = 2
    refused = send(ada, slide, 1, 2, 3, **JSON)
    assert refused.status_code == 400
    assert refused.json()["error"] == "Send at most 2 files at a time."
    assert "Send at most 2 files at a time." in send(ada, slide, 1, 2, 3).text
    assert not slide.images.exists()


def test_a_request_that_would_fill_the_disk_is_refused_unread(ada, slide):
    address = reverse("slide_images", args=[slide.pk])
    browser, much = signed_in(ada), {"CONTENT_LENGTH": str(MAX_BODY + 1)}
    sentence = "Nothing was stored. Send at most 1000 MB at a time: choose fewer files."
    answer = browser.post(address, headers=JSON, **much)
    assert (answer.status_code, answer.json()["error"]) == (413, sentence)
    page = browser.post(address, **much)
    assert (page.status_code, page["Content-Type"]) == (413, "text/html; charset=utf-8")
    assert sentence in page.text
    program = program_of(ada).post(reverse("api_slide_images", args=[slide.pk]), **much)
    assert (program.status_code, program.json()["error"]) == (413, sentence)
