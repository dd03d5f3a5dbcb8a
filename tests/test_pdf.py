"""The report of a slide on one page."""

import io
import re
from datetime import UTC, datetime
from typing import Any

import pytest
from django.utils import translation
from pypdf import PdfReader

from diagnosis import (
    cells,
    disputes,
    pdf,
    pdf_pictures,
    pictures,
    readings,
    reviews,
    roster,
    sheet,
    signing,
    summary,
    verdict,
)
from diagnosis.models import Cell, Report
from diagnosis.sheet import Sheet
from diagnosis.words import percent
from tests.people import join, laboratory_of
from tests.readings import active_model, measured_model, new_image, new_slide, read, read_field

NOW = datetime(2026, 11, 25, 9, 30, tzinfo=UTC)


@pytest.fixture
def laboratory(db):
    return laboratory_of("ada", "Kisumu Référence")


@pytest.fixture
def slide(laboratory):
    measured_model()
    return new_slide(laboratory, "KSM-7", stain="giemsa", note="Third film")


def made(slide) -> PdfReader:
    return page_of(pdf.of(summary.of_slide(slide), None, NOW))


def signed(report, change=None) -> PdfReader:
    return page_of(pdf.of(report.content, report, NOW, change))


def page_of(data: bytes) -> PdfReader:
    assert len(data) < 1_000_000
    reader = PdfReader(io.BytesIO(data))
    assert len(reader.pages) == 1
    return reader


def text(reader: PdfReader) -> str:
    return " ".join(reader.pages[0].extract_text().split())


def test_it_says_whose_slide_it_is_and_what_its_fields_say(slide):
    read_field(slide, *["parasitized"] * 30, *["uninfected"] * 570, "uncertain")
    content, page = summary.of_slide(slide), text(made(slide))
    for words in ("KSM-7", "Kisumu Référence", "Giemsa", "Third film", content["headline"]):
        assert words in page
    assert verdict.ALARM in page
    assert "95 % interval" in page
    assert "parasites per µL" in page
    assert "Basis: 5,000,000 red cells per µL, assumed, not measured" in page
    assert "Page made 25 November 2026, 09:30 UTC" in page


@pytest.mark.parametrize("language", ["fr", "pt"])
def test_it_is_in_english_whoever_asks(slide, language):
    read_field(slide, *["parasitized"] * 30, *["uninfected"] * 1970)
    content = summary.of_slide(slide)
    english = text(page_of(pdf.of(content, None, NOW)))
    with translation.override(language):
        assert text(page_of(pdf.of(content, None, NOW))) == english


def with_fields(slide, ada):
    field = read_field(slide, *["parasitized"] * 60, *["uncertain"] * 3, *["uninfected"] * 1437)
    cells.say(field.image, ada, field.cells.first().pk, "parasitized", "Zzz")
    cells.add(field.image, ada, [5, 5, 30, 30], "parasitized")
    signing.sign(slide, ada)
    return slide, signing.amend(slide, ada, "Zzz", "Zzz")


def with_crops(slide, ada):
    for decision in ("parasitized", "uncertain", "uninfected", "rejected"):
        reviewed = read(slide, decision, name="a.png")
    reviews.say(reviewed.image, ada, "cannot-tell", "Zzz")
    readings.conclude(slide, ada, "cannot-tell", "Zzz")
    return slide, None


def with_two_readings(slide, ada):
    roster.set_second_reading(slide.laboratory, True)
    twice = new_slide(slide.laboratory, "KSM-8")
    read_field(twice, *["uninfected"] * 600, "edge", "rejected")
    ben = join(slide.laboratory, "ben").user
    readings.conclude(twice, ada, "negative", "Zzz", close=True)
    readings.conclude(twice, ben, "positive", "Zzz", close=True)
    disputes.settle(twice, ada, "slide", "negative", "Zzz")
    return twice, signing.sign(twice, ada)


def with_nothing(slide, ada):
    return slide, None


def lengthened(content):
    for name in ("cell_notes", "reviewers", "readings"):
        content[name] = (content[name] or ["Zzz"]) * 40
    content["models"] *= 40
    content["note"] = "🦟" * 300
    content["lines"] = [*content["lines"], *content["lines"][1:] * 20]
    return content


SAME = {
    "fr": {"discussion", "image", "images", "notes", "page", "parasites", "positive", "second"},
    "pt": set(),
}
"""Words that are spelled as in English."""
NAMES = {"kisumu", "référence", "giemsa", "falciparum", "resnet", "drawn", "cell"}
"""What the laboratory, the stain, the parasite, the model and photographs are called."""


