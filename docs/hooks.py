"""mkdocs hooks: tables that are made from the code, so that they cannot drift from it.

| marker | becomes |
|---|---|
| `<!-- root NAME -->` | NAME.md of the repository's root |
| `<!-- commands -->`, `<!-- command_options -->` | the list of commands; each with every argument and option |
| `<!-- exit_codes -->`, `<!-- environment -->` | each exit code with its errors; variables that are read |
| `<!-- config -->`, `<!-- config gain -->`, ... | every key of a config, by kind |
| `<!-- method NAME -->`, `<!-- presets -->`, `<!-- model -->` | settings of a method, of its presets, of a model |
| `<!-- validation -->` | the thresholds |
| `<!-- path -->` | the steps of a translation, in order, with the functions that do them |
| `<!-- columns NAME -->` | every column of the manifest, of a struct in it, or of the decisions |
| `<!-- words NAME -->` | every value of a column of words, such as the causes of a verdict |
| `<!-- record NAME -->` | every key of run.json or progress.json |
| `<!-- gallery DOMAIN -->` | the figures below a picture of the gallery |
| `<!-- measured NAME -->` | the figures of docs/measured/NAME.json |
| `<!-- scale NAME -->` | a table of what large runs need, computed from docs/measured/scale.json |
| `<!-- ablation QUESTION -->` | that question's cells of docs/measured/ablations.json |
"""

from __future__ import annotations

import json
import re
import statistics
import sys
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).resolve().parents[1]), str(Path(__file__).parent)]  # benchmarks/, image_path.py

import reference_tables as reference  # noqa: E402
from image_path import Box, image_path  # noqa: E402
from reference_tables import table  # noqa: E402

from benchmarks import SUITES  # noqa: E402 - here: mkdocs puts its own path back
from benchmarks.ablation import as_table, by_question, from_json  # noqa: E402
from benchmarks.comparison import OURS, Row, summarise  # noqa: E402
from benchmarks.provenance import is_stale  # noqa: E402
from benchmarks.same_street import as_markdown, read_board  # noqa: E402
from benchmarks.scale import driver_rows, network_rows, runs_of  # noqa: E402

MARKER = re.compile(r"<!-- (\w+)(?: ([\w .-]+?))? -->")
MEASURED = Path(__file__).parent / "measured"
SCALE = {"runs": runs_of, "driver": driver_rows, "network": network_rows}
GALLERY_FIGURES = ("distance", "strength", "structure")
WORDS = {True: "holds", False: "**falls short**", None: "undecided"}
KITS = {"real": "photos", "judged": "renders", "fake": "stand-ins"}
LIMITS = (
    "**The checks miss faults.** Of objects of 16 px and more (smaller ones are [hardly judged]"
    "(docs/reference/run_folder.md#verdicts)), they find {recall_erased} of those that were erased and {recall_shift8} "
    "of those that moved by 8 pixels. An erased object is usually left out of training while its picture stays. They "
    "find {recall_identity} of images that were left unchanged. They find {recall_invented_lamps} of lamps "
    "that are painted into a finished picture, but only {recall_pasted_light_shown} of those that the model itself "
    "paints and that can be seen afterwards, hardly any of them by night. "
    "Invented vehicles, people, signals and signs are looked for only if you switch a detector on; the shipped one "
    "finds {recall_invented_objects}.",
    "**The checks doubt true labels.** On true pictures, where every label is right, they reject the image or do not "
    "keep the label in {fpr} of cases; at night they do not keep {not_keep_on_true_night} of the visible objects.",
    "**Real photos are harder than rendered streets.** `street-photo` brings real day photos {strength_dusk_photos} of "
    "the way to dusk; `street-mini` was trained on rendered streets and is for demos. Stable Diffusion has not been "
    "measured on real photos.",
    "**A simple augmentation may do as well.** On real dusk photos, training with variants raises mIoU by "
    "{gain_miou_dusk} over day photos alone, but by only {gain_over_best_control} over the best simple augmentation.",
    "**Lights are imperfect.** At night {light_recall_night} of the true lights shine, and {light_precision_night} of "
    "the lights that shine are true. With labels, {signal_state_kept} of the traffic lights still show their state; "
    "without labels, as in `translate`, 22 %.",
    "**Scale.** No run used more than one machine. One GPU was busy {gpu_busy} of the time. In a test with "
    "{node_faults} on two Ray nodes, the result differed in {node_faults_difference}.",
)
"""README's limits; each name in braces is a figure."""
PATH = (
    (
        "diffusion.model:working_size",
        "the size at which diffusion runs: the whole field of view at the model's own area",
    ),
    ("translation.label_maps:label_maps", "labels become weights for both losses and for the detail step"),
    ("translation.s2st:s2st", "the whole method for one batch: the six steps below"),
    ("diffusion.ddim:invert", "DDIM backwards with the source's prompt: photo to seed, once for all domains"),
    ("translation.s2st:translate_seed", "ST: Adam on the seed against structure and appearance"),
    ("translation.s2st:sample", "guided DDIM under the target's prompt, with TO at each step"),
    ("translation.s2st:optimise_clean_latent", "TO on the latents: Adam on the predicted clean latent; no network"),
    ("translation.s2st:optimise_empty_prompt", "TO by null-text: Adam on the unconditional embedding"),
    ("translation.s2st:source_offsets", "TO by direct inversion: what each step misses the source's own path by"),
    (
        "translation.detail:restore_detail",
        "back at the photo's exact size, its fine structure where the variant follows it",
    ),
    ("translation.signals:hold_signals", "lit lamps keep state and colour, signs their hue, where labels say so"),
)
NAMES = {
    "S2ST": "**S2ST, as it ships**",
    "histogram": "histogram matching to the references",
    "Reinhard": "Reinhard's colour transfer",
    "gamma": "gamma and desaturation",
    "albumentations": "albumentations' weather",
    "identity": "nothing done",
    "true render": "the true render",
}


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Replace every marker of a page."""
    return MARKER.sub(lambda m: TABLES[m[1]](m[2]) if m[1] in TABLES else m[0], markdown)


def path(_: str | None) -> str:
    """The steps of a translation in order; raises ImportError or AttributeError where a function is not in the code."""
    boxes = (Box(place, what) for place, what in PATH)
    return table(("function", "file", "what it does"), ((f"`{b.name}`", f"`{b.file}`", b.words) for b in boxes))


def root(name: str | None) -> str:
    """A file of the repository's root as a page: its links start from docs/, and its picture is part of the page."""
    text = (Path(__file__).parents[1] / f"{name}.md").read_text(encoding="utf-8").replace("](docs/", "](")
    text = re.sub(r"\]\((ARCHITECTURE|CONTRIBUTING|CHANGELOG)\.md", lambda m: f"]({m[1].lower()}.md", text)
    drawn = f"<div>{image_path()}</div>".replace("\n", "") if "images/image_path.svg" in text else ""
    return re.sub(r"^!\[[^]]*\]\(images/image_path\.svg\)$", lambda _: drawn, text, flags=re.M)


