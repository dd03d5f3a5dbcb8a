"""The model card: what a model is, how it was made and measured, and what it must not do."""

from pathlib import Path
from typing import Any

from ml.artifact import CARD, Manifest, read_metrics, some

FIGURES = {
    "accuracy": "Accuracy",
    "auc": "AUC",
    "sensitivity": "Sensitivity",
    "specificity": "Specificity",
    "f1": "F1",
    "mcc": "MCC",
    "ece": "Calibration error (ECE, 15 bins)",
    "brier": "Brier score",
    "coverage": "Share with a confident decision",
    "accuracy_when_confident": "Accuracy where confident",
    "rejected": "Share rejected as no red cell (counted as errors)",
}


def write(folder: Path, manifest: Manifest) -> None:
    """Write `card.md` from the manifest and the metrics already in the folder."""
    metrics = read_metrics(folder)
    parts = [
        f"# {manifest.name}",
        _about(manifest),
        "## Use\n\n" + _USE,
        "## Data\n\n" + _data(manifest.data) + _earlier(manifest),
        "## Training\n\n" + _training(manifest.training, metrics),
        "## Figures\n\n" + _figures(metrics),
        "## Limits\n\n" + _LIMITS,
    ]
    (folder / CARD).write_text("\n\n".join(parts) + "\n")


_USE = (
    "Research use only. Decision support, not a diagnosis: confirm by microscopy. It reads crops "
    "of single red cells from Giemsa-stained thin blood films and gives the probability that a "
    "cell holds a parasite. It must not be used to report a parasitaemia from hand-picked cells, "
    "to rule malaria out, to tell species or stages, or on thick films."
)

_LIMITS = """\
- Trained on P. falciparum from one laboratory (where the data are the NIH cells): other species,
  stains and cameras give worse figures than those above.
- NIH cells have a background painted black. Part of the backgrounds is painted in light colours
  in training so that ordinary crops work too; no figure above was measured on such crops.
- Gametocytes are not told apart from other parasites.
- What is no red cell is rejected by what it looks like, not by knowing what it is: some of it
  passes.
- The cells of whole fields are found by another network, whose misses come on top of these figures
  (`evaluate_fields` measures both together).
- The activation map is coarse (a thirty-second of the input's side): it shows in which quarter of
  a cell the evidence lies, not the outline of a parasite."""


def _about(manifest: Manifest) -> str:
    return (
        f"{manifest.architecture}, {manifest.image_size} x {manifest.image_size} pixels, int8. "
        f"Made {manifest.created}. Temperature {manifest.temperature:.3f}; uncertain from "
        f"{manifest.thresholds.low:.3f} up to {manifest.thresholds.high:.3f}."
    )


def _data(data: dict[str, Any]) -> str:
    rows = ["| part | slides | parasitized | uninfected |", "|---|---|---|---|"]
    for part in ("training", "validation", "test"):
        if counts := data.get(part):
            rows.append(
                f"| {part} | {counts['slides'] or 'unknown'} | {counts['parasitized']:,} "
                f"| {counts['uninfected']:,} |"
            )
    fingerprint = f"Training data fingerprint: `{data['fingerprint']}`."
    for name, counts in data.get("others", {}).items():
        rows.append(
            f"| training: {name} | unknown | {counts['parasitized']:,} | {counts['uninfected']:,} |"
        )
    return "\n".join(rows) + "\n\n" + _SPLIT[data["split_by"]] + _reviewed(data) + fingerprint


def _reviewed(data: dict[str, Any]) -> str:
    counts = data.get("reviewed") or {"images": 0}
    if not counts["images"]:
        return ""
    return (
        f"Of the training images {counts['images']:,} on {counts['slides']:,} slides were labelled "
        "by people who reviewed what an earlier model said. "
    )


def _earlier(manifest: Manifest) -> str:
    known = manifest.slides("earlier") & manifest.slides("validation", "test")
    if not known:
        return ""
    return (
        f"\n\nThe first weights came from a model that was trained on {len(known):,} of the "
        f"validation or test slides ({some(known)}): the figures flatter."
    )


_SPLIT = {
    "slide": "No slide is in two parts. ",
    "image": "The slides of the images were not known: one patient may be in several parts, and "
    "the figures may flatter. ",
}


def _training(config: dict[str, Any], metrics: dict[str, Any]) -> str:
    shown = ("weights", "epochs", "batch_size", "image_size", "seed")
    settings = ", ".join(f"{name.replace('_', ' ')} {config[name]}" for name in shown)
    best = metrics.get("best_epoch")
    kept = f"Epoch {best} was kept, the best by validation accuracy, of those in `history.csv`. "
    return (
        f"{settings}. {kept if best else ''}The temperature and "
        "the uncertain band were fitted on the validation slides with the int8 model. "
        "All settings are in `manifest.json`."
    )


def _figures(metrics: dict[str, Any]) -> str:
    parts = [(part, metrics[part]) for part in ("test", "validation") if metrics.get(part)]
    heads = " | ".join(f"{part} ({_size(result)})" for part, result in parts)
    rows = [f"| figure | {heads} |", "|---" * (len(parts) + 1) + "|"]
    for name, words in FIGURES.items():
        cells = " | ".join(_with_interval(result, name) for _, result in parts)
        rows.append(f"| {words} | {cells} |")
    return "\n".join(rows) + "\n\n" + _FIGURES_NOTE + _parity(metrics.get("int8"))


_FIGURES_NOTE = (
    "In brackets: 95 % intervals from 2,000 bootstrap draws of slides (of images where no slides "
    "are known). The validation slides chose the epoch, temperature and band, so their column "
    "flatters; the test slides chose nothing."
)


def _size(result: dict[str, Any]) -> str:
    slides = f", {result['slides']} slides" if result["slides"] else ""
    return f"{result['n']:,} cells{slides}"


def _with_interval(result: dict[str, Any], name: str) -> str:
    value, interval = result.get(name), result["intervals"].get(name)
    if value is None:
        return "not defined"
    return f"{value:.4f}" + (f" [{interval[0]:.4f}, {interval[1]:.4f}]" if interval else "")


def _parity(int8: dict[str, Any] | None) -> str:
    if not int8:
        return ""
    return (
        f"\n\nint8 against torch on {int8['cells']:,} validation cells: labels agree on "
        f"{int8['label_agreement']:.2%}, AUC differs by {int8['auc_difference']:.5f}."
    )
