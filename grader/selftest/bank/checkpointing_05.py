import torch


def plain(model):
    """The model without the wrapper of torch.compile."""
    return getattr(model, "_orig_mod", model)


def save_checkpoint(model, optimizer, iteration, out):
    state = plain(model).state_dict()
    weights = {name: t.half() if t.is_floating_point() else t for name, t in state.items()}
    torch.save({"weights": weights, "optimizer": optimizer.state_dict(), "iteration": iteration}, out)


def load_checkpoint(src, model, optimizer):
    try:
        saved = torch.load(src, map_location="cpu", weights_only=True)
        weights, optimizer_state, iteration = saved["weights"], saved["optimizer"], saved["iteration"]
    except Exception as error:
        raise ValueError("unreadable checkpoint") from error
    plain(model).load_state_dict(weights)
    optimizer.load_state_dict(optimizer_state)
    return iteration


def run_save_checkpoint(model, optimizer, iteration, out):
    save_checkpoint(model, optimizer, iteration, out)


def run_load_checkpoint(src, model, optimizer):
    return load_checkpoint(src, model, optimizer)
