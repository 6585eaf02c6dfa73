import torch


def next_token_probabilities(logits, temperature=1.0, top_p=1.0):
    if not temperature >= 0:
        raise ValueError("the temperature has to be 0 or more")
    if not 0 < top_p <= 1:
        raise ValueError("top_p has to be above 0 and at most 1")
    logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
    if temperature == 0:
        return torch.zeros_like(logits).scatter_(-1, logits.argmax(-1, keepdim=True), 1.0)
    p = torch.exp((logits - logits.amax(-1, keepdim=True)) / temperature)
    p = p / p.sum(-1, keepdim=True)
    if top_p == 1:
        return p
    s, idx = p.sort(dim=-1, descending=True, stable=True)
    s = s.masked_fill(s.cumsum(-1) - s >= top_p, 0.0)
    return torch.zeros_like(p).scatter(-1, idx, s / s.sum(-1, keepdim=True))


@torch.no_grad()
def continue_one(model, prompt, max_new_tokens, temperature, top_p, stop_token, context_length, generator):
    device = next((p.device for p in model.parameters()), "cpu")
    ids = list(prompt)
    new = []
    while len(new) < max_new_tokens:
        window = ids[:context_length]
        logits = model(torch.tensor([window], device=device))[0, -1]
        p = next_token_probabilities(logits, temperature, top_p)
        token = int(torch.multinomial(p, 1, generator=generator))
        ids.append(token)
        new.append(token)
        if token == stop_token:
            break
    return new


def generate(model, prompts, *settings):
    if not all(len(p) > 0 for p in prompts):
        raise ValueError("a prompt is empty")
    training = model.training
    model.eval()
    try:
        return [continue_one(model, prompt, *settings) for prompt in prompts]
    finally:
        model.train(training)


def run_next_token_probabilities(logits, temperature, top_p):
    return next_token_probabilities(logits, temperature, top_p)


def run_generate(model, prompts, max_new_tokens, temperature, top_p, stop_token, context_length, generator):
    return generate(model, prompts, max_new_tokens, temperature, top_p, stop_token, context_length, generator)
