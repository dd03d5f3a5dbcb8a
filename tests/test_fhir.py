"""The report of a slide as FHIR R4."""

import json
from typing import Any

import pytest
from fhir.resources.R4B import get_fhir_model_class

from diagnosis import cells, fhir, finding, readings, reviews, roster, signing, summary, verdict
from tests.people import laboratory_of
from tests.readings import (
    another_model,
    as_first_format,
    measured_model,
    new_slide,
    read,
    read_field,
    waiting,
)


@pytest.fixture
def laboratory(db):
    return laboratory_of("ada")


@pytest.fixture
def slide(laboratory):
    measured_model()
    return new_slide(laboratory, "KSM-7", stain="giemsa", note="Third film")


def bundle_of(slide) -> dict[str, Any]:
    return checked(fhir.bundle(summary.of_slide(slide), None))


def signed(report) -> dict[str, Any]:
    return checked(fhir.bundle(report.content, report))


def checked(made: dict[str, Any]) -> dict[str, Any]:
    """Each resource is one by R4B's own definitions, and nothing refers into the void."""
    bundle = json.loads(json.dumps(made))
    get_fhir_model_class("Bundle").model_validate(bundle)
    for entry in bundle["entry"]:
        resource = entry["resource"]
        get_fhir_model_class(resource["resourceType"]).model_validate(resource)
        assert entry["fullUrl"] == f"urn:uuid:{resource['id']}"
    known = urls(bundle)
    assert len(known) == len(set(known))
    assert set(references(bundle)) <= set(known)
    return bundle


def urls(bundle: dict[str, Any]) -> list[str]:
    return [entry["fullUrl"] for entry in bundle["entry"]]


def references(value: Any) -> list[str]:
    if isinstance(value, dict):
        own = [value["reference"]] if "reference" in value else []
        return own + references(list(value.values()))
    return [one for part in value for one in references(part)] if isinstance(value, list) else []


def resources(bundle: dict[str, Any], kind: str) -> list[dict[str, Any]]:
    found = [entry["resource"] for entry in bundle["entry"]]
    return [resource for resource in found if resource["resourceType"] == kind]


def coded(bundle: dict[str, Any], code: str) -> list[dict[str, Any]]:
    """The observations with a code of LOINC."""
    return [
        observation
        for observation in resources(bundle, "Observation")
        for coding in observation["code"].get("coding", [])
        if coding["system"] == "http://loinc.org" and coding["code"] == code
    ]


SNOMED_CODES = {
    "Detected": "260373001",
    "Not detected": "260415000",
    "Inconclusive": "419984006",
}
SYSTEM_OF_INTERPRETATION = "http://terminology.hl7.org/CodeSystem/v3-ObservationInterpretation"


def presence(bundle: dict[str, Any]) -> tuple[str, str]:
    """Value and interpretation."""
    (observation,) = coded(bundle, "51587-4")
    (value,) = observation["valueCodeableConcept"]["coding"]
    assert value["system"] == "http://snomed.info/sct"
    assert value["code"] == SNOMED_CODES[value["display"]]
    (interpretation,) = observation["interpretation"][0]["coding"]
    assert interpretation["system"] == SYSTEM_OF_INTERPRETATION
    return value["display"], interpretation["code"]


def named(bundle: dict[str, Any], text: str) -> dict[str, Any]:
    found = [o for o in resources(bundle, "Observation") if o["code"]["text"] == text]
    (observation,) = found
    return observation


def numbers(observation: dict[str, Any]) -> dict[str, int]:
    return {part["code"]["text"]: part["valueInteger"] for part in observation["component"]}


def test_a_positive_slide_has_presence_parasitaemia_and_counts(slide):
    read_field(slide, *["parasitized"] * 30, *["uninfected"] * 570, "edge")
    bundle = bundle_of(slide)
    assert bundle["type"] == "collection"
    assert presence(bundle) == ("Detected", "POS")
    percent = finding.of_slide(slide).parasitaemia.percent
    (observation,) = coded(bundle, "53556-7")
    quantity = observation["valueQuantity"]
    assert (quantity["unit"], quantity["code"]) == ("%", "%")
    assert quantity["value"] == pytest.approx(percent.value, rel=1e-3)
    interval = observation["component"][0]["valueRange"]
    assert interval["low"]["value"] == pytest.approx(percent.low, rel=1e-3)
    assert interval["high"]["value"] == pytest.approx(percent.high, rel=1e-3)
    counted = numbers(named(bundle, "Red cells of whole fields"))
    assert (counted["cells"], counted["parasitized"], counted["edge"]) == (600, 30, 1)


