import os

import torch


def save_checkpoint(model, optimizer, iteration, out):
    model = getattr(model, "_orig_mod", model)
    content = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "iteration": iteration}
    if not isinstance(out, (str, os.PathLike)):
        torch.save(content, out)
        return
    temporary = os.fspath(out) + "~"
    torch.save(content, temporary)
    os.replace(temporary, out)


def load_checkpoint(src, model, optimizer):
    model = getattr(model, "_orig_mod", model)
    try:
        content = torch.load(src, weights_only=False)
        states = content["model"], content["optimizer"]
        iteration = content["iteration"]
    except Exception as error:
        raise ValueError("This is not a complete checkpoint.") from error
    model.load_state_dict(states[0])
    optimizer.load_state_dict(states[1])
    return iteration


def run_save_checkpoint(model, optimizer, iteration, out):
    save_checkpoint(model, optimizer, iteration, out)


def run_load_checkpoint(src, model, optimizer):
    return load_checkpoint(src, model, optimizer)
