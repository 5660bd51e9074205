"""mkdocs hooks: tables that are made from the code, so that they cannot drift from it.

| marker | becomes |
|---|---|
| `<!-- root NAME -->` | NAME.md of the repository's root |
| `<!-- commands -->` | the list of commands |
| `<!-- exit_codes -->` | each exit code with the errors that end in it |
| `<!-- config -->`, `<!-- config gain -->`, `<!-- config training -->` | every key of a config |
| `<!-- method NAME -->` | every setting of a method of the registry |
| `<!-- validation -->` | the thresholds |
| `<!-- path -->` | the steps of a translation, in order, with the functions that do them |
| `<!-- columns NAME -->` | every column of the manifest, of a struct in it, or of the decisions |
| `<!-- words NAME -->` | every value of a column of words, such as the causes of a verdict |
| `<!-- run_json -->` | every key of run.json |
| `<!-- measured NAME -->` | the figures of docs/measured/NAME.json |
| `<!-- scale NAME -->` | a table of what large runs need, computed from docs/measured/scale.json |
| `<!-- ablation QUESTION -->` | that question's cells of docs/measured/ablations.json |
"""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import pyarrow as pa
from pydantic import AliasChoices, BaseModel
from pydantic_core import PydanticUndefined

sys.path[:0] = [str(Path(__file__).resolve().parents[1]), str(Path(__file__).parent)]  # benchmarks/, image_path.py

from image_path import Box, image_path  # noqa: E402

from benchmarks import SUITES  # noqa: E402 - here: mkdocs puts its own path back
from benchmarks.ablation import as_table, by_question, from_json  # noqa: E402
from benchmarks.comparison import OURS, Row, summarise  # noqa: E402
from benchmarks.provenance import is_stale  # noqa: E402
from benchmarks.same_street import as_markdown, read_board  # noqa: E402
from benchmarks.scale import driver_rows, network_rows, runs_of  # noqa: E402

MARKER = re.compile(r"<!-- (\w+)(?: ([\w .-]+?))? -->")
MEASURED = Path(__file__).parent / "measured"
SCALE = {"runs": runs_of, "driver": driver_rows, "network": network_rows}
WORDS = {True: "holds", False: "**falls short**", None: "undecided"}
CONFIGS = {
    None: ("s2st_aug.config", "AugmentConfig"),
    "gain": ("s2st_aug.gain.config", "GainConfig"),
    "training": ("s2st_aug.training.recipe", "TrainingConfig"),
}
COLUMNS = {
    "manifest": ("s2st_aug.records.manifest", "ManifestRow"),
    "objects": ("s2st_aug.records.verdicts", "ObjectVerdict"),
    "hallucinations": ("s2st_aug.records.verdicts", "Hallucination"),
    "decisions": ("s2st_aug.storage.decisions", "Decision"),
}
EXIT_CODES = {
    "EXIT_OK": "success; rejected variants are no failure",
    "EXIT_SOME_FAILED": "the run ended and some samples failed (they are listed)",
    "EXIT_USAGE": "wrong usage, config, model or dataset, or an input path that does not exist: nothing was started",
    "EXIT_CHECK": "a check did not hold (`verify`, `doctor`); of an unfinished run, `verify` says how much is there",
    "EXIT_STOPPED": "stopped early (Ctrl-C, a signal, a drained cluster, a full disk): the same command resumes",
}
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
RUN_JSON = {
    "schema_version": "of the run folder and its manifest; `migrate` brings an older one up",
    "package_version": "of the s2st-aug that planned the run",
    "code_version": "of the s2st-aug that wrote it last",
    "created_at": "when the run was planned, UTC",
    "config": "the config as it was resolved, presets and defaults filled in",
    "dataset_root": "absolute path of the dataset, which the rows' source files are relative to; empty where unknown",
    "domains": "each domain, and the SHA-256 of its profile",
    "model": "the model as the config names it",
    "model_sha256": "over the hashes of all weight files",
    "model_files": "each weight file, and its SHA-256",
    "model_commit": "the commit that a hub id stood for; empty for an embedded model or a folder",
    "method": "the translator's name, as the config spells it; `unknown` where a run of schema 1 cannot tell",
    "method_version": "the translator's own version",
    "method_settings": "its settings that decide pixels, with hashes of the files that they name",
    "method_sha256": "over name, version and settings",
    "algorithm_version": "counts up when the same settings would give other pixels",
    "label_aware": "whether the labels take part in the translation",
    "rng_key": "the run's random integer (`--seed`)",
    "plan_sha256": "the plan hash, see [promises](promises.md#plan)",
    "same_plans": "plan hashes of configs that `--extend` accepted as the same plan, grown",
    "validation_sha256": "over all that decides a verdict: thresholds, constants, the small networks",
    "plan_files": "files of `.state/plan` that count; 0: planning has not ended",
    "planned_scenes": "scenes in the plan",
    "batch_size": "scenes in a batch; keeps the run's first value",
    "generation": "the manifest's current generation; earlier ones lie in `manifest/.old/<n>`",
}
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


