"""AdamW: at which step a parameter leaves the right path, and which other optimizer walks the student's.

`_walk` is the algorithm in float64, one small array for each parameter, with steps that can be done in other ways. Two
details have two right readings each (decay before or after the step, eps beside the root of v or of the corrected v);
all four count as right.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from ...scoring.outcome import Clue
from ...submission.interface import Submission
from .asking import NONE, Asker, tries
from .ways import Explanation, Steps, Way, explanations, sentences

if TYPE_CHECKING:
    from ..clues import Failure

Path = list[list[np.ndarray]]
"""The parameters after each step."""

_TRIES = 2_000
_CLOSE = 1e-3  # of the greatest move
_READINGS = [(first, corrected) for first in (False, True) for corrected in (False, True)]
"""(decay before the step, eps added to the root of the corrected v)"""

_DEFAULTS = {"lr": 1e-3, "betas": (0.9, 0.999), "eps": 1e-8, "weight_decay": 0.01}

WAYS = (
    Way(
        "correction",
        "none",
        "Your steps are those of AdamW without bias correction: the rate of step t is lr sqrt(1 - "
        "beta2^t) / (1 - beta1^t).",
    ),
    Way(
        "correction", "m only", "Your AdamW corrects m for its start at zero, and not v: sqrt(1 - beta2^t) is missing."
    ),
    Way(
        "correction", "v only", "Your AdamW corrects v for its start at zero, and not m: 1 / (1 - beta1^t) is missing."
    ),
    Way("correction", "no root", "Your AdamW multiplies the rate by 1 - beta2^t; it is the square root of that."),
    Way(
        "correction",
        "upside down",
        "Your AdamW multiplies by the bias correction where it has to divide, or the reverse.",
    ),
    Way("correction", "betas swapped", "Your AdamW corrects m with beta2 and v with beta1; beta1 belongs to m."),
    Way(
        "correction",
        "kept in m and v",
        "Your AdamW writes the corrected moments back into its state, so they are corrected again at the "
        "next step: keep m "
        "and v as they are.",
    ),
    Way("correction", "power of one", "Your AdamW corrects with beta, not with beta to the power of t, at every step."),
    Way("count", "from zero", "Your AdamW counts its first step as step 0; t is 1 there."),
    Way("count", "from two", "Your AdamW counts its first step as the second: t is 1 there."),
    Way(
        "count",
        "one behind",
        "Your AdamW corrects each step with the count of the one before: t rises first, and is 2 at the second step.",
    ),
    Way("count", "stays at one", "Your AdamW's t is 1 at every step; it has to be kept in the state and to rise."),
    Way(
        "count",
        "of all parameters",
        "Your AdamW counts a step for every parameter it comes to: with three parameters, t is 3 after "
        "one step. Each has "
        "its own t.",
    ),
    Way(
        "count",
        "of the optimizer",
        "Your AdamW counts the calls of step, also for a parameter that has no gradient there; each "
        "parameter has its own t.",
    ),
    Way(
        "count",
        "of the group",
        "Your AdamW counts the steps of a group, also for a parameter that has no gradient there; each has its own t.",
    ),
    Way("m", "undamped", "Your AdamW adds the whole gradient to m; it is (1 - beta1) times the gradient."),
    Way("m", "weights swapped", "Your AdamW's m is (1 - beta1) m + beta1 g; it is the other way round."),
    Way(
        "m",
        "gradient",
        "Your AdamW moves by the gradient; it is m, the running mean of gradients, that a step follows.",
    ),
    Way(
        "m",
        "gradient, corrected",
        "Your AdamW moves by the gradient; it is m, the running mean of gradients, that a step follows.",
    ),
    Way("v", "undamped", "Your AdamW adds the whole squared gradient to v; it is (1 - beta2) times that."),
    Way("v", "weights swapped", "Your AdamW's v is (1 - beta2) v + beta2 g^2; it is the other way round."),
    Way("v", "of m", "Your AdamW averages the squares of m in v; it is the gradient's squares."),
    Way(
        "v",
        "of damped gradients",
        "Your AdamW averages the squares of (1 - beta1) g in v; it is the gradient's squares. Is g multiplied in "
        "place, for m, before v reads it?",
    ),
    Way("v", "of sizes", "Your AdamW averages |g| in v; it is g^2."),
    Way("v", "of g", "Your AdamW averages g in v, without the square."),
    Way("v", "greatest", "Your AdamW never lets v fall, as AMSGrad does; v is a plain running mean."),
    Way("betas", "swapped", "Your AdamW takes the two betas in the wrong order: beta1 belongs to m, and beta2 to v."),
    Way("betas", "swapped in the means", "Your AdamW averages gradients with beta2 and squares with beta1."),
    Way("betas", "fixed", "Your AdamW uses betas of 0.9 and 0.999, whatever it is given."),
    Way("betas", "of the constructor", "Your AdamW reads betas of the constructor, not of the parameter's group."),
    Way("divisor", "no root", "Your AdamW divides by v; it is the root of v."),
    Way("divisor", "eps under the root", "Your AdamW adds eps to v under the root; it is added to the root."),
    Way("divisor", "no eps", "Your AdamW adds no eps to the root of v."),
    Way("divisor", "eps fixed", "Your AdamW adds an eps of 1e-8, whatever it is given."),
    Way("divisor", "none", "Your AdamW does not divide by the root of v."),
    Way("sign", "up", "Your AdamW moves along the gradient, so the loss rises: the step is subtracted."),
    Way("rate", "squared", "Your AdamW multiplies a step by lr twice."),
    Way("rate", "none", "Your AdamW leaves lr out of its step."),
    Way("rate", "of the constructor", "Your AdamW reads lr of the constructor, not of the parameter's group."),
    Way(
        "rate",
        "first one",
        "Your AdamW keeps the lr of its first step: a rate that a schedule writes into the group is lost.",
    ),
    Way(
        "decay", "none", "Your AdamW applies no weight decay: after a step, theta loses lr * weight_decay times itself."
    ),
    Way(
        "decay",
        "through the gradient",
        "Your AdamW adds weight_decay * theta to the gradient, as Adam with L2 regularisation does; here "
        "the decay stays out "
        "of m and v.",
    ),
    Way("decay", "without rate", "Your AdamW decays by weight_decay alone; it is lr * weight_decay."),
    Way(
        "decay",
        "with the corrected rate",
        "Your AdamW decays by alpha_t * weight_decay, with the bias-corrected rate; it is lr * weight_decay.",
    ),
    Way("decay", "up", "Your AdamW's weight decay makes the parameters larger."),
    Way("decay", "twice", "Your AdamW decays twice in a step: before or after the gradient's part is right, not both."),
    Way("decay", "rate squared", "Your AdamW decays by lr^2 * weight_decay; it is lr * weight_decay."),
    Way(
        "decay", "of the constructor", "Your AdamW reads weight_decay of the constructor, not of the parameter's group."
    ),
    Way(
        "decay",
        "rate of the constructor",
        "Your AdamW decays with the constructor's lr, not with that of the group now.",
    ),
    Way("decay", "matrices only", "Your AdamW decays only parameters of two or more dimensions; groups decide that."),
    Way("decay", "of the step", "Your AdamW decays the step, not the parameter."),
    Way("decay", "without gradient, too", "Your AdamW decays parameters that have no gradient; it should skip them."),
    Way("state", "shared", "Your AdamW has one m and v for all parameters; self.state[p] has one pair for each."),
    Way(
        "state",
        "one tensor",
        "Your AdamW's m and v are one tensor, so that what is written into v is in m, too: begin with two of zeros.",
    ),
    Way("state", "forgotten", "Your AdamW begins every step with m and v of zero: keep them in self.state[p]."),
    Way(
        "state",
        "forgotten with its count",
        "Your AdamW begins every step with m, v and t of zero: keep them in self.state[p].",
    ),
    Way(
        "state",
        "lost on loading",
        "Your AdamW's moments are not in state_dict: keep them in self.state[p], where it looks for them.",
    ),
    Way(
        "state",
        "count lost on loading",
        "Your AdamW's step count is not in state_dict: keep it in self.state[p], beside m and v.",
    ),
    Way(
        "missing gradients",
        "as zero",
        "Your AdamW takes a missing gradient for zero; skip a parameter whose grad is None.",
    ),
    Way(
        "missing gradients",
        "end the step",
        "Your AdamW stops at the first parameter without a gradient: `continue`, not `break` or `return`.",
    ),
    Way("groups", "first only", "Your AdamW goes through the first group only."),
)


def _walk(inputs: Mapping[str, Any], ways: Explanation, reading: tuple[bool, bool]) -> Iterator[list[np.ndarray]]:
    """The parameters after each step."""
    way = Steps(ways)
    decay_first, corrected = reading
    defaults = _DEFAULTS | (inputs.get("options") or {})
    parameters = [_array(parameter) for parameter in inputs["parameters"]]
    groups = inputs.get("groups") or [{"members": list(range(len(parameters)))}]
    options = [defaults | {key: value for key, value in group.items() if key != "members"} for group in groups]
    first_rates: dict[int, float] = {}
    states: dict[Any, dict[str, Any]] = {}
    count_of_all = 0
    counts_of_groups = [0] * len(groups)
    for step, gradients in enumerate(inputs["gradients"]):
        if step and step == inputs.get("reload_after"):
            if way["state"] == "lost on loading":
                states.clear()
            if way["state"] == "count lost on loading":
                for state in states.values():
                    state["t"] = 0
        for chosen, rate in zip(options, (inputs.get("learning_rates") or {}).get(step, ()), strict=False):
            chosen["lr"] = rate
        stopped = False
        for number, (group, chosen) in enumerate(zip(groups, options, strict=True)):
            if (way["groups"] == "first only" and number) or stopped:
                break
            counts_of_groups[number] += any(gradients[index] is not None for index in group["members"])
            for index in group["members"]:
                theta = parameters[index]
                g = None if gradients[index] is None else _array(gradients[index])
                lr, eps, wd = chosen["lr"], chosen["eps"], chosen["weight_decay"]
                decay_rate = lr
                beta1, beta2 = chosen["betas"]
                match way["rate"]:
                    case "of the constructor":
                        lr = decay_rate = defaults["lr"]
                    case "first one":
                        lr = decay_rate = first_rates.setdefault(number, lr)
                match way["betas"]:
                    case "swapped":
                        beta1, beta2 = beta2, beta1
                    case "fixed":
                        beta1, beta2 = 0.9, 0.999
                    case "of the constructor":
                        beta1, beta2 = defaults["betas"]
                if way["decay"] == "of the constructor":
                    wd = defaults["weight_decay"]
                if way["decay"] == "rate of the constructor":
                    decay_rate = defaults["lr"]
                if g is None:
                    if way["missing gradients"] == "end the step":
                        stopped = True
                        break
                    if way["decay"] == "without gradient, too":
                        parameters[index] = theta * (1 - decay_rate * wd)
                    if way["missing gradients"] != "as zero":
                        continue
                    g = np.zeros_like(theta)
                if way["decay"] == "through the gradient":
                    g = g + wd * theta
                key = "all" if way["state"] == "shared" else index
                state = states.setdefault(key, {"t": 0, "m": np.zeros_like(theta), "v": np.zeros_like(theta)})
                if way["state"] in ("forgotten", "forgotten with its count"):
                    state["m"], state["v"] = np.zeros_like(theta), np.zeros_like(theta)
                if way["state"] == "forgotten with its count":
                    state["t"] = 0
                state["t"] += 1
                count_of_all += 1
                t = {
                    "from zero": state["t"] - 1,
                    "from two": state["t"] + 1,
                    "one behind": max(1, state["t"] - 1),
                    "stays at one": 1,
                    "of all parameters": count_of_all,
                    "of the optimizer": step + 1,
                    "of the group": counts_of_groups[number],
                }.get(way["count"], state["t"])
                c1, c2 = np.float64(1 - beta1**t), np.float64(1 - beta2**t)
                mean1, mean2 = (beta2, beta1) if way["betas"] == "swapped in the means" else (beta1, beta2)
                m, v = _moments(state, g, mean1, mean2, way)
                state["m"], state["v"] = m, v
                match way["correction"]:
                    case "none":
                        c1 = c2 = np.float64(1)
                    case "m only":
                        c2 = np.float64(1)
                    case "v only":
                        c1 = np.float64(1)
                    case "no root":
                        c2 = c2**2
                    case "upside down":
                        c1, c2 = np.float64(1) / c1, np.float64(1) / c2
                    case "betas swapped":
                        c1, c2 = c2, c1
                    case "power of one":
                        c1, c2 = np.float64(1 - beta1), np.float64(1 - beta2)
                    case "kept in m and v":
                        state["m"], state["v"] = m, v = m / c1, v / c2
                        c1 = c2 = np.float64(1)
                moved = _move(m, v, g, c1, c2, eps, corrected, way)
                alpha = lr * np.sqrt(c2) / c1
                moved = moved * {"squared": lr * lr, "none": 1.0}.get(way["rate"], lr)
                if way["sign"] == "up":
                    moved = -moved
                parameters[index] = _decayed(theta, moved, decay_first, decay_rate, alpha, wd, way)
        yield [parameter.copy() for parameter in parameters]


def _array(tensor: torch.Tensor) -> np.ndarray:
    return tensor.double().numpy()


def _moments(
    state: Mapping[str, Any], g: np.ndarray, beta1: float, beta2: float, way: Steps
) -> tuple[np.ndarray, np.ndarray]:
    """m and v after a gradient."""
    m, v = state["m"], state["v"]
    weights = {"undamped": (beta1, 1.0), "weights swapped": (1 - beta1, beta1)}.get(way["m"], (beta1, 1 - beta1))
    m = weights[0] * m + weights[1] * g
    squared = {
        "of m": m * m,
        "of damped gradients": ((1 - beta1) * g) ** 2,
        "of sizes": abs(g),
        "of g": g,
    }.get(way["v"], g * g)
    weights = {"undamped": (beta2, 1.0), "weights swapped": (1 - beta2, beta2)}.get(way["v"], (beta2, 1 - beta2))
    if way["state"] == "one tensor":
        both = weights[0] * m + weights[1] * squared
        return both, both
    new = weights[0] * v + weights[1] * squared
    return m, np.maximum(v, new) if way["v"] == "greatest" else new


def _move(
    m: np.ndarray, v: np.ndarray, g: np.ndarray, c1: float, c2: float, eps: float, corrected: bool, way: Steps
) -> np.ndarray:
    """What is subtracted for lr = 1."""
    numerator = {"gradient": g, "gradient, corrected": g / c1}.get(way["m"], m / c1)
    if way["divisor"] == "none":
        return numerator
    if way["divisor"] == "eps fixed":
        eps = 1e-8
    hat = v / c2
    match way["divisor"]:
        case "no root":
            below = hat + eps if corrected else (v + eps) / np.sqrt(c2)
        case "eps under the root":
            below = np.sqrt(hat + eps) if corrected else np.sqrt(v + eps) / np.sqrt(c2)
        case "no eps":
            below = np.sqrt(hat)
        case _:
            below = np.sqrt(hat) + eps if corrected else (np.sqrt(v) + eps) / np.sqrt(c2)
    return numerator / below


def _decayed(
    theta: np.ndarray, moved: np.ndarray, first: bool, lr: float, alpha: float, wd: float, way: Steps
) -> np.ndarray:
    """The parameter after the step and its decay."""
    rate = {"without rate": 1.0, "with the corrected rate": alpha, "up": -lr, "rate squared": lr * lr}.get(
        way["decay"], lr
    )
    factor = 1 - rate * wd
    match way["decay"]:
        case "none" | "through the gradient":
            factor = 1.0
        case "twice":
            factor = factor**2
        case "matrices only" if theta.ndim < 2:
            factor = 1.0
        case "of the step":
            return theta - moved * factor
    return theta * factor - moved if first else (theta - moved) * factor


# --- the clue --------------------------------------------------------------------------------------------------------


def _probe(count: int, eps: float = 1e-12, missing: Sequence[int] = (), **more: Any) -> dict[str, Any]:
    """A small question in which much shows at once; the second parameter has no gradient at the steps `missing`."""
    parameters = [torch.tensor([1.0, -2.0, 0.5, 3.0]), torch.tensor([0.7, -1.1, 2.0, 0.3])]
    gradients = [torch.tensor([0.3, -0.8, 1.2, 0.05]), torch.tensor([-0.4, 0.9, 0.0, -1.5])]
    scales = (1.0, -0.5, 2.0, 0.1, 1.5)
    return {
        "parameters": parameters[:count],
        "gradients": [
            [gradients[0] * scale, None if step in missing else gradients[1] * scale][:count]
            for step, scale in enumerate(scales)
        ],
        "options": {"lr": 0.05, "betas": (0.8, 0.95), "eps": eps, "weight_decay": 0.2},
        **more,
    }


_PLAIN = _probe(1, eps=0.05)
"""One parameter, and an eps that counts: else nobody sees one factor by which both m and the root of v are off."""

_PROBES = (
    _PLAIN,
    _probe(2, missing=(1, 3)),
    _probe(1, learning_rates={1: [0.2], 3: [0.01]}),
    _probe(2),
)


def find(failure: Failure, submission: Submission) -> Clue | None:
    """What a failure of AdamW comes from, and where to look."""
    walks = [
        (arguments, walked)
        for (operation, arguments), answer in zip(failure.asked, failure.answers, strict=False)
        if operation == "adamw_trajectory" and (walked := _path_of(answer)) is not None
    ]
    wrong = [(inputs, path) for inputs, path in walks if not _fits(inputs, (), path)]
    if not wrong and any(
        isinstance(answer, Exception) and operation == "adamw_trajectory" and len(arguments["parameters"]) > 1
        for (operation, arguments), answer in zip(failure.asked, failure.answers, strict=False)
    ):  # several parameters that disturb each other may raise: two small ones show how
        probe = _probe(2)
        answer = Asker(submission).perform("adamw_trajectory", probe)
        path = None if answer is NONE else _path_of(answer)
        wrong = [(probe, path)] if path is not None and not _fits(probe, (), path) else []
    if not wrong:
        return None
    says: tuple[str, ...] = ()
    if not failure.bug:
        found = explanations(
            WAYS,
            lambda ways: all(_fits(inputs, ways, path) for inputs, path in [*wrong, *walks]),
            tries(submission, __name__, _TRIES),
        )
        says = sentences(_confirmed(found, submission))
    inputs, path = min(wrong, key=lambda one: len(one[1]) * len(one[1][0]))
    return Clue((*says, *_leaves_at(inputs, path)), cause=says)


def _confirmed(found: list[Explanation], submission: Submission) -> list[Explanation]:
    """Those that also explain small questions of ours.

    Each must explain the plainest one, with one more way if need be. Of the others, which have missing gradients or
    several parameters, all are kept where none does, as something else may be wrong there.
    """
    if not found:
        return []
    ask = Asker(submission)
    for probe in _PROBES:
        answer = ask.perform("adamw_trajectory", probe)
        path = None if answer is NONE else _path_of(answer)
        if path is None:
            continue
        kept = [ways for ways in found if _fits(probe, ways, path)]
        if probe is _PLAIN and not kept:
            kept = found = [ways for ways in found if any(_fits(probe, more, path) for more in _with_one_more(ways))]
        found = kept or found
        if len(found) < 2:
            break
    return found


def _with_one_more(ways: Explanation) -> Iterator[Explanation]:
    taken = {way.step for way in ways}
    yield from ((*ways, way) for way in WAYS if way.step not in taken)


def _path_of(answer: Any) -> Path | None:
    """The parameters after each step, of what the driver gave."""
    try:
        path = [[_array(value) for value in step.values()] for step in answer.values()]
    except (AttributeError, TypeError):
        return None
    return path or None


def _fits(inputs: Mapping[str, Any], ways: Explanation, path: Path) -> bool:
    """Whether one of the right readings, with these ways, walks this path; it stops where they part."""
    with np.errstate(all="ignore"):
        return any(_same_path(_walk(inputs, ways, reading), path, inputs) for reading in _READINGS)


def _same_path(walked: Iterator[list[np.ndarray]], path: Path, inputs: Mapping[str, Any]) -> bool:
    before = [_array(parameter) for parameter in inputs["parameters"]]
    try:
        return all(
            _same(one, other, old)
            for step, found in zip(walked, path, strict=True)
            for one, other, old in zip(step, found, before, strict=True)
        )
    except ValueError:  # of shapes that do not fit, as one state for all parameters has
        return False


def _same(one: np.ndarray, other: np.ndarray, old: np.ndarray) -> bool:
    if one.shape != other.shape or not np.isfinite(other).all() or not np.isfinite(one).all():
        return bool(one.shape == other.shape and np.array_equal(np.isnan(one), np.isnan(other)) and np.isnan(one).any())
    scale = np.abs(one - old).max(initial=0.0)
    return bool(np.abs(one - other).max(initial=0.0) <= _CLOSE * scale + 2e-6 * np.abs(old).max(initial=0.0))


def _leaves_at(inputs: Mapping[str, Any], path: Path) -> Iterator[str]:
    """The step and the parameter at which the path leaves all right ones, and how long the step is there."""
    right = max(
        ([list(step) for step in _walk(inputs, (), reading)] for reading in _READINGS),
        key=lambda walked: sum(
            1 for _ in itertools.takewhile(lambda pair: _all_same(*pair, inputs), zip(walked, path, strict=False))
        ),
    )
    start = [_array(parameter) for parameter in inputs["parameters"]]
    for step, (want, got) in enumerate(zip(right, path, strict=False)):
        for index, (one, other) in enumerate(zip(want, got, strict=False)):
            if one.shape != other.shape or _same(one, other, start[index]):
                continue
            before, ours = (right[step - 1][index], path[step - 1][index]) if step else (start[index], start[index])
            which = f" of parameter {index}" if len(want) > 1 else ""
            until = (
                f"The first {step} steps are right; the step{which} that differs is"
                if step > 1
                else "Step 1 is right; the first that differs is"
                if step
                else f"It differs from the first step{which} on"
            )
            at = f" step {step + 1}" if step else ""
            yield f"{until}{at}{_how_long(one - before, other - ours)}."
            return


def _all_same(want: Sequence[np.ndarray], got: Sequence[np.ndarray], inputs: Mapping[str, Any]) -> bool:
    start = [_array(parameter) for parameter in inputs["parameters"]]
    return all(_same(one, other, old) for one, other, old in zip(want, got, start, strict=False))


def _how_long(want: np.ndarray, got: np.ndarray) -> str:
    """How a move compares with the right one, where that can be said in a number."""
    if not np.abs(got).any():
        return ", where yours does not move it"
    if not np.isfinite(got).all():
        return ", where yours is not finite"
    if (np.abs(want) < 1e-12).any():
        return ", where it should not move at all" if (np.abs(want) < 1e-12).all() else ""
    ratio = got / want
    if np.ptp(ratio) <= 0.01 * np.abs(ratio).max():
        return f": each element moves {float(np.mean(ratio)):.3g} times as far as it should"
    return ""