def words_of(page: str) -> set[str]:
    """Without numbers, and ids in hexadecimal."""
    return set(re.findall(r"\b(?![a-f]+\b)[^\W\d_]{4,}\b", page.lower()))


@pytest.mark.parametrize("language", ["fr", "pt"])
@pytest.mark.parametrize("shape", [lambda content: content, lengthened], ids=["whole", "cut"])
@pytest.mark.parametrize("fill", [with_fields, with_crops, with_two_readings, with_nothing])
def test_in_another_language_no_word_of_ours_is_english(slide, laboratory, language, fill, shape):
    """The same report in both: names and what people wrote is all they share."""
    slide.note = ""
    slide.save()
    slide, report = fill(slide, laboratory.members.get())

    def page(language):
        content = shape(summary.of_slide(slide, language))
        change = signing.Change("", content["headline"], [], language)
        return words_of(text(page_of(pdf.of(content, report, NOW, change))))

    assert page(language) & page("en") - NAMES <= SAME[language]


@pytest.mark.parametrize(
    ("language", "words"),
    [
        ("fr", ["25 novembre 2026, 09:30 UTC", "2 000", "Base : 5 000 000 hématies", "95 %"]),
        ("pt", ["25 de Novembro de 2026, 09:30 UTC", "2.000", "Base: 5.000.000", "95 %"]),
    ],
)
def test_a_report_stays_in_the_language_it_was_signed_in(slide, laboratory, language, words):
    """Dates and numbers too, whoever asks and whatever the laboratory writes since."""
    roster.set_report_language(laboratory, language)
    read_field(slide, *["parasitized"] * 30, *["uninfected"] * 1970)
    report = signing.sign(slide, laboratory.members.get())
    reader = signed(report)
    page = text(reader)
    for word in words:
        assert word in page
    assert re.search(r"\d,\d", page)
    assert "\ufffd" not in page
    assert reader.trailer["/Root"]["/Lang"] == language
    roster.set_report_language(laboratory, "en")
    with translation.override("en-gb"):
        assert text(signed(report)) == page


def test_a_number_is_never_broken_between_lines():
    words = "aa 5\u202f000\xa0000 bb"
    for width in range(40, 200, 5):
        lines = sheet.wrapped(words, sheet.Style(sheet.REGULAR, 9), width, 9)
        assert any("5\xa0000\xa0000" in line for line in lines) or width < 60
    assert len(lines) == 1


def test_the_wording_and_the_limits_are_on_every_page(slide):
    for _ in range(2):
        page = text(made(slide))
        assert verdict.RESEARCH_USE in page
        assert verdict.TRAINED_ON in page
        read(slide, "parasitized")


def test_a_measured_basis_is_called_so(slide):
    slide.red_cells_per_microlitre = 3_900_000
    slide.save()
    read_field(slide, *["uninfected"] * 600)
    assert "Basis: 3,900,000 red cells per µL, measured" in text(made(slide))


def test_a_negative_says_in_how_many_cells_and_that_it_rules_nothing_out(slide):
    read_field(slide, *["uninfected"] * 600)
    page = text(made(slide))
    assert "Negative in 600 red cells" in page
    assert verdict.NEVER_RULES_OUT in page


def test_chosen_cells_give_neither_a_parasitaemia_nor_a_negative(slide):
    read(slide, "uninfected")
    read(slide, "uninfected")
    page = text(made(slide))
    assert "0 of 2 cells parasitized" in page
    assert verdict.NOT_NEGATIVE in page
    assert verdict.NO_PARASITAEMIA in page
    assert "Negative" not in page
    assert "%" not in page.replace("uncertain from 20.0 % to 80.0 %", "")


def test_without_a_measured_background_no_parasitaemia_is_given(laboratory):
    active_model()
    slide = new_slide(laboratory)
    read_field(slide, *["uninfected"] * 600)
    page = text(made(slide))
    assert "Parasitaemia Not given" in page
    assert "have not been measured" in page


def test_what_a_person_concludes_of_the_slide_stands_first(slide):
    read_field(slide, *["uninfected"] * 600)
    readings.conclude(slide, slide.laboratory.members.get(), "positive", "Rings in the thick film.")
    words = text(made(slide))
    assert (
        "Concluded positive by a person. Count of model and people: Negative in 600 red cells"
        in words
    )
    assert verdict.ALARM in words
    assert "Reviewed by ada" in words
    assert "ada: positive. Rings in the thick film." in words