def measured(name: str | None) -> str:
    """A suite's figures as they were written by pipelines/benchmark.py."""
    figures = stored(name or "")
    if not figures:
        return f"Not measured yet: `python pipelines/benchmark.py --suite {name} --json docs/measured/{name}.json`."
    rows = ((f"`{f['name']}`", value(f), goal(f), verdict(f), f"{f['n']}", kit(f), when(f), f["why"]) for f in figures)
    shown = table(("figure", "value", "goal", "", "n", "measured on", "when", "how"), rows)
    kept = dict.fromkeys(why for figure in figures for why in figure.get("kept", []))
    told = "".join(f"\n\nKept over a change that cannot move it: {why}." for why in kept)
    return f"{about(name)}\n\n{shown}{told}"


def stored(suite: str) -> list[dict[str, Any]]:
    """A suite's stored figures; none where it was never measured."""
    path = MEASURED / f"{suite}.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else []


def verdict(figure: dict[str, Any]) -> str:
    """Whether a figure reaches its goal, and whether it is older than a change of what it measures."""
    if figure["goal"] is None:
        return "*stale*" if is_stale(figure) else ""
    return WORDS[figure["holds"]] + (", *stale*" if is_stale(figure) else "")


def when(figure: dict[str, Any]) -> str:
    """The day and the commit of a measurement."""
    return " ".join(figure.get(key) or "unknown" for key in ("date", "commit"))


def scale(name: str | None) -> str:
    """One table of what large runs move, ask for and cost, computed from docs/measured/scale.json."""
    if name == "simulated":
        figures = {f["name"]: f for f in json.loads((MEASURED / "cluster.json").read_text(encoding="utf-8"))}
        found = [figures[n] for n in ("scaling_64", "driver_ms_per_batch") if n in figures]
        rows = ((f"`{f['name']}`", value(f), goal(f), WORDS[f["holds"]], f["why"]) for f in found)
        return table(("figure", "value", "goal", "", "how"), rows) if found else "Not measured yet."
    head, *rows_ = SCALE[name or "runs"](json.loads((MEASURED / "scale.json").read_text(encoding="utf-8")))
    return table(head, rows_)


