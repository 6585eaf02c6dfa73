"""How AdamW goes wrong."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch

from .catalogue import Misconception
from .together import assembled


def _own_options(optimizer, group):
    return group


def _own_state(optimizer, group, theta):
    state = optimizer.state[theta]
    if not state:
        state.update(_fresh_state(theta))
    return state


def _fresh_state(theta):
    return {"t": 0, "m": torch.zeros_like(theta), "v": torch.zeros_like(theta)}


def _own_gradient(theta, options):
    return theta.grad


def _moments(state, g, beta1, beta2):
    state["m"].lerp_(g, 1 - beta1)
    state["v"].mul_(beta2).addcmul_(g, g, value=1 - beta2)


def _sizes(state, g, beta1, beta2):
    state["m"].lerp_(g, 1 - beta1)
    state["v"].lerp_(g.abs(), 1 - beta2)


def _denominator(v, t, options):
    return v.sqrt() + options["eps"]


def _rate(t, options):
    beta1, beta2 = options["betas"]
    return options["lr"] * math.sqrt(1 - beta2**t) / (1 - beta1**t)


def _decay(theta, rate, options):
    return theta * (1 - options["lr"] * options["weight_decay"])


@assembled
def _stepping(
    options_of: Callable[..., Any] = _own_options,
    state_of: Callable[..., Any] = _own_state,
    gradient_of: Callable[..., Any] = _own_gradient,
    moments: Callable[..., Any] = _moments,
    numerator: Callable[..., Any] = lambda m, g, options: m,
    denominator: Callable[..., Any] = _denominator,
    rate: Callable[..., Any] = _rate,
    decay: Callable[..., Any] = _decay,
    decays_without_gradient: bool = False,
    goes_on_after_none: bool = True,
    groups: slice = slice(None),
    calls_closure: bool = True,
    returns_loss: bool = True,
    afterwards: Callable[[torch.Tensor], object] = lambda theta: None,
) -> Callable[..., Any]:
    """AdamW's step with some of its parts replaced; `afterwards` does what else is done to each parameter."""

    def step(self, closure=None):
        loss = closure() if closure is not None and calls_closure else None
        with torch.no_grad():
            for group in self.param_groups[groups]:
                options = options_of(self, group)
                for theta in group["params"]:
                    g = gradient_of(theta, options)
                    if g is None:
                        if decays_without_gradient:
                            theta.copy_(decay(theta, options["lr"], options))
                        if goes_on_after_none:
                            continue
                        break
                    state = state_of(self, group, theta)
                    state["t"] += 1
                    t = state["t"]
                    moments(state, g, *options["betas"])
                    alpha = rate(t, options)
                    moved = theta - alpha * numerator(state["m"], g, options) / denominator(state["v"], t, options)
                    theta.copy_(decay(moved, alpha, options))
                    afterwards(theta)
        return loss if returns_loss else None

    return step


def _with_default(*names):
    """Options that are read from the constructor's arguments instead of from the group."""

    def options_of(optimizer, group):
        return {**group, **{name: optimizer.defaults[name] for name in names}}

    return options_of


def _decay_of_matrices(theta, rate, options):
    return _decay(theta, rate, options) if theta.ndim > 1 else theta


def _with_constructor_rate(optimizer, group):
    return {**group, "rate of constructor": optimizer.defaults["lr"]}


def _decay_at_first_rate(theta, rate, options):
    return theta * (1 - options["rate of constructor"] * options["weight_decay"])


def _first_seen_rate(optimizer, group):
    first = optimizer.__dict__.setdefault("first_rates", {})
    return {**group, "lr": first.setdefault(id(group["params"][0]), group["lr"])}


def _constant(**options):
    return lambda optimizer, group: {**group, **options}


def _shared_state(optimizer, group, theta):
    if "moments" not in optimizer.state:
        optimizer.state["moments"] = _fresh_state(theta)
    return optimizer.state["moments"]


def _shared_moments_counted_by_step(optimizer, group, theta):
    """One pair of moments, and a count that rises once a step."""
    shared = optimizer.__dict__.setdefault("shared", _fresh_state(theta))
    first = next(p for every in optimizer.param_groups for p in every["params"] if p.grad is not None)
    counter = optimizer.__dict__.setdefault("counter", {"t": 0})
    return _SharedCount(shared, counter if theta is first else {"t": counter["t"] - 1})