@pytest.mark.parametrize(
    ("concluded", "tone"),
    [("", "negative"), ("negative", "negative"), ("cannot-tell", "open"), ("positive", "critical")],
)
def test_its_colour_follows_the_conclusion(slide, concluded, tone):
    read_field(slide, *["uninfected"] * 600)
    readings.conclude(slide, slide.laboratory.members.get(), concluded, "Seen.")
    assert pdf._tone(summary.of_slide(slide)) == tone


def test_chosen_cells_are_never_coloured_as_a_negative_slide(slide):
    read(slide, "uninfected")
    readings.conclude(slide, slide.laboratory.members.get(), "negative")
    assert pdf._tone(summary.of_slide(slide)) == "open"


def test_before_it_is_signed_it_is_preliminary(slide):
    page = text(made(slide))
    assert "Preliminary" in page
    assert "Not signed" in page
    assert "Final" not in page


def test_once_it_is_signed_it_is_final_and_says_by_whom_and_when(slide, laboratory):
    read_field(slide, *["uninfected"] * 600)
    report = signing.sign(slide, laboratory.members.get(), "Repeat tomorrow.")
    Report.objects.update(signed_at=NOW)
    report.refresh_from_db()
    page = text(signed(report))
    assert "Final" in page
    assert "Signed 25 November 2026, 09:30 UTC by ada" in page
    assert "Repeat tomorrow." in page
    assert "Preliminary" not in page


def test_an_amended_one_says_its_number_and_why(slide, laboratory):
    ada = laboratory.members.get()
    read_field(slide, *["uninfected"] * 600)
    signing.sign(slide, ada)
    page = text(signed(signing.amend(slide, ada, "Two fields more.")))
    assert "Amended" in page
    assert "Report 2, signed" in page
    assert "Why it was amended Two fields more." in page


def test_what_was_signed_stays_and_a_change_since_is_told(slide, laboratory):
    field = read_field(slide, "parasitized", *["uninfected"] * 600)
    report = signing.sign(slide, laboratory.members.get())
    cells.say(field.image, laboratory.members.get(), field.cells.first().pk, "parasitized")
    page = text(signed(report, signing.change(report, slide)))
    assert "Uncertain: 1 cell to look at" in page
    assert "The slide has changed since it was signed" in page
    assert "It says now: Positive: parasitaemia" in page
    assert "has changed" not in text(signed(report))


def test_reviewers_and_versions_are_named(slide, laboratory):
    field = read_field(slide, "parasitized", "uninfected")
    cells.say(field.image, laboratory.members.get(), field.cells.first().pk, "parasitized")
    page = text(made(slide))
    assert "Reviewed by ada" in page
    version = active_model()
    assert f"Read by {version.name} ({version.fingerprint[:12]}" in page


def test_notes_on_cells_are_there_whole_or_counted(slide, laboratory):
    field = read_field(slide, "parasitized", image=new_image(slide, "a.png", 400))
    ada = laboratory.members.get()
    cells.say(field.image, ada, field.cells.get().pk, "parasitized", "Two rings")
    assert "a.png, cell 1: Two rings" in text(made(slide))
    field.image.name = "W" * 200
    field.image.save()
    cells.say(field.image, ada, field.cells.get().pk, "parasitized", "WWW " * 50)
    assert "1, on the slide's page" in text(made(slide))
    report = signing.sign(slide, ada)
    del report.content["cell_notes"]
    assert "Notes on cells" not in text(signed(report))


def test_the_suspicious_cells_are_shown(slide):
    read_field(slide, "parasitized", "uncertain", "uninfected")
    Cell.objects.filter(decision="uncertain").update(x=150, y=150)
    read(slide, "parasitized")
    reader = made(slide)
    assert len(reader.pages[0].images) == 1 + 3
    page = text(reader)
    assert "1 parasitized, 1 uncertain" in page
    assert "model: 97 %" in page


def test_a_probability_is_written_as_on_the_page(slide):
    row = read(slide, "parasitized", probability=0.9989)
    page = text(made(slide))
    assert "model: 99.9 %" in page
    low, high = (percent(share) for share in (row.thresholds.low, row.thresholds.high))
    assert f"uncertain from {low} to {high})" in page


def test_without_suspicious_cells_there_are_no_pictures(slide):
    read_field(slide, *["uninfected"] * 600)
    assert not made(slide).pages[0].images


