def run_train_bpe(input_path, vocab_size, special_tokens):
    raise NotImplementedError("train_bpe: write train_bpe in tokenizer.py")


def run_get_lr_cosine_schedule(it, max_learning_rate, min_learning_rate, warmup_iters, cosine_cycle_iters):
    if it < warmup_iters:
        return it / warmup_iters * max_learning_rate
    raise NotImplementedError


def run_gradient_clipping(parameters, max_l2_norm):
    from tensor_recipes import clip_by_norm

    clip_by_norm(parameters, max_l2_norm)
