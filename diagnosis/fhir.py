"""The report of a slide as FHIR R4: a collection that a hospital's system takes in.

Made from the summary alone. The same slide has the same ids, so that a later report takes the
place of an earlier one; `meta.versionId` is the number of the report, and one that was amended says
which counts in its place. It names no patient: the slide's code stands on its specimen.

Texts are in the language of the summary, which each resource names. Codes, their published names,
ids and what parts of an observation are called by (`id`) are the same in every language.
"""

from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid5

from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop

from ml.parasitaemia import NEGATIVE, POSITIVE

from . import summary
from .models import Conclusion, Decision, Kind, Report
from .words import percent, spoken

Resource = dict[str, Any]

LOINC, SNOMED, UCUM = "http://loinc.org", "http://snomed.info/sct", "http://unitsofmeasure.org"
TERMINOLOGY = "http://terminology.hl7.org/CodeSystem"
PRESENCE = {
    "system": LOINC,
    "code": "51587-4",
    "display": "Plasmodium sp [Presence] in Blood by Light microscopy",
}
TEXTS = {
    "presence": gettext_noop("Plasmodium sp [Presence] in Blood by Light microscopy"),
    "percent": gettext_noop("Parasitaemia in percent of red cells"),
    "density": gettext_noop("Parasites per microlitre of blood"),
    "red cells": gettext_noop("Red cells of whole fields"),
    "crops": gettext_noop("Chosen cells, each an image"),
}
COUNTS = {
    "cells": gettext_noop("cells"),
    "parasitized": gettext_noop("parasitized"),
    "uninfected": gettext_noop("uninfected"),
    "uncertain": gettext_noop("uncertain"),
    "edge": gettext_noop("edge"),
    "rejected": gettext_noop("rejected"),
    "removed": gettext_noop("removed"),
    "reviewed": gettext_noop("reviewed"),
    "to_look_at": gettext_noop("to look at"),
}
PERCENT = {"system": LOINC, "code": "53556-7"}
DETECTED = ("260373001", gettext_noop("Detected"), "POS")
NOT_DETECTED = ("260415000", gettext_noop("Not detected"), "NEG")
INCONCLUSIVE = ("419984006", gettext_noop("Inconclusive"), "IND")
"""SNOMED CT's code and word for a value, and the code of its interpretation."""
NOT_PERFORMED = {"system": f"{TERMINOLOGY}/data-absent-reason", "code": "not-performed"}
DIGITS = 4


def bundle(content: dict[str, Any], report: Report | None, successor: int = 0) -> Resource:
    """`content` is a summary: the one that was signed, or without a report how the slide stands.

    `successor` is the number of the report that counts in place of this one.
    """
    with spoken(summary.language_of(content)):
        return _bundle(_Slide(content, report, successor))


def _bundle(slide: "_Slide") -> Resource:
    results = slide.observations()
    resources = [slide.report(results), slide.specimen(), slide.laboratory(), *slide.devices()]
    return _filled(
        resourceType="Bundle",
        id=slide.id("bundle"),
        language=slide.language,
        type="collection",
        timestamp=slide.issued,
        entry=[
            {"fullUrl": f"urn:uuid:{resource['id']}", "resource": resource}
            for resource in [*resources, *results]
        ],
    )


