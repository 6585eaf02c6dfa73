from layers import linear, silu, swiglu


def run_linear(d_in, d_out, weights, in_features):
    return linear(weights, in_features)


def run_silu(in_features):
    return silu(in_features)


def run_swiglu(d_model, d_ff, w1_weight, w2_weight, w3_weight, in_features):
    return swiglu(w1_weight, w2_weight, w3_weight, in_features)
