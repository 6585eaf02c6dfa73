import os

import torch


def save_checkpoint(model, optimizer, iteration, out):
    weights = [p.detach().clone() for p in model.parameters()]
    payload = (weights, optimizer.state_dict(), iteration)
    if isinstance(out, (str, os.PathLike)):
        partial = os.fspath(out) + ".part"
        torch.save(payload, partial)
        os.replace(partial, out)
    else:
        torch.save(payload, out)


def load_checkpoint(src, model, optimizer):
    try:
        weights, optimizer_state, iteration = torch.load(src, map_location="cpu", weights_only=True)
    except Exception as error:
        raise ValueError(f"{src} is not a complete checkpoint") from error
    params = list(model.parameters())
    if [p.shape for p in params] != [w.shape for w in weights]:
        raise RuntimeError("the checkpoint belongs to another model")
    with torch.no_grad():
        for p, w in zip(params, weights, strict=True):
            p.copy_(w)
    optimizer.load_state_dict(optimizer_state)
    return iteration


def run_save_checkpoint(model, optimizer, iteration, out):
    save_checkpoint(model, optimizer, iteration, out)


def run_load_checkpoint(src, model, optimizer):
    return load_checkpoint(src, model, optimizer)