@dataclass(frozen=True)
class _Slide:
    content: dict[str, Any]
    signed: Report | None
    successor: int = 0

    def id(self, name: str) -> str:
        return str(uuid5(UUID(self.content["slide"]), name))

    def refer(self, name: str) -> Resource:
        return {"reference": f"urn:uuid:{self.id(name)}"}

    @property
    def language(self) -> str:
        return summary.language_of(self.content)

    @property
    def status(self) -> str:
        if self.signed is None:
            return "preliminary"
        return "final" if self.signed.number == 1 else "amended"

    @property
    def issued(self) -> str:
        """Empty while nothing was read."""
        signed_at = self.signed.signed_at.isoformat() if self.signed else ""
        return signed_at or str(self.content["read_at"])

    def report(self, results: list[Resource]) -> Resource:
        return _filled(
            resourceType="DiagnosticReport",
            id=self.id("report"),
            meta=self._version(),
            language=self.language,
            identifier=[_identifier(self.content["slide"])],
            status=self.status,
            category=[_coded(f"{TERMINOLOGY}/v2-0074", "LAB")],
            code={
                "coding": [PRESENCE],
                "text": _("Malaria screening of a stained thin blood film"),
            },
            effectiveDateTime=self.content["added_at"],
            issued=self.issued,
            performer=[self.refer("laboratory")],
            resultsInterpreter=self._signer(),
            specimen=[self.refer("specimen")],
            result=[{"reference": f"urn:uuid:{result['id']}"} for result in results],
            conclusion=self._conclusion(),
        )

    def _version(self) -> Resource:
        """The order of a slide's reports, for a system that holds several."""
        if self.signed is None:
            return {}
        return {"versionId": str(self.signed.number), "lastUpdated": self.issued}

    def _signer(self) -> list[Resource]:
        return [{"type": "Practitioner", "display": self.signed.who}] if self.signed else []

    def _conclusion(self) -> str:
        """What was found, what the signer adds, and the wording, which never lacks."""
        content, signed = self.content, self.signed
        amended = _("Amended: %(reason)s")
        said = [signed.reason and amended % {"reason": signed.reason}] if signed else []
        said += [signed.comment] if signed else []
        readings = [content.get("second_reading", ""), *content.get("readings", [])]
        replaced = _("Replaced by report %(number)d.") % {"number": self.successor}
        headline = f"{content['headline']}."
        parts = [
            replaced if self.successor else "",
            headline,
            content["advice"],
            *readings,
            *said,
            content["wording"],
        ]
        return " ".join([*filter(None, parts), *content["limits"]])

    def specimen(self) -> Resource:
        stain = self.content["stain"]
        return _filled(
            resourceType="Specimen",
            id=self.id("specimen"),
            language=self.language,
            identifier=[{"value": self.content["code"]}],
            type={"text": _("Stained thin blood film")},
            processing=[{"description": _("%(stain)s stain") % {"stain": stain}}] if stain else [],
            note=_notes([self.content["note"]]),
        )

    def laboratory(self) -> Resource:
        return {
            "resourceType": "Organization",
            "id": self.id("laboratory"),
            "language": self.language,
            "name": self.content["laboratory"],
        }

    def devices(self) -> list[Resource]:
        """The versions of the model that read the slide."""
        limits = self.content["limits"]
        return [
            {
                "resourceType": "Device",
                "id": self.id(name),
                "language": self.language,
                "identifier": [{"value": model["fingerprint"]}],
                "deviceName": [{"name": model["name"], "type": "model-name"}],
                "type": {"text": _("Model that reads photographs of blood films")},
                "version": [{"value": model["fingerprint"]}],
                "note": _notes([*limits, _band(model)]),
            }
            for name, model in self._models.items()
        ]

    @property
    def _models(self) -> dict[str, Any]:
        """By a name for each, as one version may have read with several thresholds."""
        return {f"model {number}": of for number, of in enumerate(self.content["models"], 1)}

    def observations(self) -> list[Resource]:
        content = self.content
        found = [self._presence()]
        found[0]["note"] += _notes(content.get("cell_notes", []))
        if parasitaemia := content["parasitaemia"]:
            found += [self._percent(parasitaemia), self._density(parasitaemia)]
        if counts := content["counts"]:
            found.append(self._numbers("red cells", counts))
        if crops := content["crops"]:
            found.append(self._numbers("crops", crops))
        return found

    def _presence(self) -> Resource:
        value = _presence_of(self.content)
        if value is None:
            absent = {
                "coding": [NOT_PERFORMED],
                "text": _("No red cells of whole fields were counted"),
            }
            return self._observation("presence", PRESENCE, dataAbsentReason=absent)
        code, word, interpretation = value
        return self._observation(
            "presence",
            PRESENCE,
            valueCodeableConcept=_coded(SNOMED, code, word) | {"text": _(word)},
            interpretation=[_coded(f"{TERMINOLOGY}/v3-ObservationInterpretation", interpretation)],
        )

    def _percent(self, parasitaemia: Resource) -> Resource:
        estimate = parasitaemia["percent"]
        return self._observation(
            "percent",
            PERCENT,
            valueQuantity=_quantity(estimate["value"], "%"),
            component=[_interval(estimate, "%")],
        )

    def _density(self, parasitaemia: Resource) -> Resource:
        estimate = parasitaemia["per_microlitre"]
        measured = _("Red cells per microlitre, measured")
        assumed = _("Red cells per microlitre, assumed, not measured")
        basis = {
            "id": "basis",
            "code": {"text": measured if parasitaemia["is_measured"] else assumed},
            "valueQuantity": _as_given(parasitaemia["basis"], "/uL"),
        }
        return self._observation(
            "density",
            valueQuantity=_quantity(estimate["value"], "/uL"),
            component=[_interval(estimate, "/uL"), basis],
        )

    def _numbers(self, name: str, counts: dict[str, int]) -> Resource:
        component = [
            {
                "id": counted.replace("_", "-"),
                "code": {"text": _(COUNTS[counted])},
                "valueInteger": cells,
            }
            for counted, cells in counts.items()
        ]
        return self._observation(name, component=component)

    def _observation(self, name: str, code: Resource | None = None, **result: Any) -> Resource:
        """A device is named where one alone read the slide: FHIR has room for no more."""
        content = self.content
        models, text = list(self._models), TEXTS[name]
        return _filled(
            resourceType="Observation",
            id=self.id(text),
            language=self.language,
            status=self.status,
            category=[_coded(f"{TERMINOLOGY}/observation-category", "laboratory")],
            code=_filled(coding=[code] if code else [], text=_(text)),
            effectiveDateTime=content["added_at"],
            issued=self.issued,
            performer=[self.refer("laboratory")],
            **result,
            note=_notes(
                [
                    *content["lines"],
                    *content.get("fields", []),
                    content["wording"],
                    *content["limits"],
                ]
            ),
            specimen=self.refer("specimen"),
            device=self.refer(models[0]) if len(models) == 1 else None,
        )