def gallery(domain: str | None) -> str:
    """What was measured of a domain's pictures in the gallery, as docs/figures.py keeps it."""
    rows = json.loads((MEASURED / "gallery.json").read_text(encoding="utf-8"))[domain or ""]
    head = ("street", "by", "distance to the truth", "strength", "structure", "labels kept, ignored, lost", "verdict")
    each = (
        (r["street"], r["method"], *(f"{r[n]:.2f}" if r[n] is not None else "" for n in GALLERY_FIGURES),
         ", ".join(str(n) for n in r["labels"].values()), r["status"])
        for r in rows
    )  # fmt: skip
    means = (
        ("mean", by, *(f"{statistics.fmean(v):.2f}" if (v := known(rows, by, n)) else "" for n in GALLERY_FIGURES),
         "", f"{sum(r['status'] == 'accepted' for r in rows if r['method'] == by)} accepted")
        for by in dict.fromkeys(r["method"] for r in rows)
    )  # fmt: skip
    return table(head, [*each, *means])


def known(rows: list[dict[str, Any]], method: str, name: str) -> list[float]:
    """A method's values of one figure, where there are any."""
    return [r[name] for r in rows if r["method"] == method and r[name] is not None]


def ablation(question: str | None) -> str:
    """One question's table, from the cells that pipelines/ablate.py keeps."""
    path = MEASURED / "ablations.json"
    cells = by_question(from_json(path.read_text(encoding="utf-8"))).get(question or "", []) if path.is_file() else []
    return as_table(cells) if cells else f"Not measured yet: `python pipelines/ablate.py --question '{question}'`."


def about(name: str | None) -> str:
    """When and where a suite was measured, as docs/measured/machine.json says."""
    path = MEASURED / "machine.json"
    known = json.loads(path.read_text(encoding="utf-8")).get(name, {}) if path.is_file() else {}
    return (
        f"Measured {known['date']}, {known['machine']}{', quick' if known['quick'] else ''}."
        if known
        else "Date and machine are not recorded."
    )


def readme_table() -> str:
    """Every suite with how many of its figures hold, and every figure that has a goal below it; none is chosen."""
    suites = {suite: [f for f in stored(suite) if f["goal"] is not None] for suite in SUITES}
    known = {suite: figures for suite, figures in suites.items() if figures}
    if not known:
        return "No figures are stored yet: `make measured`."
    rows = (
        (
            suite,
            ", ".join(sorted({kit(f) for f in figures})),
            *(sum(f["holds"] is held for f in figures) for held in (True, False, None)),
            sum(is_stale(f) for f in figures),
            " to ".join(sorted({min(days := [f.get("date") or "unknown" for f in figures]), max(days)})),
        )
        for suite, figures in known.items()
    )
    summary = table(("suite", "measured on", "hold", "fall short", "undecided", "stale", "date"), rows)
    each = (
        (f"`{f['name']}`", value(as_read(f)), goal_in_words(as_read(f)), verdict(f), f["n"], kit(f),
         explained(f["name"])[1])
        for figures in known.values()
        for f in figures
    )  # fmt: skip
    every = table(("figure", "value", "goal", "", "n", "measured on", "what it is"), each)
    return f"{summary}\n\n<details>\n<summary>Every figure</summary>\n\n{every}\n\n</details>"


def kit(figure: dict[str, Any]) -> str:
    """What a figure was measured on, in a word."""
    return KITS.get(figure.get("kit", ""), "unknown")


def limits() -> str:
    """README's list of limits, each with its stored figures; a limit whose figures are not stored is left out."""
    known = known_values()
    told = [limit for limit in LIMITS if set(re.findall(r"{(\w+)}", limit)) <= set(known)]
    return "\n".join(f"- {limit.format(**known)}" for limit in told)


def known_values() -> dict[str, str]:
    """Every stored figure as README shows it."""
    return {f["name"]: value(as_read(f)) for suite in SUITES for f in stored(suite)}


def alternatives() -> str:
    """S2ST as it ships beside each peer at its best knob, from the rows that pipelines/compare.py keeps."""
    from s2st_aug.translation.settings import PRESETS

    path = MEASURED / "comparison.json"
    if not path.is_file():
        return "No comparison is stored yet: `python pipelines/compare.py`."
    found = summarise([Row(**row) for row in json.loads(path.read_text(encoding="utf-8"))["rows"]])
    ours = next(s for s in found if (s.method, s.knob) == (OURS, PRESETS["standard"].to_structure))
    peers = sorted((s for s in found if s.best and s.method != OURS), key=lambda s: s.distance)
    head = (
        "",
        "distance to the true render",
        "structure",
        "strength",
        "labels kept",
        "images passed",
        "evaluations",
        "time",
        "variants",
    )
    rows = (
        (NAMES.get(s.method, s.method), *(f"{v:.2f}" for v in (s.distance, s.structure, s.strength, s.kept, s.passed)),
         f"{s.evaluations:.0f}", f"{s.seconds / ours.seconds:.2f}", s.n)
        for s in (ours, *peers)
    )  # fmt: skip
    return table(head, rows)


