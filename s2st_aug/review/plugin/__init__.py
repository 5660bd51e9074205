"""The FiftyOne plugin: operators that take decisions, and what the before/after panel shows.

FiftyOne loads it from this folder.
"""

from __future__ import annotations

from typing import Any

import fiftyone.operators as foo
from fiftyone.operators import types

from s2st_aug.review import app_layout as looks
from s2st_aug.review import deciding

REASONS = ("label no longer true", "object dissolved", "light made up", "not the domain", "artefacts", "other")


class _Decide(foo.Operator):
    """Shared by the operators that decide on the selected samples, or on the open one."""

    name, label, description, icon = "", "", "", ""

    @property
    def config(self) -> Any:
        """What FiftyOne lists."""
        return foo.OperatorConfig(
            name=self.name, label=self.label, description=self.description, icon=self.icon, dynamic=True
        )

    def decide(self, ctx: Any) -> deciding.Outcome:
        """The operator's own act."""
        raise NotImplementedError

    def execute(self, ctx: Any) -> dict[str, Any]:
        """Act, say what happened, show it."""
        outcome = self.decide(ctx)
        ctx.ops.notify(outcome.message, variant="success" if outcome.changed else "warning")
        if outcome.changed:
            ctx.ops.reload_samples()
        return {"message": outcome.message, "changed": outcome.changed}

    def resolve_output(self, ctx: Any) -> Any:
        """One line of text."""
        outputs = types.Object()
        outputs.str("message", label="Review")
        return types.Property(outputs)


class Accept(_Decide):
    """The variant is fit for training."""

    name, label, icon = "accept", "S2ST: accept variant", "check_circle"

    def decide(self, ctx: Any) -> deciding.Outcome:
        """Accept the selection or the open sample."""
        return deciding.decide(ctx.dataset, deciding.targets(ctx), "accept")


class Reject(_Decide):
    """The variant is not fit for training."""

    name, label, icon = "reject", "S2ST: reject variant", "cancel"

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

    def decide(self, ctx: Any) -> deciding.Outcome:
        """Ignore the selected labels."""
        return deciding.ignore(ctx.dataset, ctx.selected_labels)


class Undo(_Decide):
    """Take the last standing decision on a sample back."""

    name, label, icon = "undo", "S2ST: undo last decision", "undo"

    def decide(self, ctx: Any) -> deciding.Outcome:
        """Undo on the selection or the open sample."""
        return deciding.undo(ctx.dataset, deciding.targets(ctx))


class NextUndecided(foo.Operator):
    """Open the next variant that passed the gates and nobody decided on, the least sure first."""

    @property
    def config(self) -> Any:
        """What FiftyOne lists."""
        return foo.OperatorConfig(name="next_undecided", label="S2ST: next undecided variant", icon="skip_next")

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
        return foo.OperatorConfig(name="panel_data", label="S2ST: panel data", unlisted=True)

    def execute(self, ctx: Any) -> dict[str, Any]:
        """Paths, measures, verdicts and progress, as plain values."""
        return deciding.panel_data(ctx.dataset, ctx.params.get("sample_id") or ctx.current_sample) | {
            "reasons": list(REASONS)
        }


def register(plugin: Any) -> None:
    """Called by FiftyOne."""
    for operator in (Accept, Reject, IgnoreObject, Undo, NextUndecided, PanelData):
        plugin.register(operator)