@pytest.mark.parametrize(
    ("measured", "basis", "words"),
    [(None, 5_000_000, "assumed, not measured"), (4_567_890, 4_567_890, "measured")],
)
def test_parasites_per_microlitre_stand_with_their_basis(slide, measured, basis, words):
    slide.red_cells_per_microlitre = measured
    slide.save()
    read_field(slide, *["parasitized"] * 30, *["uninfected"] * 570)
    observation = named(bundle_of(slide), "Parasites per microlitre of blood")
    interval, part = observation["component"]
    assert part["code"]["text"] == f"Red cells per microlitre, {words}"
    assert part["valueQuantity"]["value"] == basis
    value = observation["valueQuantity"]["value"]
    assert interval["valueRange"]["low"]["value"] < value
    assert value < interval["valueRange"]["high"]["value"]


def test_the_result_of_negative_and_of_uncertain_fields(slide, laboratory):
    read_field(slide, *["uninfected"] * 600)
    assert presence(bundle_of(slide)) == ("Not detected", "NEG")
    few = new_slide(laboratory)
    read_field(few, *["uninfected"] * 100)
    assert presence(bundle_of(few)) == ("Inconclusive", "IND")


def test_a_suspicious_chosen_cell_beside_negative_fields_is_no_negative(slide):
    read_field(slide, *["uninfected"] * 600)
    read(slide, "parasitized")
    assert presence(bundle_of(slide)) == ("Inconclusive", "IND")


@pytest.mark.parametrize("decisions", [["uninfected"] * 3, ["rejected"], []])
def test_chosen_cells_without_a_suspicious_one_have_no_presence_at_all(slide, decisions):
    for decision in decisions:
        read(slide, decision)
    bundle = bundle_of(slide)
    (observation,) = coded(bundle, "51587-4")
    assert "valueCodeableConcept" not in observation
    assert "interpretation" not in observation
    assert observation["dataAbsentReason"]["coding"][0]["code"] == "not-performed"
    assert coded(bundle, "53556-7") == []


def test_chosen_cells_are_counted_without_a_parasitaemia(slide, laboratory):
    suspect = read(slide, "parasitized")
    read(slide, "uninfected")
    bundle = bundle_of(slide)
    assert presence(bundle) == ("Inconclusive", "IND")
    assert coded(bundle, "53556-7") == []
    assert "per microlitre" not in json.dumps(bundle)
    assert numbers(named(bundle, "Chosen cells, each an image"))["parasitized"] == 1
    reviews.say(suspect.image, laboratory.members.get(), "parasitized")
    assert presence(bundle_of(slide)) == ("Detected", "POS")


def test_notes_on_cells_stand_with_the_presence(slide, laboratory):
    suspect = read(slide, "parasitized")
    reviews.say(suspect.image, laboratory.members.get(), "parasitized", "A ring")
    (found,) = coded(bundle_of(slide), "51587-4")
    assert {"text": f"{suspect.image.name}: A ring"} in found["note"]


def test_before_it_is_signed_all_of_it_is_preliminary(slide):
    read_field(slide, *["parasitized"] * 30, *["uninfected"] * 570)
    waiting(slide)
    bundle = bundle_of(slide)
    (report,) = resources(bundle, "DiagnosticReport")
    assert "resultsInterpreter" not in report
    statuses = {each["status"] for each in [report, *resources(bundle, "Observation")]}
    assert statuses == {"preliminary"}


def test_once_signed_all_of_it_is_final_then_amended_under_the_same_ids(slide, laboratory):
    ada = laboratory.members.get()
    field = read_field(slide, "parasitized", *["uninfected"] * 600)
    before = bundle_of(slide)
    first = signed(signing.sign(slide, ada, "Repeat tomorrow."))
    cells.say(field.image, ada, field.cells.first().pk, "parasitized")
    second = signed(signing.amend(slide, ada, "A parasite was seen."))
    for bundle, status in ((first, "final"), (second, "amended")):
        (report,) = resources(bundle, "DiagnosticReport")
        assert report["resultsInterpreter"] == [{"type": "Practitioner", "display": "ada"}]
        statuses = {each["status"] for each in [report, *resources(bundle, "Observation")]}
        assert statuses == {status}
        assert urls(bundle) == urls(before)
    (report,) = resources(first, "DiagnosticReport")
    assert "Repeat tomorrow." in report["conclusion"]
    assert presence(first) == ("Inconclusive", "IND")
    (report,) = resources(second, "DiagnosticReport")
    assert "Amended: A parasite was seen." in report["conclusion"]
    assert presence(second) == ("Detected", "POS")


