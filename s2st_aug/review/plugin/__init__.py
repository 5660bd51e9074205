"""The FiftyOne plugin: operators that take decisions, and what the before/after panel shows.

FiftyOne loads it from this folder.
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import fiftyone as fo
import fiftyone.operators as foo
from fiftyone.core.utils import to_slug
from fiftyone.operators import types

from s2st_aug.errors import S2STError
from s2st_aug.records.domains import DOMAINS
from s2st_aug.review import app_layout as looks
from s2st_aug.review import curated, deciding, translating

REASONS = ("label no longer true", "object dissolved", "light made up", "not the domain", "artefacts", "other")
METHODS = ("s2st", "histogram", "reinhard", "gamma", "ddib", "sdedit", "ledits")  # the package's, which lie above
AT_ONCE = (
    "This App runs it at once and shows nothing else until it is done. To queue long runs, start the App with "
    "FIFTYONE_ALLOW_LEGACY_ORCHESTRATORS=true (`s2st-aug review open` does) and run `fiftyone delegated launch`."
)


def method_choices() -> list[str]:
    """The package's methods, and those that other installed packages offer; nothing of theirs is imported."""
    return [*METHODS, *sorted({point.name for point in entry_points(group="s2st_aug.methods")} - {*METHODS})]


def run_folder(said: str) -> Path | str:
    """A run's place: a path starts at the home or at FiftyOne's own folder for datasets, whatever runs the App."""
    return said if "://" in said else Path(fo.config.default_dataset_dir).expanduser() / Path(said).expanduser()


def configured(name: str, label: str, risk: str, **more: Any) -> Any:
    """An operator's config with its risk, where this FiftyOne knows one: low reads, medium adds and can be undone."""
    kind = getattr(types, "RiskLevel", None)
    return foo.OperatorConfig(name=name, label=label, **more, **({"risk_level": kind(risk)} if kind else {}))


class _Decide(foo.Operator):
    """Shared by the operators that decide on the selected samples, or on the open one."""

    name, label, description, icon = "", "", "", ""

    @property
    def config(self) -> Any:
        """What FiftyOne lists."""
        return configured(self.name, self.label, "medium", description=self.description, icon=self.icon, dynamic=True)

    def decide(self, ctx: Any) -> deciding.Outcome:
        """The operator's own act."""
        raise NotImplementedError

    def execute(self, ctx: Any) -> dict[str, Any]:
        """Act, say what happened, show it."""
        outcome = self.decide(ctx)
        ctx.ops.notify(outcome.message, variant="success" if outcome.changed else "warning")
        if outcome.changed:
            ctx.ops.reload_samples()
        alone = bool(ctx.current_sample) and not ctx.selected  # the open sample was decided on, not a selection
        return {"message": outcome.message, "changed": outcome.changed, "open": alone}

    def resolve_output(self, ctx: Any) -> Any:
        """One line of text."""
        outputs = types.Object()
        outputs.str("message", label="Review")
        return types.Property(outputs)


class Accept(_Decide):
    """The variant is fit for training."""

    name, label, icon = "accept", "S2ST: accept variant", "check_circle"
    description = "The selected variants, or the open one, are fit for training"

    def decide(self, ctx: Any) -> deciding.Outcome:
        """Accept the selection or the open sample."""
        return deciding.decide(ctx.dataset, deciding.targets(ctx), "accept")


class Reject(_Decide):
    """The variant is not fit for training."""

    name, label, icon = "reject", "S2ST: reject variant", "cancel"
    description = "The selected variants, or the open one, are left out of exports; a reason is asked for"

    def resolve_input(self, ctx: Any) -> Any:
        """A reason to choose, and words of one's own."""
        inputs = types.Object()
        inputs.enum("reason", REASONS, default=REASONS[0], label="Reason", view=types.AutocompleteView())
        inputs.str("comment", label="In your words")
        return types.Property(inputs, view=types.View(label="Reject this variant"))

    def decide(self, ctx: Any) -> deciding.Outcome:
        """Reject the selection or the open sample."""
        reason = ": ".join(part for part in (ctx.params.get("reason"), ctx.params.get("comment")) if part)
        return deciding.decide(ctx.dataset, deciding.targets(ctx), "reject", reason=reason or None)


class IgnoreObject(_Decide):
    """A label is no longer true here: it becomes an ignored region on export."""

    name, label, icon = "ignore_object", "S2ST: ignore selected objects", "layers_clear"
    description = "The selected labels become ignored regions on export"

    def decide(self, ctx: Any) -> deciding.Outcome:
        """Ignore the selected labels."""
        return deciding.ignore(ctx.dataset, ctx.selected_labels)


class Undo(_Decide):
    """Take the last standing decision on a sample back."""

    name, label, icon = "undo", "S2ST: undo last decision", "undo"
    description = "The last standing decision on the selected variants, or the open one, is taken back"

    def decide(self, ctx: Any) -> deciding.Outcome:
        """Undo on the selection or the open sample."""
        return deciding.undo(ctx.dataset, deciding.targets(ctx))