def write_readme() -> None:
    """Bring README's tables up to date."""
    path = Path(__file__).parents[1] / "README.md"
    text = path.read_text(encoding="utf-8")
    for name, made in (("limits", limits()), ("measured", readme_table()), ("alternatives", alternatives())):
        head, _, rest = text.partition(f"<!-- {name} -->\n")
        text = f"{head}<!-- {name} -->\n{made}\n<!-- /{name} -->{rest.partition(f'<!-- /{name} -->')[2]}"
    path.write_text(text, encoding="utf-8")


def write_cards() -> None:
    """Bring what the embedded models cannot do up to date on their cards."""
    for path, text in cards().items():
        path.write_text(text, encoding="utf-8")


def cards() -> dict[Path, str]:
    """Each embedded model's card with today's figures."""
    from s2st_aug.training.card import CANNOT, with_limits

    folders = {name: Path(__file__).parents[1] / "s2st_aug/weights" / name / "README.md" for name in CANNOT}
    return {path: with_limits(path.read_text(encoding="utf-8"), name, known_values()) for name, path in folders.items()}


def value(figure: dict[str, Any]) -> str:
    """A figure's value with its unit and interval."""
    if figure["value"] is None:
        return "n/a"
    between = " ({:.3g} to {:.3g})".format(*figure["interval"]) if figure["interval"] else ""
    unit = "" if figure["unit"] == "1" else f" {figure['unit']}"
    number = f"{figure['value']:,.0f}" if abs(figure["value"]) >= 1000 else f"{figure['value']:.3g}"
    return f"{number}{unit}{between}"


def as_read(figure: dict[str, Any]) -> dict[str, Any]:
    """A figure as README shows it: shares in percent, their differences in points, ratios without a unit.

    What a suite reports beside a figure (`recall_pasted_light_shown`) has that figure's unit.
    """
    known = {name: unit for names in SUITES.values() for name, (_, unit) in names.items()}
    units = {figure["unit"], *(unit for name, unit in known.items() if f"{figure['name']}_".startswith(f"{name}_"))}
    if not any(unit.startswith("share") for unit in units):
        return {**figure, "unit": "1" if figure["unit"] in ("ratio", "strength") else figure["unit"], "times": 1}
    low, high = figure["interval"] or (None, None)
    return {
        **figure,
        "unit": "percentage points" if figure["name"].endswith("_at_equal_strength") else "%",
        "value": None if figure["value"] is None else 100 * figure["value"],
        "interval": None if low is None else [100 * low, 100 * high],
        "times": 100,
    }


def goal_in_words(figure: dict[str, Any]) -> str:
    """The goal in the words of docs/reference/figures.md and the unit that README shows; `above` where it has none."""
    said = explained(figure["name"])[0].partition(" (")[0] or f"above {figure['goal']:g}"
    return re.sub(r"[\d.]+", lambda m: f"{figure['times'] * float(m[0]):g}", said)


def explained(name: str) -> tuple[str, str]:
    """Goal and meaning of a figure by docs/reference/figures.md; one of a further format has those of its kind."""
    page = (Path(__file__).parent / "reference/figures.md").read_text(encoding="utf-8")
    while name:
        found = re.search(rf"^\| `{name}` \| (.*?) \| (.*?) \|$", page, re.M)
        if found:
            return found[1], re.sub(r"\[(.*?)\]\(.*?\)", r"\1", found[2])
        name = name.rpartition("_")[0]
    return "", ""


def goal(figure: dict[str, Any]) -> str:
    """A figure's goal: one number, two that it must lie between, or none."""
    bounds = figure["goal"] if isinstance(figure["goal"], list) else [figure["goal"]]
    return " to ".join("none" if bound is None else f"{bound:g}" for bound in bounds)


def same_street(_: str | None) -> str:
    """The leaderboard, from the entries that pipelines/leaderboard.py keeps."""
    board = read_board(MEASURED / "same_street.json")
    return as_markdown(board) if board else "No entry is stored yet: `python pipelines/leaderboard.py`."


OF_THE_CODE = (
    reference.commands, reference.command_options, reference.exit_codes, reference.environment, reference.config,
    reference.method, reference.presets, reference.model, reference.validation, reference.columns, reference.words,
    reference.record,
)  # fmt: skip
MAKERS = (root, path, gallery, measured, scale, ablation, same_street, *OF_THE_CODE)
TABLES = {maker.__name__: maker for maker in MAKERS}

if __name__ == "__main__":
    write_readme()
    write_cards()