def commands(_: str | None) -> str:
    """The command line, from the table that registers it."""
    from s2st_aug.cli import COMMANDS

    return table(("command", "what"), ((f"`s2st-aug {name}`", line) for name, (_, line) in COMMANDS.items()))


def exit_codes(_: str | None) -> str:
    """What each exit code means, and the errors that end in it."""
    from s2st_aug import errors

    found = [e for e in vars(errors).values() if isinstance(e, type) and issubclass(e, errors.S2STError)]
    known = {name: code for name, code in vars(errors).items() if name.startswith("EXIT_") and isinstance(code, int)}
    rows = (
        (code, words_of(name, EXIT_CODES), ", ".join(f"`{e.__name__}`" for e in found if e.exit_code == code) or "none")
        for name, code in sorted(known.items(), key=lambda pair: pair[1])
    )
    return table(("code", "means", "errors"), rows)


def path(_: str | None) -> str:
    """The steps of a translation in order; raises ImportError or AttributeError where a function is not in the code."""
    boxes = (Box(place, what) for place, what in PATH)
    return table(("function", "file", "what it does"), ((f"`{b.name}`", f"`{b.file}`", b.words) for b in boxes))


def root(name: str | None) -> str:
    """A file of the repository's root as a page: its links start from docs/, and its picture is part of the page."""
    text = (Path(__file__).parents[1] / f"{name}.md").read_text().replace("](docs/", "](")
    text = re.sub(r"\]\((ARCHITECTURE|CONTRIBUTING|CHANGELOG)\.md", lambda m: f"]({m[1].lower()}.md", text)
    drawn = f"<div>{image_path()}</div>".replace("\n", "") if "images/image_path.svg" in text else ""
    return re.sub(r"^!\[[^]]*\]\(images/image_path\.svg\)$", lambda _: drawn, text, flags=re.M)


def columns(name: str | None) -> str:
    """Every column of a stored table: type, meaning, unit or values, and when it is null."""
    from s2st_aug.records.columns import columns_of

    module, record = COLUMNS[name or "manifest"]
    rows = (
        (
            f"`{c.name}`",
            f"`{arrow_name(c.type)}`",
            c.column.meaning,
            ", ".join(f"`{w}`" for w in c.words) or c.column.unit,
            c.column.null or "never",
        )
        for c in columns_of(getattr(importlib.import_module(module), record))
    )
    return table(("column", "type", "what", "unit or values", "null where"), rows)


def arrow_name(kind: pa.DataType) -> str:
    """A Parquet type in short: a list of structs is a list of struct, whatever is in them."""
    if pa.types.is_list(kind):
        return f"list of {arrow_name(kind.value_type)}"
    return {"double": "float64", "string": "text"}.get(str(kind), str(kind).partition("<")[0].partition("[")[0])


def words(name: str | None) -> str:
    """The values of a type of words in records/verdicts.py or errors.py, each with the comment beside it."""
    modules = (importlib.import_module(f"s2st_aug.{module}") for module in ("records.verdicts", "errors"))
    sources = "\n".join(inspect.getsource(module) for module in modules)
    found = re.search(rf"^{name} = Literal\[\n(.*?)^\]", sources, re.S | re.M)
    if found is None:
        raise KeyError(f"neither records/verdicts.py nor errors.py has a list of words {name}")
    told = re.findall(r'^ +"(\w+)",?  # (.+)$', found[1], re.M)
    return table(("value", "means"), ((f"`{value}`", what) for value, what in told))