def test_the_report_leads_to_all_results_to_the_slide_and_to_the_laboratory(slide):
    read_field(slide, *["parasitized"] * 30, *["uninfected"] * 570)
    read(slide)
    bundle = bundle_of(slide)
    (report,) = resources(bundle, "DiagnosticReport")
    results = {f"urn:uuid:{one['id']}" for one in resources(bundle, "Observation")}
    assert {one["reference"] for one in report["result"]} == results
    (specimen,), (laboratory,) = resources(bundle, "Specimen"), resources(bundle, "Organization")
    assert report["specimen"] == [{"reference": f"urn:uuid:{specimen['id']}"}]
    assert report["performer"] == [{"reference": f"urn:uuid:{laboratory['id']}"}]
    assert specimen["identifier"] == [{"value": "KSM-7"}]
    assert specimen["processing"] == [{"description": "Giemsa stain"}]
    assert laboratory["name"] == "Kisumu"
    assert resources(bundle, "Patient") == []


SAID = {
    "positive": "Concluded positive by a person.",
    "negative": "Concluded negative by a person.",
    "cannot-tell": "People cannot tell, or disagree, what the whole slide is.",
}


@pytest.mark.parametrize(
    ("decisions", "concluded", "value"),
    [
        (["uninfected"] * 600, "positive", "Detected"),
        (["uninfected"] * 100, "positive", "Detected"),
        (["uninfected"] * 600, "negative", "Not detected"),
        (["uninfected"] * 100, "negative", "Not detected"),
        (["uninfected"] * 600, "cannot-tell", "Inconclusive"),
        (["parasitized"] * 30 + ["uninfected"] * 570, "positive", "Detected"),
        (["parasitized"] * 30 + ["uninfected"] * 570, "negative", "Inconclusive"),
    ],
)
def test_what_a_person_concludes_of_the_slide_is_coded(slide, decisions, concluded, value):
    """But whoever says "negative" beside cells that count as parasitized has not said enough."""
    read_field(slide, *decisions)
    readings.conclude(slide, slide.laboratory.members.get(), concluded)
    bundle = bundle_of(slide)
    assert presence(bundle)[0] == value
    (report,) = resources(bundle, "DiagnosticReport")
    assert report["conclusion"].startswith(SAID[concluded])


@pytest.mark.parametrize(
    ("concluded", "value"),
    [("positive", "Detected"), ("negative", None), ("cannot-tell", "Inconclusive")],
)
def test_of_a_slide_of_chosen_cells_too_but_never_as_negative(slide, concluded, value):
    read(slide, "uninfected")
    readings.conclude(slide, slide.laboratory.members.get(), concluded)
    bundle = bundle_of(slide)
    (observation,) = coded(bundle, "51587-4")
    found = observation.get("valueCodeableConcept", {"coding": [{"display": None}]})
    assert found["coding"][0]["display"] == value
    (report,) = resources(bundle, "DiagnosticReport")
    assert report["conclusion"].startswith(SAID[concluded])


def test_the_wording_is_in_the_conclusion_and_beside_every_value(slide):
    read_field(slide, *["parasitized"] * 30, *["uninfected"] * 570)
    bundle = bundle_of(slide)
    (report,) = resources(bundle, "DiagnosticReport")
    for words in (
        summary.of_slide(slide)["headline"],
        verdict.ALARM,
        verdict.RESEARCH_USE,
        verdict.TRAINED_ON,
    ):
        assert words in report["conclusion"]
    for observation in resources(bundle, "Observation"):
        notes = [note["text"] for note in observation["note"]]
        assert verdict.RESEARCH_USE in notes
        assert verdict.TRAINED_ON in notes


def test_the_version_that_read_it_is_the_device_of_each_result(slide):
    version = measured_model()
    read_field(slide, *["uninfected"] * 600)
    bundle = bundle_of(slide)
    (device,) = resources(bundle, "Device")
    assert device["deviceName"] == [{"name": version.name, "type": "model-name"}]
    assert device["version"] == [{"value": version.fingerprint}]
    band = "Uncertain where the probability lies from 20.0 % to 80.0 %."
    assert {"text": band} in device["note"]
    for observation in resources(bundle, "Observation"):
        assert observation["device"] == {"reference": f"urn:uuid:{device['id']}"}


def test_of_several_versions_each_is_a_device_and_none_has_read_all(slide):
    read(slide)
    read(slide, model=another_model())
    bundle = bundle_of(slide)
    assert len(resources(bundle, "Device")) == 2
    assert not any("device" in each for each in resources(bundle, "Observation"))


def test_the_same_slide_keeps_its_ids(slide, laboratory):
    field = read_field(slide, *["parasitized"] * 30, *["uninfected"] * 570)
    before = bundle_of(slide)
    assert bundle_of(slide) == before
    cells.say(field.image, laboratory.members.get(), field.cells.first().pk, "parasitized")
    after = bundle_of(slide)
    assert after != before
    assert urls(after) == urls(before)
    assert set(urls(bundle_of(new_slide(laboratory)))).isdisjoint(urls(before))


