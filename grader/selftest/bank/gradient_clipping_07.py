def gradient_clipping(parameters, max_l2_norm):
    grads = [p.grad for p in parameters if p.grad is not None]
    norm = sum((g.float() ** 2).sum().item() for g in grads) ** 0.5
    if norm > max_l2_norm:
        for g in grads:
            g.clamp_(-max_l2_norm, max_l2_norm)


def run_gradient_clipping(parameters, max_l2_norm):
    gradient_clipping(parameters, max_l2_norm)