def _shared_moments_counted_apart(optimizer, group, theta):
    shared = optimizer.__dict__.setdefault("shared", _fresh_state(theta))
    return _SharedCount(shared, optimizer.__dict__.setdefault("counters", {}).setdefault(id(theta), {"t": 0}))


def _state_on_optimizer(optimizer, group, theta):
    return optimizer.__dict__.setdefault("moments", {}).setdefault(id(theta), _fresh_state(theta))


def _state_anew(optimizer, group, theta):
    count = optimizer.state[theta]
    count["t"] = count.get("t", 0)
    return {**_fresh_state(theta), "t": count["t"]}


class _SharedCount(dict):
    """A parameter's moments, with the count of steps kept elsewhere."""

    def __init__(self, own, counter):
        super().__init__(own)
        self.counter = counter

    def __getitem__(self, key):
        return self.counter[key] if key == "t" else super().__getitem__(key)

    def __setitem__(self, key, value):
        if key == "t":
            self.counter["t"] = value
        else:
            super().__setitem__(key, value)


def _counted_by_optimizer(optimizer, group, theta):
    counter = optimizer.__dict__.setdefault("counter", {"t": 0})
    return _SharedCount(_own_state(optimizer, group, theta), counter)


def _counted_anew_by_group(optimizer, group, theta):
    """The count is that of the group, and rises with each of its parameters."""
    counter = optimizer.__dict__.setdefault("counters", {}).setdefault(id(group["params"][0]), {"t": 0})
    return _SharedCount(_own_state(optimizer, group, theta), counter)


def _counted_by_group(optimizer, group, theta):
    """The count rises with the first parameter of a group that has a gradient, once per step."""
    counter = optimizer.__dict__.setdefault("counters", {}).setdefault(id(group["params"][0]), {"t": 0})
    state = _own_state(optimizer, group, theta)
    with_gradient = next(p for p in group["params"] if p.grad is not None)
    return _SharedCount(state, counter if theta is with_gradient else {"t": counter["t"] - 1})


def _t_from_one(optimizer, group, theta):
    state = _own_state(optimizer, group, theta)
    state["t"] = max(state["t"], 1)
    return state


def _zero_for_none(theta, options):
    return torch.zeros_like(theta) if theta.grad is None else theta.grad


def _coupled(theta, options):
    return None if theta.grad is None else theta.grad + options["weight_decay"] * theta


def _undamped_mean(state, g, beta1, beta2):
    state["m"].mul_(beta1).add_(g)
    state["v"].mul_(beta2).addcmul_(g, g, value=1 - beta2)


def _swapped_betas(state, g, beta1, beta2):
    _moments(state, g, beta2, beta1)


def _square_of_mean(state, g, beta1, beta2):
    state["m"].lerp_(g, 1 - beta1)
    state["v"].mul_(beta2).addcmul_(state["m"], state["m"], value=1 - beta2)


def _square_in_place(state, g, beta1, beta2):
    state["m"].lerp_(g, 1 - beta1)
    state["v"].lerp_(g.square_(), 1 - beta2)


def _none_for_zero(theta, options):
    return theta.grad if theta.grad is not None and theta.grad.any() else None


def _zero_gradient(theta):
    theta.grad.zero_()


def _no_gradient(theta):
    theta.grad = None


def _largest_square(state, g, beta1, beta2):
    before = state["v"].clone()
    _moments(state, g, beta1, beta2)
    torch.maximum(before, state["v"], out=state["v"])


def _undecayed(theta, rate, options):
    return theta


def _no_groups_init(self, params, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.01):
    self.count = sum(1 for _ in params)
    torch.optim.Optimizer.__init__(self, params, {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay})


class _PlainClass:
    """AdamW that derives from nothing."""

    def __init__(self, params, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.01):
        params = list(params)
        groups = params if isinstance(params[0], dict) else [{"params": params}]
        defaults = {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay}
        self.state: dict[Any, dict[str, Any]] = {parameter: {} for group in groups for parameter in group["params"]}
        self.param_groups = [{**defaults, **group} for group in groups]

    step = _stepping()

    def zero_grad(self):
        for parameter in self.state:
            parameter.grad = None

    def state_dict(self):
        return {"state": list(self.state.values())}

    def load_state_dict(self, found):
        self.state = dict(zip(self.state, found["state"], strict=True))