def run_json(_: str | None) -> str:
    """Every key of run.json."""
    from s2st_aug.storage.run_folder import RunInfo

    spelled = {"str": "text", "int": "integer", "bool": "true or false", "dict": "object", "tuple": "list"}
    kinds = {f.name: spelled[str(f.type).partition("[")[0]] for f in dataclasses.fields(RunInfo)}
    if unknown := kinds.keys() - RUN_JSON.keys():
        raise KeyError(f"docs/hooks.py does not explain these keys of run.json: {', '.join(sorted(unknown))}")
    return table(
        ("key", "type", "what"),
        ((f"`{key}`", kinds[key], what) for key, what in RUN_JSON.items() if key in kinds),
    )


def words_of(key: str, known: dict[str, str]) -> str:
    """What is known of a key; raises KeyError for one that the code has and this page does not explain."""
    if key not in known:
        raise KeyError(f"docs/hooks.py does not explain {key}")
    return known[key]


def config(name: str | None) -> str:
    """Every key of a config with type, default and meaning: a run's (thresholds apart), or of `gain` or `training`."""
    module, model = CONFIGS[name]
    found = fields(getattr(importlib.import_module(module), model))
    rows = (row for row in found if name or not row[0].startswith("`validation."))
    return table(("key", "type", "default", "what"), rows)


def method(name: str | None) -> str:
    """Every setting of a method of the registry."""
    from s2st_aug.methods import find_method

    return table(("key", "type", "default", "what"), fields(find_method(name or "s2st").settings, "method."))


def model(_: str | None) -> str:
    """What can be put on a model."""
    from s2st_aug.diffusion.model_choice import LoraChoice, ModelChoice

    return table(
        ("key", "type", "default", "what"), [*fields(ModelChoice, "model."), *fields(LoraChoice, "model.loras[].")]
    )


def validation(_: str | None) -> str:
    """The thresholds of the gates."""
    from s2st_aug.validation.settings import ValidationSettings

    return table(("key", "type", "default", "what"), fields(ValidationSettings))


def measured(name: str | None) -> str:
    """A suite's figures as they were written by pipelines/benchmark.py."""
    figures = stored(name or "")
    if not figures:
        return f"Not measured yet: `python pipelines/benchmark.py --suite {name} --json docs/measured/{name}.json`."
    rows = (
        (f"`{f['name']}`", value(f), goal(f), verdict(f), f"{f['n']}", f.get("kit", ""), when(f), f["why"])
        for f in figures
    )
    return f"{about(name)}\n\n" + table(("figure", "value", "goal", "", "n", "kit", "measured", "why"), rows)


def stored(suite: str) -> list[dict[str, Any]]:
    """A suite's stored figures; none where it was never measured."""
    path = MEASURED / f"{suite}.json"
    return json.loads(path.read_text()) if path.is_file() else []


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
        figures = {f["name"]: f for f in json.loads((MEASURED / "cluster.json").read_text())}
        found = [figures[n] for n in ("scaling_64", "driver_ms_per_batch") if n in figures]
        rows = ((f"`{f['name']}`", value(f), goal(f), WORDS[f["holds"]], f["why"]) for f in found)
        return table(("figure", "value", "goal", "", "how"), rows) if found else "Not measured yet."
    head, *rows_ = SCALE[name or "runs"](json.loads((MEASURED / "scale.json").read_text()))
    return table(head, rows_)


def ablation(question: str | None) -> str:
    """One question's table, from the cells that pipelines/ablate.py keeps."""
    path = MEASURED / "ablations.json"
    cells = by_question(from_json(path.read_text())).get(question or "", []) if path.is_file() else []
    return as_table(cells) if cells else f"Not measured yet: `python pipelines/ablate.py --question '{question}'`."


def about(name: str | None) -> str:
    """When and where a suite was measured, as docs/measured/machine.json says."""
    path = MEASURED / "machine.json"
    known = json.loads(path.read_text()).get(name, {}) if path.is_file() else {}
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
            ", ".join(sorted({f.get("kit", "unknown") for f in figures})),
            *(sum(f["holds"] is held for f in figures) for held in (True, False, None)),
            sum(is_stale(f) for f in figures),
            " to ".join(sorted({min(days := [f.get("date") or "unknown" for f in figures]), max(days)})),
        )
        for suite, figures in known.items()
    )
    summary = table(("suite", "kit", "hold", "fall short", "undecided", "stale", "measured"), rows)
    each = (
        (f"`{f['name']}`", value(as_read(f)), goal_in_words(as_read(f)), verdict(f), f["n"], f.get("kit", ""),
         explained(f["name"])[1])
        for figures in known.values()
        for f in figures
    )  # fmt: skip
    every = table(("figure", "value", "goal", "", "n", "kit", "what it is"), each)
    return f"{summary}\n\n<details>\n<summary>Every figure</summary>\n\n{every}\n\n</details>"


