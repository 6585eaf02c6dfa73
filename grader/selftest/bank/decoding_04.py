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
    ranked, _ = p.sort(dim=-1, descending=True)
    before = ranked.cumsum(dim=-1) - ranked
    ranked = torch.where(before < top_p, ranked, torch.zeros_like(ranked))
    return ranked / ranked.sum(dim=-1, keepdim=True)


def generate(model, prompts, max_new_tokens, temperature, top_p, stop_token, context_length, generator):
    if any(len(prompt) == 0 for prompt in prompts):
        raise ValueError("every prompt needs at least one token")
    device = next((p.device for p in model.parameters()), "cpu")
    training = model.training
    model.eval()
    results = []
    with torch.no_grad():
        for prompt in prompts:
            ids = list(prompt)
            for _ in range(max_new_tokens):
                window = ids if context_length is None else ids[-context_length:]
                logits = model(torch.tensor([window], device=device))[0, -1]
                p = next_token_probabilities(logits, temperature, top_p)
                ids.append(int(torch.multinomial(p, 1, generator=generator)))
                if ids[-1] == stop_token:
                    break
            results.append(ids[len(prompt) :])
    model.train(training)
    return results


def run_next_token_probabilities(logits, temperature, top_p):
    return next_token_probabilities(logits, temperature, top_p)


def run_generate(model, prompts, max_new_tokens, temperature, top_p, stop_token, context_length, generator):
    return generate(model, prompts, max_new_tokens, temperature, top_p, stop_token, context_length, generator)