def _misstep(
    id: str, diagnosis: str, hint: str, frequency: str = "occasional", forms: Sequence[dict] = (), **parts: Any
) -> Misconception:
    """A misconception in which parts of the step are others; forms: further such parts."""
    return Misconception(
        id=f"adamw-{id}",
        problem="adamw",
        replaces={"optimizer.AdamW.step": _stepping(**parts)},
        diagnosis=diagnosis,
        hint=hint,
        frequency=frequency,
        forms=tuple({"optimizer.AdamW.step": _stepping(**form)} for form in forms),
    )


_DEFAULT_HINT = "Which learning rate does a parameter see after `optimizer.param_groups[0]['lr'] = 0.1`?"

MISCONCEPTIONS = (
    _misstep(
        "no-bias-correction",
        "Your AdamW does not correct the moments for starting at zero.",
        "How large is the very first step, for a gradient of 1? The formula gives about lr.",
        "common",
        rate=lambda t, options: options["lr"],
    ),
    _misstep(
        "first-moment-uncorrected",
        "Your AdamW corrects the second moment for starting at zero, but not the first.",
        "How large is the very first step, for a gradient of 1? The formula gives about lr.",
        rate=lambda t, options: options["lr"] * math.sqrt(1 - options["betas"][1] ** t),
    ),
    _misstep(
        "second-moment-uncorrected",
        "Your AdamW corrects the first moment for starting at zero, but not the second.",
        "How large is the very first step, for a gradient of 1? The formula gives about lr.",
        rate=lambda t, options: options["lr"] / (1 - options["betas"][0] ** t),
    ),
    _misstep(
        "correction-without-root",
        "Your AdamW multiplies the learning rate by 1 - beta2^t where the formula has the square root of it.",
        "Write alpha_t for t = 1 and the default betas on paper: is it lr * 0.316?",
        rate=lambda t, options: options["lr"] * (1 - options["betas"][1] ** t) / (1 - options["betas"][0] ** t),
    ),
    _misstep(
        "corrections-swapped",
        "Your AdamW corrects the first moment with beta2 and the second with beta1.",
        "Which of the two betas belongs to m, and which to v?",
        "rare",
        rate=lambda t, options: _rate(t, {**options, "betas": options["betas"][::-1]}),
    ),
    _misstep(
        "count-starts-at-one",
        "Your AdamW counts the first step as the second.",
        "Print t inside the first call of step: is it 1?",
        state_of=_t_from_one,
    ),
    _misstep(
        "betas-swapped",
        "Your AdamW averages gradients with beta2 and their squares with beta1.",
        "Which of the two averages should have the longer memory?",
        "rare",
        moments=_swapped_betas,
    ),
    _misstep(
        "betas-fixed",
        "Your AdamW always uses betas of 0.9 and 0.999 and ignores the given ones.",
        "Where does your step use the betas argument?",
        options_of=_constant(betas=(0.9, 0.999)),
    ),
    _misstep(
        "gradient-added-undamped",
        "Your AdamW adds the whole gradient to the first moment, without the factor 1 - beta1.",
        "If every gradient is 1, what should m approach?",
        moments=_undamped_mean,
    ),
    _misstep(
        "squares-the-mean",
        "Your AdamW averages the squares of the first moment, not of the gradient.",
        "What is averaged in v: g or m?",
        "rare",
        moments=_square_of_mean,
    ),
    _misstep(
        "keeps-largest-second-moment",
        "Your AdamW never lets the second moment fall, as AMSGrad does.",
        "After one huge gradient and many small ones, does v come down again?",
        "rare",
        moments=_largest_square,
    ),
    _misstep(
        "ignores-first-moment",
        "Your AdamW moves along the current gradient, not along the running mean.",
        "Give it a gradient of 1 and then of 0: does the parameter still move in the second step?",
        "rare",
        numerator=lambda m, g, options: g,
    ),
    _misstep(
        "no-root",
        "Your AdamW divides by the second moment itself, not by its square root.",
        "Multiply all gradients by 10: should the steps change?",
        "rare",
        denominator=lambda v, t, options: v + options["eps"],
    ),
    _misstep(
        "ascends",
        "Your AdamW moves in the direction of the gradient, so the loss rises.",
        "With a gradient of +1, should the parameter rise or fall?",
        "rare",
        rate=lambda t, options: -_rate(t, options),
    ),
    _misstep(
        "state-made-anew",
        "Your AdamW starts every step with moments of zero, so it forgets all earlier gradients.",
        "Print m before it is updated in the second step: is it zero?",
        state_of=_state_anew,
    ),
    _misstep(
        "eps-under-root",
        "Your AdamW adds eps to the second moment and takes the root of the sum.",
        "With gradients of 0.1 and eps = 0.1, is the denominator what the formula gives?",
        "common",
        denominator=lambda v, t, options: (v + options["eps"]).sqrt(),
    ),
    _misstep(
        "eps-fixed",
        "Your AdamW always uses an eps of 1e-8 and ignores the given one.",
        "Where does your step use the eps argument?",
        options_of=_constant(eps=1e-8),
    ),
    _misstep(
        "no-eps",
        "Your AdamW divides by the root of the second moment without eps, which is 0 / 0 where gradients are zero.",
        "What happens to an embedding row whose token was not in the batch?",
        denominator=lambda v, t, options: v.sqrt(),
    ),
    _misstep(
        "no-decay",
        "Your AdamW does not apply weight decay.",
        "With gradients of zero and weight_decay = 0.1, do the parameters shrink?",
        decay=_undecayed,
    ),
    _misstep(
        "skips-zero-gradients",
        "Your AdamW leaves out parameters whose gradient is zero everywhere, as if they had none.",
        "A gradient of zero still is one: what happens to m, v, t and the decay? Which parameters have `grad is None`?",
        gradient_of=_none_for_zero,
    ),
    _misstep(
        "decay-through-gradient",
        "Your AdamW adds the weight decay to the gradient, as Adam with L2 regularisation does.",
        "Does the decay enter the moments? What does the W in AdamW stand for?",
        "common",
        gradient_of=_coupled,
        decay=_undecayed,
    ),
    _misstep(
        "decay-without-rate",
        "Your AdamW multiplies parameters by 1 - weight_decay, without the learning rate.",
        "With lr = 0, should a parameter still shrink?",
        "common",
        decay=lambda theta, rate, options: theta * (1 - options["weight_decay"]),
    ),
    _misstep(
        "decay-with-corrected-rate",
        "Your AdamW multiplies weight decay by the bias-corrected rate alpha_t, not by lr.",
        "By which factor does a parameter shrink in the first step when its gradient is zero?",
        decay=lambda theta, rate, options: theta * (1 - rate * options["weight_decay"]),
    ),
    _misstep(
        "decay-grows",
        "Your AdamW's weight decay makes the parameters larger.",
        "With gradients of zero, do the parameters move towards 0?",
        "rare",
        decay=lambda theta, rate, options: theta * (1 + options["lr"] * options["weight_decay"]),
    ),
    _misstep(
        "decays-twice",
        "Your AdamW applies weight decay twice in every step.",
        "Both before and after the gradient step are right; are both there?",
        "rare",
        decay=lambda theta, rate, options: theta * (1 - options["lr"] * options["weight_decay"]) ** 2,
    ),
    _misstep(
        "moments-shared",
        "Your AdamW keeps one pair of moments for all parameters.",
        "Which key does `self.state[...]` have in your step: the parameter, or the same for all?",
        state_of=_shared_state,
        forms=[{"state_of": _shared_moments_counted_by_step}, {"state_of": _shared_moments_counted_apart}],
    ),
    _misstep(
        "count-rises-per-parameter",
        "Your AdamW counts a step for every parameter, so its bias corrections run ahead.",
        "With three parameters, what is t after one call of step?",
        state_of=_counted_by_optimizer,
        forms=[{"state_of": _counted_anew_by_group}],
    ),
    _misstep(
        "count-per-group",
        "Your AdamW counts steps per group, even for a parameter that had no gradient at some of them.",
        "A parameter gets its first gradient at the fifth step: how large is its first move?",
        state_of=_counted_by_group,
    ),
    _misstep(
        "none-as-zero",
        "Your AdamW treats a missing gradient as zero, so parameters that were not used decay and drift.",
        "What is the grad of a parameter that took no part in the loss: zero or None?",
        gradient_of=_zero_for_none,
    ),
    _misstep(
        "decays-without-gradient",
        "Your AdamW decays parameters that have no gradient.",
        "Does a frozen layer keep its weights while you train the others?",
        "rare",
        decays_without_gradient=True,
    ),
    _misstep(
        "rate-from-constructor",
        "Your AdamW takes the learning rate from its constructor, not from the parameter group.",
        _DEFAULT_HINT,
        "common",
        options_of=_with_default("lr"),
    ),
    _misstep(
        "rate-kept-from-first-step",
        "Your AdamW keeps a group's first learning rate, so a schedule changes nothing.",
        _DEFAULT_HINT,
        options_of=_first_seen_rate,
    ),
    _misstep(
        "decay-from-constructor",
        "Your AdamW takes the weight decay from its constructor, not from the parameter group.",
        "Put the gains of all norms into a group with weight_decay = 0: are they still decayed?",
        "common",
        options_of=_with_default("weight_decay"),
    ),
    _misstep(
        "betas-from-constructor",
        "Your AdamW takes betas from its constructor, not from the parameter group.",
        "Which of the options in a parameter group does your step read?",
        options_of=_with_default("betas"),
    ),
    _misstep(
        "first-group-only",
        "Your AdamW updates only the parameters of the first group.",
        "How many times does the outer loop of your step run when there are two groups?",
        groups=slice(1),
    ),
    _misstep(
        "state-outside-state",
        "Your AdamW keeps its moments outside `self.state`, so `state_dict` does not contain them.",
        "Print optimizer.state_dict()['state'] after a step: are the moments there?",
        state_of=_state_on_optimizer,
    ),
    _misstep(
        "loss-not-returned",
        "Your AdamW calls the closure but does not return its loss.",
        "What should `loss = optimizer.step(closure)` return?",
        "common",
        returns_loss=False,
    ),
    _misstep(
        "closure-not-called",
        "Your AdamW does not call the given closure.",
        "What does torch.optim.Optimizer.step use a closure for?",
        calls_closure=False,
    ),
    _misstep(
        "squares-gradients-in-place",
        "Your AdamW squares the gradients in place, so they have changed after the step.",
        "Print a parameter's grad before and after step: which of your operations end in an underscore?",
        moments=_square_in_place,
    ),
    _misstep(
        "zeroes-gradients",
        "Your AdamW sets the gradients to zero at the end of its step; this is the task of zero_grad.",
        "Who calls zero_grad in a training loop, and when?",
        afterwards=_zero_gradient,
    ),
    _misstep(
        "drops-gradients",
        "Your AdamW sets every grad to None at the end of its step; this is the task of zero_grad.",
        "Who calls zero_grad in a training loop, and when?",
        "rare",
        afterwards=_no_gradient,
    ),
    Misconception(
        id="adamw-reads-parameters-twice",
        problem="adamw",
        replaces={"optimizer.AdamW.__init__": _no_groups_init},
        diagnosis="Your AdamW iterates over the parameters before it passes them on, which uses up a generator.",
        hint="What does a second loop over `model.parameters()` see, when it is the same generator?",
        frequency="occasional",
    ),
    Misconception(
        id="adamw-no-optimizer",
        problem="adamw",
        replaces={"optimizer.AdamW": _PlainClass},
        diagnosis="Your AdamW does not derive from torch.optim.Optimizer, so PyTorch's schedulers do not accept it.",
        hint="What do the classes in torch.optim have in common?",
        frequency="rare",
    ),
    _misstep(
        "stops-at-none",
        "Your AdamW stops at the first parameter without a gradient, so the later ones are not updated.",
        "Set the gradient of the first of three parameters to None: do the other two move?",
        goes_on_after_none=False,
    ),
    _misstep(
        "needs-all-gradients",
        "Your AdamW fails when a parameter has no gradient (its grad is None).",
        "Which parameters of a model have no gradient after a backward pass that did not use them?",
        gradient_of=lambda theta, options: theta.grad * 1.0,
    ),
    _misstep(
        "second-moment-of-sizes",
        "Your AdamW averages the absolute values of the gradients, not their squares.",
        "The root needs a mean of squares: what do you add to v?",
        "rare",
        moments=_sizes,
    ),
    _misstep(
        "decay-rate-from-constructor",
        "Your AdamW decays with the constructor's learning rate, not with that of the parameter's group.",
        _DEFAULT_HINT,
        decay=_decay_at_first_rate,
        options_of=_with_constructor_rate,
    ),
    _misstep(
        "decays-matrices-only",
        "Your AdamW decays only parameters with two or more dimensions; the groups should decide which ones decay.",
        "Does a parameter of shape [5] shrink when its gradient is zero and weight_decay is not?",
        decay=_decay_of_matrices,
    ),
    _misstep(
        "betas-unpacked-backwards",
        "Your AdamW takes the two betas in the wrong order, both for the averages and for their corrections.",
        "Which of the two averages should have the longer memory?",
        options_of=lambda optimizer, group: {**group, "betas": group["betas"][::-1]},
    ),
)