def texts(value: Any) -> list[str]:
    """All that people read of it, except the published names of codes."""
    if isinstance(value, dict):
        named = ("text", "conclusion", "description", "title")
        own = [value[name] for name in named if isinstance(value.get(name), str)]
        return own + [text for part in value.values() for text in texts(part)]
    return [text for part in value for text in texts(part)] if isinstance(value, list) else []


def part_names(bundle: dict[str, Any]) -> list[list[str | None]]:
    observations = resources(bundle, "Observation")
    return [[part.get("id") for part in one.get("component", [])] for one in observations]


@pytest.mark.parametrize("language", ["fr", "pt"])
def test_its_texts_are_in_the_language_of_the_report_and_its_codes_as_ever(
    slide, laboratory, language
):
    ada = laboratory.members.get()
    read_field(slide, *["parasitized"] * 30, *["uninfected"] * 570)
    read(slide, "parasitized")
    readings.conclude(slide, ada, "positive")
    english = bundle_of(slide)
    roster.set_report_language(laboratory, language)
    other = bundle_of(slide)
    assert urls(other) == urls(english)
    assert codings(other) == codings(english)
    for bundle, expected in ((english, "en"), (other, language)):
        named = [bundle, *(entry["resource"] for entry in bundle["entry"])]
        assert {resource["language"] for resource in named} == {expected}
    same = set(texts(english)) & set(texts(other))
    assert same == {slide.note}
    assert part_names(other) == part_names(english)
    assert not any(None in names for names in part_names(other))


def test_what_was_signed_stays_in_its_language(slide, laboratory):
    read_field(slide, *["uninfected"] * 600)
    report = signing.sign(slide, laboratory.members.get())
    before = signed(report)
    roster.set_report_language(laboratory, "fr")
    assert signed(report) == before


@pytest.mark.parametrize("concluded", ["positive", "negative", "cannot-tell"])
@pytest.mark.parametrize("language", ["en", "fr", "pt"])
def test_its_value_is_decided_by_codes_and_for_old_reports_by_english_words(
    slide, laboratory, language, concluded
):
    read_field(slide, *["uninfected"] * 100)
    readings.conclude(slide, laboratory.members.get(), concluded)
    content = summary.of_slide(slide, language)
    expected = {"positive": "POS", "negative": "NEG", "cannot-tell": "IND"}[concluded]
    assert presence(checked(fhir.bundle(content, None)))[1] == expected
    if language == "en":
        assert presence(checked(fhir.bundle(as_first_format(content), None)))[1] == expected


def codings(value: Any) -> set[tuple[str, str, str]]:
    if isinstance(value, dict):
        own = {
            (value["system"], value[part], value.get("display", ""))
            for part in ("code", "value")
            if "system" in value and isinstance(value.get(part), str)
        }
        return own.union(*map(codings, value.values()))
    return set().union(*map(codings, value)) if isinstance(value, list) else set()


HL7 = "http://terminology.hl7.org/CodeSystem"
ALWAYS = {
    (
        "http://loinc.org",
        "51587-4",
        "Plasmodium sp [Presence] in Blood by Light microscopy",
    ),
    (f"{HL7}/v2-0074", "LAB", ""),
    (f"{HL7}/observation-category", "laboratory", ""),
}
MEASURED = {
    ("http://loinc.org", "53556-7", ""),
    ("http://unitsofmeasure.org", "%", ""),
    ("http://unitsofmeasure.org", "/uL", ""),
}


def interpreted(code: str, display: str, letters: str) -> set[tuple[str, str, str]]:
    return {
        ("http://snomed.info/sct", code, display),
        (f"{HL7}/v3-ObservationInterpretation", letters, ""),
    }


@pytest.mark.parametrize(
    ("decisions", "expected"),
    [
        (
            ["parasitized"] * 30 + ["uninfected"] * 570,
            MEASURED | interpreted("260373001", "Detected", "POS"),
        ),
        (["uninfected"] * 600, MEASURED | interpreted("260415000", "Not detected", "NEG")),
        (["uninfected"] * 100, MEASURED | interpreted("419984006", "Inconclusive", "IND")),
        ([], {(f"{HL7}/data-absent-reason", "not-performed", "")}),
    ],
)
def test_each_code_system_and_display_is_the_published_one(slide, decisions, expected):
    read_field(slide, *decisions) if decisions else read(slide, "uninfected")
    own = ("urn:ietf:rfc:3986", f"urn:uuid:{slide.pk}", "")
    assert codings(bundle_of(slide)) == ALWAYS | {own} | expected