class NextUndecided(foo.Operator):
    """Open the next variant that passed the gates and nobody decided on, the least sure first."""

    @property
    def config(self) -> Any:
        """What FiftyOne lists."""
        told = "Open the accepted variant that nobody decided on and that the checks are least sure of"
        return configured("next_undecided", "S2ST: next undecided variant", "low", icon="skip_next", description=told)

    def execute(self, ctx: Any) -> dict[str, Any]:
        """Open the sample, in the saved view of what is to be reviewed where the App shows groups."""
        found = deciding.next_undecided(ctx.dataset, ctx.current_sample)
        if found is None:
            ctx.ops.notify("every variant that passed the gates is decided", variant="success")
            return {}
        if ctx.view.media_type == "group":
            ctx.ops.set_view(view=ctx.dataset.load_saved_view(looks.TO_REVIEW))
        ctx.ops.open_sample(id=found)
        return {"sample_id": found}


class PanelData(foo.Operator):
    """What the panel shows of the open sample."""

    @property
    def config(self) -> Any:
        """What FiftyOne lists."""
        return configured("panel_data", "S2ST: panel data", "low", unlisted=True)

    def execute(self, ctx: Any) -> dict[str, Any]:
        """Paths, measures, verdicts and progress, as plain values."""
        return deciding.panel_data(ctx.dataset, ctx.params.get("sample_id") or ctx.current_sample) | {
            "reasons": list(REASONS)
        }


class TranslateSelected(foo.Operator):
    """A run over the selected samples, or over the whole view; its variants become a dataset of their own."""

    @property
    def config(self) -> Any:
        """What FiftyOne lists; a run takes seconds to minutes an image, so it may be delegated."""
        return configured(
            "translate_selected", "S2ST: translate selected", "medium", icon="nights_stay", dynamic=True,
            description="Night, rain, dusk or fog variants of the selected images or of the view, each label checked",
            execute_as_generator=True, allow_immediate_execution=True,
            allow_delegated_execution=True, default_choice_to_delegated=True,
        )  # fmt: skip

    def resolve_input(self, ctx: Any) -> Any:
        """Domains, method, model, labels and the run's folder."""
        inputs, samples = types.Object(), self._samples(ctx)
        which = "The selected images" if ctx.selected else "No image is selected: all that the App shows"
        inputs.view("what", types.Notice(label=f"{which} ({len(samples)}) will be translated; nothing here is changed"))
        if not getattr(fo.config, "allow_legacy_orchestrators", True):
            inputs.view("now", types.Notice(label=AT_ONCE))
        choices = types.Choices()
        for domain in DOMAINS:
            choices.add_choice(domain, label=domain)
        inputs.list("domains", types.String(), required=True, default=["night"], label="Domains", view=choices)
        inputs.enum("method", method_choices(), default="s2st", required=True, label="Method")
        inputs.str("model", default="street-mini", required=True, label="Model",
                   description="street-mini (for demos), a Stable Diffusion folder, or a hub id")  # fmt: skip
        fields = curated.label_fields(samples)
        if fields:
            inputs.enum("field", fields, default=fields[0], label="Labels that are checked")
        place = str(run_folder(f"{to_slug(ctx.dataset.name)}-translated"))
        inputs.str("run", default=place, required=True, label="Run folder", description="made if it is not there")
        return types.Property(inputs, view=types.View(label="Translate to other conditions"))

    def execute(self, ctx: Any) -> Any:
        """Run and push; in the App with its progress shown, and the new dataset opened."""
        p = ctx.params
        steps = translating.translate_view(
            self._samples(ctx), list(p.get("domains") or ["night"]), run_folder(p["run"]),
            method=p.get("method") or "s2st", model=p.get("model") or "street-mini", field=p.get("field"),
        )  # fmt: skip
        if not ctx.delegated:
            return self._shown(ctx, steps)
        while True:
            try:
                share, words = next(steps)
                ctx.set_progress(progress=share, label=words)
            except StopIteration as end:
                return {"dataset": end.value}

    def _shown(self, ctx: Any, steps: Iterator[translating.Told]) -> Iterator[Any]:
        """What the App is to do while the run goes on; an error is one line there, as on a terminal."""
        try:
            while True:
                share, words = next(steps)
                yield ctx.ops.set_progress(label=words, progress=share)
        except StopIteration as end:
            yield ctx.ops.open_dataset(end.value)
        except S2STError as error:
            yield ctx.ops.notify(str(error), variant="error")

    def resolve_output(self, ctx: Any) -> Any:
        """Where the variants are."""
        outputs = types.Object()
        outputs.str("dataset", label="Dataset with the variants")
        return types.Property(outputs)

    def _samples(self, ctx: Any) -> Any:
        """The selected samples; without a selection all that the App shows."""
        return ctx.dataset.select(ctx.selected, ordered=True) if ctx.selected else ctx.view


def register(plugin: Any) -> None:
    """Called by FiftyOne."""
    for operator in (Accept, Reject, IgnoreObject, Undo, NextUndecided, PanelData, TranslateSelected):
        plugin.register(operator)
