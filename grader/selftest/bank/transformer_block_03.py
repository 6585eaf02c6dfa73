import torch


def norm(x, g):
    return x * torch.rsqrt((x**2).mean(-1, keepdim=True) + 1e-5) * g


def rotate(x, theta):
    seq, d = x.shape[-2:]
    angle = torch.arange(seq, dtype=torch.float64).outer(theta ** (-torch.arange(0, d, 2, dtype=torch.float64) / d))
    z = torch.view_as_complex(x.double().contiguous().unflatten(-1, (-1, 2)))
    z = z * torch.polar(torch.ones_like(angle), angle).to(x.device)
    return torch.view_as_real(z).flatten(-2).to(x.dtype)


def attend(x, w, heads, theta):
    seq = x.shape[-2]
    q, k, v = ((x @ w[f"attn.{n}_proj.weight"].T).unflatten(-1, (heads, -1)).transpose(-2, -3) for n in "qkv")
    q, k = rotate(q, theta), rotate(k, theta)
    s = q @ k.mT / q.shape[-1] ** 0.5
    s = s.masked_fill(torch.ones(seq, seq, dtype=torch.bool, device=x.device).triu(1), -torch.inf)
    p = (s - s.amax(-1, keepdim=True)).exp()
    p = p / p.sum(-1, keepdim=True)
    return (p @ v).transpose(-2, -3).flatten(-2) @ w["attn.output_proj.weight"].T


def feed_forward(x, w):
    a = x @ w["ffn.w1.weight"].T
    return (a * a.sigmoid() * (x @ w["ffn.w3.weight"].T)) @ w["ffn.w2.weight"].T


def run_transformer_block(d_model, num_heads, d_ff, max_seq_len, theta, weights, in_features):
    if d_model % num_heads:
        raise ValueError(f"{num_heads} heads do not divide {d_model} features")
    x = in_features
    a = attend(norm(x, weights["ln1.weight"]), weights, num_heads, theta)
    f = feed_forward(norm(x, weights["ln2.weight"]), weights)
    return x + a + f
