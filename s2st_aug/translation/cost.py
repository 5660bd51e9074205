"""What a translation costs: evaluations counted beforehand, seconds from a short measurement (docs/method.md#cost)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from s2st_aug.translation.settings import MethodSettings

if TYPE_CHECKING:
    from s2st_aug.translation.translator import Translator

BACKWARD = 2.0  # a backward pass costs about two forwards


@dataclass(frozen=True, slots=True)
class Cost:
    """Network evaluations per variant, at most (early stop may use fewer); a shared inversion booked in equal parts."""

    forward: float
    backward: float

    @property
    def evaluations(self) -> float:
        """In units of one forward pass."""
        return self.forward + BACKWARD * self.backward


def estimate(settings: MethodSettings, domains: int) -> Cost:
    """Inversion n/d, sampling n or 2 n, null-text m forward and backward and one more forward for each guided step."""
    s = settings
    guided = [k for k in range(s.steps) if s.guidance_at(k) > 1]
    inner = [k for k in guided if s.to_method == "null_text" and k >= s.to_from * s.steps]
    each = 1 + (s.inversion_refinements if s.solver == "ddim" else 0) + (s.to_method == "direct")
    backward = s.to_iterations * len(inner) + (s.st_iterations if s.st_space == "x0" else 0)
    return Cost(s.steps * each / domains + s.steps + len(guided) + backward + len(inner), backward)


def cost_line(translator: Translator, *, images: int, domains: int) -> str:
    """One line for the terminal before a run; runs the network three times to measure its speed."""
    cost = estimate(translator.settings, domains)
    seconds = translator.seconds_per_evaluation() * cost.evaluations * images * domains
    passes = f"{cost.forward:g} forward" + (f" and {cost.backward:g} backward" if cost.backward else "")
    each = f"{images * domains} variants at {passes} evaluations each"
    return f"{each}; about {seconds:.0f} s in the network on this machine"
