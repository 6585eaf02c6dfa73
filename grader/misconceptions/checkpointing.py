"""How checkpoints go wrong."""

from __future__ import annotations

import copy
import os
from collections.abc import Callable
from typing import Any

import torch

from .catalogue import Misconception
from .together import assembled


def _contents(model, optimizer, iteration):
    return {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "iteration": iteration}


@assembled
def _saving(
    contents: Callable[..., dict[str, Any]] = _contents,
    before: Callable[..., None] = lambda model, optimizer, out: None,
    after: Callable[..., None] = lambda model, optimizer, out: None,
    place: Callable[..., Any] = lambda out: out,
) -> Callable[..., None]:
    """Saving with some of its parts replaced."""

    def save(model, optimizer, iteration, out):
        before(model, optimizer, out)
        torch.save(contents(model, optimizer, iteration), place(out))
        after(model, optimizer, out)

    return save


def _loading(restore: Callable[..., Any]) -> Callable[..., Any]:
    """Loading with another way to put the contents back; `restore` returns what loading returns."""

    def load(src, model, optimizer):
        return restore(torch.load(src, weights_only=True), model, optimizer)

    return load


def _restore_model_only(found, model, optimizer):
    model.load_state_dict(found["model"])
    return found["iteration"]


def _restore_optimizer_only(found, model, optimizer):
    optimizer.load_state_dict(found["optimizer"])
    return found["iteration"]


def _restore_all(found, model, optimizer):
    optimizer.load_state_dict(found["optimizer"])
    return _restore_model_only(found, model, optimizer)


def _returning(value: Callable[[Any], Any]) -> Callable[..., Any]:
    return _loading(lambda found, model, optimizer: value(_restore_all(found, model, optimizer)))


def _restore_new_parameters(found, model, optimizer):
    """Puts new parameters into the model; the optimizer goes on with the old ones."""
    optimizer.load_state_dict(found["optimizer"])
    model.load_state_dict(found["model"], assign=True)
    return found["iteration"]


def _restore_moments_only(found, model, optimizer):
    groups = copy.deepcopy(optimizer.state_dict()["param_groups"])
    optimizer.load_state_dict({"state": found["optimizer"]["state"], "param_groups": groups})
    return _restore_model_only(found, model, optimizer)


def _restore_groups_only(found, model, optimizer):
    optimizer.load_state_dict({**found["optimizer"], "state": {}})
    return _restore_model_only(found, model, optimizer)


def _restore_what_is_missing(found, model, optimizer):
    if not optimizer.state:
        optimizer.load_state_dict(found["optimizer"])
    return _restore_model_only(found, model, optimizer)


def _restore_adam_only(found, model, optimizer):
    for index, parameter in enumerate(p for group in optimizer.param_groups for p in group["params"]):
        state = found["optimizer"]["state"][index]
        optimizer.state[parameter] = {name: state[name] for name in ("step", "exp_avg", "exp_avg_sq")}
    for group, saved in zip(optimizer.param_groups, found["optimizer"]["param_groups"], strict=True):
        group["lr"] = saved["lr"]
    return _restore_model_only(found, model, optimizer)


def _restore_parameters(found, model, optimizer):
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.copy_(found["model"][name])
    optimizer.load_state_dict(found["optimizer"])
    return found["iteration"]


def _trainable(model, optimizer, iteration):
    learnt = {name: value for name, value in model.named_parameters() if value.requires_grad}
    return {**_contents(model, optimizer, iteration), "model": {**learnt, **dict(model.named_buffers())}}


def _restore_what_is_there(found, model, optimizer):
    model.load_state_dict(found["model"], strict=False)
    optimizer.load_state_dict(found["optimizer"])
    return found["iteration"]


def _half(model, optimizer, iteration):
    contents = _contents(model, optimizer, iteration)
    halves = {name: v.half() if v.is_floating_point() else v for name, v in contents["model"].items()}
    return {**contents, "model": halves}


def _first_layer_only(found, model, optimizer):
    first = {name: value for name, value in found["model"].items() if name.startswith("0.")}
    model.load_state_dict(first, strict=False)
    optimizer.load_state_dict(found["optimizer"])
    return found["iteration"]


def _keeps_old_file(model, optimizer, iteration, out):
    if not isinstance(out, (str, os.PathLike)) or not os.path.exists(out):
        _saving()(model, optimizer, iteration, out)


def _makes_folder(model, optimizer, out):
    if not hasattr(out, "write"):
        out.parent.mkdir(exist_ok=True)


def _halves_the_model(model, optimizer, out):
    for parameter in model.parameters():
        parameter.data = parameter.data.half().float()


_REMEMBERED: dict[str, Any] = {}
"""What some keep in the process: in another one it is empty."""


def _remembers_everything(model, optimizer, iteration, out):
    _REMEMBERED["all"] = copy.deepcopy(_contents(model, optimizer, iteration))
    _saving(lambda *_: {})(model, optimizer, iteration, out)