def test_the_longest_of_everything_is_one_page_and_says_what_is_cut(laboratory):
    laboratory.name = "W" * 120
    laboratory.save()
    measured_model()
    slide = new_slide(laboratory, "W" * 40, note="W" * 300, stain="leishman")
    for _ in range(12):
        read_field(
            slide, *["parasitized", "uncertain"] * 60, image=new_image(slide, "W" * 200, 400)
        )
    content = summary.of_slide(slide)
    content["reviewers"] = [f"reviewer-{number}" for number in range(40)]
    content["lines"] = [f"Line {number}. {'word ' * 60}" for number in range(40)]
    content["cell_notes"] = [f"W.png, cell {number}: {'ring ' * 12}" for number in range(1, 41)]
    content["models"] *= 30
    content["headline"], content["advice"] = "Headline " * 30, "Advice " * 60
    report = Report(
        slide=slide,
        number=12,
        who="W" * 150,
        comment="comment " * 61 + "to its end.",
        reason="reason " * 41 + "to this end.",
        signed_at=NOW,
    )
    change = signing.Change("", "Parasites suspected: parasitaemia 0.034 %", [])
    reader = page_of(pdf.of(content, report, NOW, change))
    page = text(reader)
    assert "W" * 40 in page  # the code is whole
    assert "and 34 more" in page
    assert re.search(r"cell 4: [ring ]+and 36 more", page)
    assert re.search(r"And 3\d more\.", page)
    assert "to its end." in page  # so is what the signer says
    assert "to this end." in page
    assert verdict.RESEARCH_USE in page
    where = {words: y for _, y, words in places(reader)}
    assert min(y for words, y in where.items() if "word" in words) > where["Reviewed by"] + 8
    for x, y, words in places(reader):
        assert 40 < x < 560, words
        assert 20 < y < 810, words


HOSTILE = [
    "<b>bold</b> &amp; <script>alert(1)</script>",
    ") Tj ET Q (injected) \\\\ \\",
    "=1+1\n<a href='http://x'>here</a>",
]


@pytest.mark.parametrize("words", HOSTILE)
def test_what_people_type_is_shown_as_they_typed_it(laboratory, words):
    laboratory.name = words
    laboratory.save()
    measured_model()
    slide = new_slide(laboratory, "KSM-7", note=words)
    read_field(slide, "parasitized", image=new_image(slide, words, 400))
    readings.conclude(slide, laboratory.members.get(), "positive", words)
    content = summary.of_slide(slide)
    content["reviewers"], content["cell_notes"], content["lines"] = [words], [words], ["", words]
    report = Report(slide=slide, number=2, who="ada", comment=words, reason=words, signed_at=NOW)
    reader = page_of(pdf.of(content, report, NOW))
    plain = " ".join(words.split())
    assert text(reader).count(plain) >= 8
    assert reader.metadata.author == words
    assert "/Annots" not in reader.pages[0]
    root: Any = reader.trailer["/Root"]
    assert set(root).isdisjoint({"/OpenAction", "/AA", "/AcroForm"})


UNDRAWABLE = ["مختبر", "מעבדה", "実験室", "የላቦራቶሪ", "🦟🩸", "𝒦"]


@pytest.mark.parametrize("word", UNDRAWABLE)
def test_letters_that_cannot_be_drawn_are_marked_and_that_is_said(laboratory, word):
    laboratory.name = f"Kisumu {word}"
    laboratory.save()
    slide = new_slide(laboratory, "KSM-7", note=f"{word} third")
    reader = made(slide)
    page, marks = text(reader), len(word) * "\ufffd"
    assert f"Kisumu {marks}" in page
    assert f"{marks} third" in page
    assert page.count("\ufffd stands for a letter that this page cannot draw") == 1
    assert reader.metadata.author == laboratory.name


def test_letters_are_drawn_however_they_are_spelled(laboratory):
    laboratory.name = "Re\u0301fe\u0301rence\u202e\u200d\tΚω Ж"
    laboratory.save()
    page = text(made(new_slide(laboratory, "KSM-7")))
    assert "Référence Κω Ж" in page
    assert "stands for" not in page


def test_what_is_cut_is_said_to_be_longer_and_where_it_is(slide):
    hint = "What ends in … is longer on the slide's page."
    slide.note = "note " * 55 + "to its end."
    slide.save()
    page = text(made(slide))
    assert "to its end." in page
    assert hint not in page
    slide.note = "W" * 300
    slide.save()
    assert hint in text(made(slide))


def test_a_word_that_is_longer_than_a_line_goes_on_in_the_next(slide, laboratory):
    image = new_image(slide, "x" * 190 + "-end.png", 400)
    field = read_field(slide, "parasitized", image=image)
    cells.say(field.image, laboratory.members.get(), field.cells.get().pk, "parasitized", "Rings")
    page = text(made(slide)).replace(" ", "")
    assert "-end.png,cell1:Rings" in page


