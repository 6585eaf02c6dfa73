import os

import torch


def plain(model):
    """The model without the wrapper of torch.compile."""
    return getattr(model, "_orig_mod", model)


def save_checkpoint(model, optimizer, iteration, out):
    obj = {
        "model": plain(model).state_dict(),
        "optimizer": optimizer.state_dict()["param_groups"],
        "iteration": iteration,
    }
    if isinstance(out, (str, os.PathLike)):
        tmp = str(out) + ".tmp"
        torch.save(obj, tmp)
        os.replace(tmp, out)
    else:
        torch.save(obj, out)


def load_checkpoint(src, model, optimizer):
    try:
        obj = torch.load(src, map_location="cpu", weights_only=True)
        weights, groups, iteration = obj["model"], obj["optimizer"], obj["iteration"]
    except Exception as error:
        raise ValueError("not a complete checkpoint") from error
    plain(model).load_state_dict(weights)
    state = optimizer.state_dict()
    state["param_groups"] = groups
    optimizer.load_state_dict(state)
    return iteration


def run_save_checkpoint(model, optimizer, iteration, out):
    save_checkpoint(model, optimizer, iteration, out)


def run_load_checkpoint(src, model, optimizer):
    return load_checkpoint(src, model, optimizer)
