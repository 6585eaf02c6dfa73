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
def generate(model, prompts, max_new_tokens, temperature, top_p, stop_token, context_length, generator):
    if any(len(prompt) == 0 for prompt in prompts):
        raise ValueError("a prompt is empty")
    model.eval()
    device = next((p.device for p in model.parameters()), "cpu")
    outputs = []
    for prompt in prompts:
        ids = torch.tensor(prompt, device=device)
        for _ in range(max_new_tokens):
            window = ids if context_length is None else ids[-context_length:]
            p = next_token_probabilities(model(window[None])[0, -1], temperature, top_p)
            token = torch.multinomial(p, 1)
            ids = torch.cat([ids, token])
            if stop_token is not None and token.item() == stop_token:
                break
        outputs.append(ids[len(prompt) :].tolist())
    return outputs


def run_next_token_probabilities(logits, temperature, top_p):
    return next_token_probabilities(logits, temperature, top_p)


def run_generate(model, prompts, max_new_tokens, temperature, top_p, stop_token, context_length, generator):
    return generate(model, prompts, max_new_tokens, temperature, top_p, stop_token, context_length, generator)