def alternatives() -> str:
    """S2ST as it ships beside each peer at its best knob, from the rows that pipelines/compare.py keeps."""
    from s2st_aug.translation.settings import PRESETS

    path = MEASURED / "comparison.json"
    if not path.is_file():
        return "No comparison is stored yet: `python pipelines/compare.py`."
    found = summarise([Row(**row) for row in json.loads(path.read_text())["rows"]])
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
    text = path.read_text()
    for name, made in (("measured", readme_table()), ("alternatives", alternatives())):
        head, _, rest = text.partition(f"<!-- {name} -->\n")
        text = f"{head}<!-- {name} -->\n{made}\n<!-- /{name} -->{rest.partition(f'<!-- /{name} -->')[2]}"
    path.write_text(text)


def value(figure: dict[str, Any]) -> str:
    """A figure's value with its unit and interval."""
    if figure["value"] is None:
        return "n/a"
    between = " ({:.3g} to {:.3g})".format(*figure["interval"]) if figure["interval"] else ""
    unit = "" if figure["unit"] == "1" else f" {figure['unit']}"
    number = f"{figure['value']:,.0f}" if abs(figure["value"]) >= 1000 else f"{figure['value']:.3g}"
    return f"{number}{unit}{between}"


def as_read(figure: dict[str, Any]) -> dict[str, Any]:
    """A figure as README shows it: shares in percent, their differences in points, ratios without a unit."""
    units = {figure["unit"], *(names[figure["name"]][1] for names in SUITES.values() if figure["name"] in names)}
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
    page = (Path(__file__).parent / "reference/figures.md").read_text()
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


def fields(model: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, ...]]:
    """A pydantic model's keys, nested ones with dots."""
    for name, field in model.model_fields.items():
        kind = nested(field.annotation)
        if isinstance(field.validation_alias, AliasChoices):
            name = str(field.validation_alias.choices[0])
        if kind is BaseModel:  # a method's own record: `method` makes a table of each
            continue
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            yield from fields(kind, f"{prefix}{name}.")
            continue
        required = field.default is PydanticUndefined and field.default_factory is None
        stored = None if required else field.get_default(call_default_factory=True)
        default = "required" if required else f"`{'null' if stored is None else stored}`"
        yield f"`{prefix}{name}`", f"`{shown(kind)}`", default, field.description or ""


def nested(kind: Any) -> Any:
    """The model of `Model | None`; any other type as it is."""
    inner = [a for a in get_args(kind) if a is not type(None)] if get_origin(kind) in (Union, UnionType) else []
    return inner[0] if len(inner) == 1 and isinstance(inner[0], type) and issubclass(inner[0], BaseModel) else kind


def shown(kind: Any) -> str:
    """A type as a reader of YAML would say it."""
    if get_origin(kind) is Annotated:
        return shown(get_args(kind)[0])
    if get_origin(kind) is Literal:
        return ", ".join(str(a) for a in get_args(kind))
    if get_origin(kind) in (Union, UnionType):
        return " or ".join(shown(a) for a in get_args(kind))
    if get_origin(kind) is tuple:
        inner = [shown(a) for a in get_args(kind) if a is not Ellipsis]
        return f"list of {inner[0]}" if Ellipsis in get_args(kind) else f"[{', '.join(inner)}]"
    if get_origin(kind) is dict:
        return " to ".join(shown(a) for a in get_args(kind))
    return "null" if kind is type(None) else getattr(kind, "__name__", str(kind))


def table(head: tuple[str, ...], rows: Any) -> str:
    """A Markdown table."""
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    lines += ["| " + " | ".join(" ".join(str(c).replace("|", "\\|").split()) for c in row) + " |" for row in rows]
    return "\n".join(lines)


def same_street(_: str | None) -> str:
    """The leaderboard, from the entries that pipelines/leaderboard.py keeps."""
    board = read_board(MEASURED / "same_street.json")
    return as_markdown(board) if board else "No entry is stored yet: `python pipelines/leaderboard.py`."


MAKERS = (
    root, commands, exit_codes, config, method, validation, path, columns, words, run_json, measured, scale, ablation,
    same_street, model,
)  # fmt: skip
TABLES = {maker.__name__: maker for maker in MAKERS}

if __name__ == "__main__":
    write_readme()
