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
    s = s / s.sum(-1, keepdim=True)
    return torch.zeros_like(p).scatter(-1, idx, s)


@torch.no_grad()
def generate(model, prompts, max_new_tokens, temperature, top_p, stop_token, context_length, generator):
    if any(len(prompt) == 0 for prompt in prompts):
        raise ValueError("empty prompt")
    was_training = model.training
    model.eval()
    device = next((p.device for p in model.parameters()), "cpu")
    longest = max(len(prompt) for prompt in prompts)
    rows = [[0] * (longest - len(prompt)) + list(prompt) for prompt in prompts]
    tokens = torch.tensor(rows, device=device)
    for _ in range(max_new_tokens):
        window = tokens if context_length is None else tokens[:, -context_length:]
        probabilities = next_token_probabilities(model(window)[:, -1], temperature, top_p)
        new = torch.multinomial(probabilities, 1, generator=generator)
        tokens = torch.cat([tokens, new], dim=1)
        if stop_token is not None and (new == stop_token).any():
            break
    model.train(was_training)
    return tokens[:, longest:].tolist()


def run_next_token_probabilities(logits, temperature, top_p):
    return next_token_probabilities(logits, temperature, top_p)


def run_generate(model, prompts, max_new_tokens, temperature, top_p, stop_token, context_length, generator):
    return generate(model, prompts, max_new_tokens, temperature, top_p, stop_token, context_length, generator)