def test_a_conclusion_and_the_count_under_it_have_lines_of_their_own(slide, laboratory):
    read_field(slide, *["uninfected"] * 600)
    readings.conclude(slide, laboratory.members.get(), "positive")
    where = {words: y for _, y, words in places(made(slide))}
    person = where["Concluded positive by a person."]
    assert person > where["Count of model and people: Negative in 600 red cells"]
    content = summary.of_slide(slide)
    del content["heads"]
    assert content["headline"] in text(page_of(pdf.of(content, None, NOW)))


def test_the_longest_headline_is_whole(slide, laboratory):
    read_field(slide, *["uncertain"] * 1100, *["uninfected"] * 900)
    readings.conclude(slide, laboratory.members.get(), "cannot-tell")
    content = summary.of_slide(slide)
    assert len(content["headline"]) > 90
    assert content["headline"] in text(made(slide))


def test_readings_are_there_whole_or_counted(slide):
    read_field(slide, *["uninfected"] * 600)
    content = summary.of_slide(slide)
    said = [f"First reader ada: positive. {'ring ' * 40}one.", f"ben: negative. {'seen ' * 40}two."]
    settled = [f"Cell {n}: {'disputed ' * 12}settled." for n in range(9)]
    content |= {"second_reading": "Read by two people.", "readings": [*said, *settled]}
    page = text(page_of(pdf.of(content, None, NOW)))
    assert "Read by two people. First reader ada: positive." in page
    assert "one. ben: negative." in page
    assert "two." in page
    assert re.search(r"settled\. and \d more, on the slide's page", page)


def test_what_has_no_room_is_named(slide):
    read_field(slide, "parasitized", *["uninfected"] * 600)
    read(slide, "parasitized")
    content = summary.of_slide(slide)
    content["lines"] = [f"Line {number}." for number in range(5)]
    content["readings"] = [" ".join(["reading"] * 80)]
    words = {"comment": "comment\n" * 7, "reason": "reason\n" * 7}
    report = Report(slide=slide, number=2, who="ada", signed_at=NOW, **words)
    change = signing.Change("", "changed\n" * 7, [])
    content["note"], content["headline"] = "🦟" * 300, "Headline " * 30
    reader = page_of(pdf.of(content, report, NOW, change))
    page = text(reader)
    assert not reader.pages[0].images
    assert "What ends in … is longer on the slide's page." in page
    assert "\ufffd stands for a letter that this page cannot draw." in page
    assert "Only on the slide's page: notes, pictures of fields, pictures of cells." in page
    assert min(y for _, y, _ in places(reader)) > 20


@pytest.mark.parametrize("crops", [0, 3, 8])
@pytest.mark.parametrize("fields", [0, 1, 2])
def test_pictures_take_the_room_there_is_and_no_more(slide, fields, crops):
    for _ in range(fields):
        read_field(slide, "parasitized")
    for _ in range(crops):
        read(slide, "parasitized")
    shown = pictures.drawn(summary.of_slide(slide))
    ends = []
    for room in range(0, 600, 20):
        ends.append(pdf_pictures.draw(Sheet("", "", ""), 100, room, *shown))
        assert 100 <= ends[-1] <= 100 + room
    assert ends[0] == 100
    assert ends == sorted(ends)
    assert (ends[-1] > 100) == bool(fields or crops)


def places(reader: PdfReader) -> list[tuple[float, float, str]]:
    found = []

    def visit(words, _, matrix, *rest):
        if words.strip():
            found.append((matrix[4], matrix[5], words.strip()))

    reader.pages[0].extract_text(visitor_text=visit)
    return found


def test_it_has_a_title_a_language_and_its_fonts_inside(slide):
    reader = made(slide)
    assert reader.metadata.title == "Malaria screening report, slide KSM-7"
    assert reader.metadata.author == "Kisumu Référence"
    assert reader.trailer["/Root"]["/Lang"] == "en-GB"
    fonts = reader.pages[0]["/Resources"]["/Font"].values()
    used = [font.get_object() for font in fonts if "OpenSans" in font.get_object()["/BaseFont"]]
    assert used
    assert all("/FontFile2" in font["/FontDescriptor"] for font in used)


def test_a_slide_without_images_has_its_page(slide):
    page = text(made(slide))
    assert "No images yet" in page
    assert "Nobody yet" in page
