"""The terms of use of the models that made the images, for the lock file."""

from __future__ import annotations

_OPENRAIL_LIMITS = (
    "Use limits (OpenRAIL-M, attachment A), which pass on to every use of the model and its derivatives: not to break the law; not to "
    "exploit or harm minors; not to generate false information meant to harm; not to spread personal data that harms a person; not to "
    "defame or harass; not for fully automated decisions that affect legal rights; not to discriminate or to exploit the vulnerable; not "
    "for medical advice; not for law enforcement's prediction of crimes. Whoever makes images answers for their use."
)
TERMS: tuple[tuple[str, str, str], ...] = (
    ("street-mini", "Apache-2.0", "Weights trained on procedural scenes and MIT-licensed photos; see the model card."),
    (
        "street-photo",
        "non-commercial",
        "Weights trained on CamVid and IDD-Lite too: research and non-commercial use only; see the model card.",
    ),
    ("stable-diffusion-2", "CreativeML Open RAIL++-M", _OPENRAIL_LIMITS),
    ("stable-diffusion", "CreativeML OpenRAIL-M", _OPENRAIL_LIMITS),
)


def model_terms(model: str) -> dict[str, str]:
    """Licence and terms of a model by its name or folder; unknown models say that their own card counts."""
    for part, licence, terms in TERMS:
        if part in model:
            return {"name": model, "licence": licence, "terms": terms}
    return {
        "name": model,
        "licence": "unknown",
        "terms": "see the model's own card; Stable Diffusion models carry the OpenRAIL use limits",
    }
