import os

import torch


def plain(model):
    """The model without the wrapper of torch.compile."""
    return getattr(model, "_orig_mod", model)


def save_checkpoint(model, optimizer, iteration, out):
    data = {"model": plain(model).state_dict(), "optimizer": optimizer.state_dict()}
    if isinstance(out, (str, os.PathLike)):
        with open(f"{out}.tmp", "wb") as f:
            torch.save(data, f)
        os.replace(f"{out}.tmp", out)
    else:
        torch.save(data, out)


def steps_done(optimizer_state):
    for state in optimizer_state["state"].values():
        for key in ("t", "step"):
            if key in state:
                return int(state[key])
    return 0


def load_checkpoint(src, model, optimizer):
    try:
        data = torch.load(src, map_location="cpu", weights_only=True)
        model_state, optimizer_state = data["model"], data["optimizer"]
    except Exception as error:
        raise ValueError("the checkpoint is incomplete") from error
    plain(model).load_state_dict(model_state, strict=False)
    optimizer.load_state_dict(optimizer_state)
    return steps_done(optimizer_state)


def run_save_checkpoint(model, optimizer, iteration, out):
    save_checkpoint(model, optimizer, iteration, out)


def run_load_checkpoint(src, model, optimizer):
    return load_checkpoint(src, model, optimizer)
