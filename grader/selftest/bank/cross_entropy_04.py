import torch


def cross_entropy(logits, targets):
    vocab = logits.size(-1)
    if logits.dtype in (torch.float16, torch.bfloat16):
        logits = logits.float()
    logits = logits.reshape(-1, vocab)
    targets = targets.reshape(-1, 1)
    largest, _ = logits.max(dim=-1, keepdim=True)
    log_sum = torch.log(torch.sum(torch.exp(logits - largest), dim=-1))
    target_logit = logits.gather(1, targets).squeeze(1)
    return torch.mean(log_sum - target_logit)


def run_cross_entropy(inputs, targets):
    return cross_entropy(inputs, targets)
