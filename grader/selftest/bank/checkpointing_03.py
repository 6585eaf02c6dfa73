import os

import torch


def plain(model):
    """The model without the wrapper of torch.compile."""
    return getattr(model, "_orig_mod", model)


def run_save_checkpoint(model, optimizer, iteration, out):
    checkpoint = dict(model=plain(model).state_dict(), optim=optimizer.state_dict(), it=iteration)
    if isinstance(out, (str, os.PathLike)):
        torch.save(checkpoint, f"{out}.new")
        os.replace(f"{out}.new", out)
    else:
        torch.save(checkpoint, out)


def run_load_checkpoint(src, model, optimizer):
    try:
        checkpoint = torch.load(src, map_location="cpu", weights_only=True)
        model_state, optim_state, it = checkpoint["model"], checkpoint["optim"], checkpoint["it"]
    except Exception as e:
        raise ValueError("cannot read the checkpoint") from e
    plain(model).load_state_dict(model_state)
    optimizer.load_state_dict(optim_state)
    return it + 1