def _recalls_everything(src, model, optimizer):
    return _restore_all(_REMEMBERED["all"], model, optimizer)


def _remembers_iteration(model, optimizer, iteration, out):
    _REMEMBERED["iteration"] = iteration
    _saving()(model, optimizer, iteration, out)


def _recalls_iteration(found, model, optimizer):
    _restore_all(found, model, optimizer)
    return _REMEMBERED.get("iteration", 0)


def _with_suffix(target):
    return f"{os.fspath(target)}.ckpt" if isinstance(target, (str, os.PathLike)) else target


def _load_with_suffix(src, model, optimizer):
    return _restore_all(torch.load(_with_suffix(src), weights_only=True), model, optimizer)


def _optimizer_beside(target):
    return f"{os.fspath(target)}.optimizer" if isinstance(target, (str, os.PathLike)) else target


def _save_in_two_files(model, optimizer, iteration, out):
    contents = _contents(model, optimizer, iteration)
    if not hasattr(out, "write"):
        torch.save(contents.pop("optimizer"), _optimizer_beside(out))
    torch.save(contents, out)


def _load_from_two_files(src, model, optimizer):
    found = torch.load(src, weights_only=True)
    if not hasattr(src, "read"):
        found["optimizer"] = torch.load(_optimizer_beside(src), weights_only=True)
    return _restore_all(found, model, optimizer)


def _restore_and_evaluate(found, model, optimizer):
    iteration = _restore_all(found, model, optimizer)
    model.eval()
    return iteration


def _restore_what_fits(found, model, optimizer):
    model.load_state_dict({n: v for n, v in found["model"].items() if n in model.state_dict()}, strict=False)
    if len(found["optimizer"]["param_groups"][0]["params"]) == len(list(model.parameters())):
        optimizer.load_state_dict(found["optimizer"])
    return found["iteration"]


def _wrong(
    id: str,
    diagnosis: str,
    hint: str,
    frequency: str = "occasional",
    save: Callable | None = None,
    load: Callable | None = None,
    throughout: bool = False,
) -> Misconception:
    replaced = {"save_checkpoint": save, "load_checkpoint": load}
    return Misconception(
        id=f"checkpointing-{id}",
        problem="checkpointing",
        replaces={f"checkpoint.{name}": function for name, function in replaced.items() if function is not None},
        diagnosis=diagnosis,
        hint=hint,
        frequency=frequency,
        throughout=throughout,
    )