def _presence_of(content: dict[str, Any]) -> tuple[str, str, str] | None:
    """None where nothing can be said: chosen cells without a suspicious one are not negative."""
    crops, finding = content["crops"] or {}, content["finding"]
    concluded = summary.concluded(content)
    if concluded == Conclusion.POSITIVE or _has_seen_parasite(content):
        return DETECTED
    if finding == POSITIVE and (content.get("is_confirmed") or not concluded):
        return DETECTED
    is_negative = (concluded or finding) == NEGATIVE and summary.has_cells(content)
    if is_negative and not content["is_critical"]:
        return NOT_DETECTED
    suspicious = crops.get("parasitized") or crops.get("uncertain")
    is_open = finding or concluded == Conclusion.CANNOT_TELL or suspicious
    return INCONCLUSIVE if is_open else None


def _has_seen_parasite(content: dict[str, Any]) -> bool:
    """A person, in a chosen cell; in fields this is a finding."""
    return any(
        image["decision"] == Decision.PARASITIZED and image["is_reviewed"]
        for image in content["images"]
        if image["kind"] == Kind.CELL
    )


def _filled(**fields: Any) -> Resource:
    """FHIR knows no empty values."""
    return {name: value for name, value in fields.items() if value not in (None, "", [], {})}


def _coded(system: str, code: str, display: str = "") -> Resource:
    return {"coding": [_filled(system=system, code=code, display=display)]}


def _identifier(slide: str) -> Resource:
    return {"system": "urn:ietf:rfc:3986", "value": f"urn:uuid:{slide}"}


def _notes(texts: list[str]) -> list[Resource]:
    return [{"text": text} for text in texts if text]


def _band(model: Resource) -> str:
    if model["low"] is None:
        return ""
    ends = {"low": percent(model["low"]), "high": percent(model["high"])}
    return _("Uncertain where the probability lies from %(low)s to %(high)s.") % ends


def _interval(estimate: dict[str, float], unit: str) -> Resource:
    low, high = (_quantity(estimate[end], unit) for end in ("low", "high"))
    return {
        "id": "interval",
        "code": {"text": _("95 %% interval") % {}},
        "valueRange": {"low": low, "high": high},
    }


def _quantity(value: float, unit: str) -> Resource:
    """Of what is estimated."""
    rounded = float(f"{value:.{DIGITS}g}")
    return _as_given(int(rounded) if rounded.is_integer() else rounded, unit)


def _as_given(value: float, unit: str) -> Resource:
    return {"value": value, "unit": unit, "system": UCUM, "code": unit}