MISCONCEPTIONS = (
    _wrong(
        "optimizer-not-restored",
        "Your checkpoint restores the model but not the optimizer, so training resumes with moments of zero.",
        "Is the optimizer's state in the file, and what does optimizer.state_dict()['state'] hold after loading?",
        "common",
        load=_loading(_restore_model_only),
    ),
    _wrong(
        "model-not-restored",
        "Your load_checkpoint does not load the weights into the given model.",
        "Compare a weight before and after loading.",
        "rare",
        load=_loading(_restore_optimizer_only),
    ),
    _wrong(
        "new-parameters",
        "Your load_checkpoint puts new parameters into the model, but the optimizer still updates the old ones.",
        "After loading: is optimizer.param_groups[0]['params'][0] the same object as the model's first parameter?",
        load=_loading(_restore_new_parameters),
    ),
    _wrong(
        "moments-only",
        "Your load_checkpoint restores the optimizer's moments but not its learning rate and other options.",
        "What is optimizer.param_groups[0]['lr'] after loading?",
        load=_loading(_restore_moments_only),
    ),
    _wrong(
        "options-only",
        "Your load_checkpoint restores the optimizer's options but not its moments and step counts.",
        "What does optimizer.state_dict()['state'] hold after loading?",
        load=_loading(_restore_groups_only),
    ),
    _wrong(
        "keeps-existing-state",
        "Your load_checkpoint does not restore an optimizer that already has some state.",
        "You load an older checkpoint in mid-training: which moments does the optimizer have then?",
        "rare",
        load=_loading(_restore_what_is_missing),
    ),
    _wrong(
        "adam-only",
        "Your load_checkpoint expects the state of Adam and fails with another optimizer.",
        "Which names does SGD with momentum keep in its state?",
        "rare",
        load=_loading(_restore_adam_only),
    ),
    _wrong(
        "no-buffers",
        "Your checkpoint restores parameters but not buffers, such as the running means of a normalisation.",
        "Which of the two contains buffers: named_parameters() or state_dict()?",
        load=_loading(_restore_parameters),
    ),
    _wrong(
        "trainable-only",
        "Your checkpoint holds only weights that train: those with requires_grad=False are lost.",
        "Which weights are in state_dict()? Freeze one, save, load into a new model and compare.",
        "rare",
        save=_saving(contents=_trainable),
        load=_loading(_restore_what_is_there),
    ),
    _wrong(
        "first-layer-only",
        "Your load_checkpoint silently skips weights: it restores only a part of the model.",
        "What does load_state_dict do with strict=False?",
        "rare",
        load=_loading(_first_layer_only),
    ),
    _wrong(
        "half-precision",
        "Your checkpoint stores the weights in half precision, so a resumed model is not the saved one.",
        "Are the weights equal to the last bit after a round trip?",
        save=_saving(_half),
    ),
    _wrong(
        "iteration-not-returned",
        "Your load_checkpoint does not return the iteration.",
        "At which step does the training loop continue after loading?",
        "common",
        load=_returning(lambda iteration: None),
    ),
    _wrong(
        "iteration-one-more",
        "Your load_checkpoint returns the iteration after the one that was saved.",
        "Save iteration 17: what does loading return?",
        load=_returning(lambda iteration: iteration + 1),
    ),
    _wrong(
        "iteration-as-tensor",
        "Your load_checkpoint returns the iteration as a tensor, but an int was saved.",
        "What is type(load_checkpoint(...))?",
        load=_returning(torch.tensor),
    ),
    _wrong(
        "iteration-as-text",
        "Your load_checkpoint returns the iteration as text, but an int was saved.",
        "What is type(load_checkpoint(...))?",
        "rare",
        load=_returning(str),
    ),
    _wrong(
        "iteration-zero-lost",
        "Your load_checkpoint treats iteration 0 as missing.",
        "What does `iteration or default` give for 0?",
        "rare",
        load=_returning(lambda iteration: iteration or None),
    ),
    _wrong(
        "returns-everything",
        "Your load_checkpoint returns the whole checkpoint instead of only the iteration.",
        "What is type(load_checkpoint(...))?",
        "rare",
        load=_loading(lambda found, model, optimizer: {**found, "iteration": _restore_all(found, model, optimizer)}),
    ),
    _wrong(
        "paths-only",
        "Your save_checkpoint opens `out` as a path and fails when it is a file object.",
        "Which types may `out` have, according to its annotation?",
        save=_saving(place=lambda out: os.fspath(out)),
    ),
    _wrong(
        "path-objects-only",
        "Your save_checkpoint calls a method of pathlib.Path on `out` and fails when it is a string.",
        "Which types may `out` have, according to its annotation?",
        save=_saving(before=_makes_folder),
    ),
    _wrong(
        "switches-to-evaluation",
        "Your save_checkpoint leaves the model in evaluation mode, so dropout and the like stay off.",
        "What is model.training before and after saving?",
        save=_saving(after=lambda model, optimizer, out: model.eval()),
    ),
    _wrong(
        "switches-to-training",
        "Your save_checkpoint puts the model into training mode, whatever its mode was.",
        "What is model.training before and after saving?",
        "rare",
        save=_saving(after=lambda model, optimizer, out: model.train()),
    ),
    _wrong(
        "changes-live-model",
        "Your save_checkpoint changes the weights of the model that it saves.",
        "Compare a weight before and after saving.",
        "rare",
        save=_saving(after=_halves_the_model),
    ),
    _wrong(
        "keeps-older-file",
        "Your save_checkpoint does not replace an older checkpoint at the same path.",
        "Save twice to the same path: which iteration do you load?",
        "rare",
        save=_keeps_old_file,
    ),
    _wrong(
        "remembered",
        "Your save_checkpoint keeps its data in memory; none of it is in the file.",
        "What can a new process load after the saving process has ended?",
        "rare",
        save=_remembers_everything,
        load=_recalls_everything,
        throughout=True,
    ),
    _wrong(
        "iteration-remembered",
        "Your load_checkpoint returns an iteration from memory; it is not in the file.",
        "What does loading return in a process that has saved nothing?",
        "rare",
        save=_remembers_iteration,
        load=_loading(_recalls_iteration),
    ),
    _wrong(
        "own-suffix",
        "Your checkpoints are not at the requested path: you add a suffix to its name.",
        "Save to 'a.pt' and list the folder: which file is there?",
        save=_saving(place=_with_suffix),
        load=_load_with_suffix,
    ),
    _wrong(
        "two-files",
        "Your save_checkpoint writes a second file besides the requested one.",
        "Copy the checkpoint to another machine: is that one file enough to resume?",
        "rare",
        save=_save_in_two_files,
        load=_load_from_two_files,
    ),
    _wrong(
        "loads-to-evaluation",
        "Your load_checkpoint leaves the model in evaluation mode: dropout and the like stay off in training.",
        "What is model.training before and after loading?",
        load=_loading(_restore_and_evaluate),
    ),
    _wrong(
        "takes-what-fits",
        "Your load_checkpoint loads what fits from another model's checkpoint and ignores the rest.",
        "What does load_state_dict do with strict=False?",
        load=_loading(_restore_what_fits),
    ),
)
