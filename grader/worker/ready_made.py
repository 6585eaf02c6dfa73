"""The from-scratch rule: which names of which libraries the assignment lets nobody use, and in which problems.

The assignment's words: nothing from torch.nn, torch.nn.functional or torch.optim but Parameter, Module and the
containers of torch.nn, and the base class torch.optim.Optimizer; anything else of PyTorch may be used. Read as here:

- `torch.nn.init` is allowed, and so is what only wraps modules (`torch.nn.parallel`, `Identity`).
- The operators behind those namespaces under another name (`torch.rms_norm`, `torch.embedding`, `torch._C._nn.silu`,
  `torch.ops.aten.scaled_dot_product_attention`, `torch._decomp.decompositions.silu`) are the same thing.
  `torch.sigmoid`, `einsum`, `logsumexp`, `rsqrt` and their like are building blocks and no finding anywhere.
- A ready-made softmax is a finding in the problem that asks for one; elsewhere `torch.softmax` is allowed.
  That includes `torch.log_softmax` in cross_entropy: like `logsumexp`, it is a step of the loss and not the loss.
- A ready-made piece costs the points of the problem that asks for this piece. In other problems (`F.softmax` in
  attention, `nn.Linear` in the Transformer), and where it is a piece of none (`F.pad`, `F.one_hot`), it is mentioned.
- Ready-made tokenizers are findings in the two problems about tokenizers; `GradScaler` is one in the lab's `precision`,
  and `torch._scaled_mm` in its `fp8`. Types such as bfloat16 are none: they round, but to few of the formats asked for.
- Whatever ends the watch for ready-made code, and a program in a text for TorchScript, is mentioned.
- Checkpointing handles models and optimizers that are PyTorch's own; nothing of torch is a finding there.

Pure, and without torch: the worker asks it what to look for, the judge what a name means.
"""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass

TOKENIZER_PACKAGES = frozenset(
    {
        *("tiktoken", "tokenizers", "transformers", "sentencepiece", "rustbpe", "bpeasy", "minbpe"),
        *("youtokentome", "tokenmonster"),
    }
)
MODEL_PACKAGES = frozenset(
    {"transformers", "flash_attn", "xformers", "apex", "liger_kernel", "x_transformers", "torchtune", "fairseq"}
)

TOKENIZER_PROBLEMS = frozenset({"train_bpe", "tokenizer"})
_OWN_OBJECTS = frozenset({"checkpointing"})
"""Problems whose model and optimizer the tests bring along."""


@dataclass(frozen=True)
class Rule:
    """What is wrong with a use.

    id: stable, for reports; says: the rule in a sentence; ready_made: whether the use replaces what this problem asks
    for (that may cost its points), or breaks the rule beside it (that is mentioned).
    """

    id: str
    says: str
    ready_made: bool = True


_NN = "the assignment allows Parameter, Module and containers of torch.nn, and torch.nn.init"
_FUNCTIONAL = "the assignment allows nothing from torch.nn.functional"
_OPTIM = "the assignment allows only the base class Optimizer of torch.optim"
_OPERATOR = "this operator is a ready-made piece of the assignment under another name"
_SOFTMAX = "this problem asks for a softmax of your own"
_TOKENIZER = "this problem asks for a tokenizer of your own"
_SCALER = "this problem asks for loss scaling of your own"
_SCALED_PRODUCT = "this problem asks for a product with scales of your own"
_SHUT_EYES = "this ends the watch for ready-made code, so that what ran afterwards is not known"
_SCRIPT = "a program in a text for TorchScript, which cannot be looked into, may hold ready-made pieces"
_LIBRARY = "this library holds ready-made pieces of the assignment"

_ALLOWED_CLASSES = frozenset(
    {
        *("Parameter", "Buffer", "Module", "ModuleList", "ModuleDict", "Sequential", "ParameterList", "ParameterDict"),
        *("Container", "UninitializedParameter", "UninitializedBuffer", "Identity", "DataParallel"),
    }
)
_NO_FUNCTIONS = frozenset(
    {"_parse_to", "math", "np", "warnings", "importlib", "dataclasses", "grad", "boolean_dispatch"}
)
"""Names that torch.nn.functional only imports, and what `Module.to` reads its arguments with."""

_ATTENTION_OF_THE_LAB = (
    *("qk_norm", "grouped_query_attention", "windowed_attention"),
    *("interleaved_attention", "online_attention", "kv_cache", "relative_positions", "alibi"),
    *("stability", "model_families"),
)
# Which problems ask for what a name of torch stands for, by the first pattern that is found in it. Elsewhere a
# ready-made piece breaks the rule as well, but what that problem asks for may still be the student's own.
_PIECES: tuple[tuple[re.Pattern[str], frozenset[str]], ...] = tuple(
    (re.compile(pattern, re.IGNORECASE), frozenset(problems))
    for pattern, problems in (
        (r"upsampl|gumbel", ()),
        (
            r"transformer",
            ("multihead_self_attention", "transformer_block", "transformer_lm", "norm_placement", "model_families"),
        ),
        (r"attention", ("scaled_dot_product_attention", "multihead_self_attention", *_ATTENTION_OF_THE_LAB)),
        (r"cross_entropy|loss|entropy|nll|kl_div", ("cross_entropy", "stability")),
        (r"softm", ("softmax",)),
        (r"silu|glu", ("positionwise_feedforward", "gated_ffn")),
        (r"relu|elu", ("activations",)),
        (r"linear|conv", ("linear",)),
        (r"embedding", ("embedding", "learned_positions")),
        (r"norm", ("rmsnorm", "layernorm")),
    )
)
_WITH_PIECES = frozenset(
    {"adamw", "gradient_clipping", "learning_rate_schedule", "tokenizer", "precision", "fp8"}.union(
        *(problems for _, problems in _PIECES)
    )
)
_CLIPPING = frozenset(
    {"clip_grad_norm", "clip_grad_norm_", "clip_grad_value_", "clip_grads_with_norm_", "get_total_norm"}
)

_ENDS_THE_WATCH = frozenset({"sys.setprofile", "threading.setprofile", "threading.setprofile_all_threads"})

_SOFTMAX_NAMES = re.compile(r"_?(?:special_|safe_|sparse_|masked_)?(?:log_)?softmax|softmin")
_SCALED_PRODUCTS = re.compile(r"_?scaled_(?:grouped_)?mm\w*")
_OPERATORS = re.compile(
    r"_?(?:native_|fused_)?(?:rms|layer|group|batch|instance)_norm(?:_.*)?"
    r"|_?embedding(?:_bag)?|linear|bilinear|silu_?|glu"
    r"|_?(?:native_)?(?:scaled_dot_product|multi_head)\w*_?attention\w*|_transformer_encoder_layer_fwd"
    r"|cross_entropy\w*|nll_loss\w*|kl_div|\w+_loss|binary_cross_entropy\w*"
    r"|_fused_(?:adamw?|sgd|adagrad)_"
)

_OTHER_NAMES = (
    # (pattern of a dotted name, what it is another name for)
    (r"torch\.(?:[\w.]+\.)?F\.", "torch.nn.functional."),
    (r"torch\.(?:[\w.]+\.)?torch\.", "torch."),
    (r"torch\._C\._nn\.", "torch.nn.functional."),
    (r"torch\._refs\.nn\.functional\.", "torch.nn.functional."),
    (r"torch\.nn\.modules\.functional\.", "torch.nn.functional."),
    (r"torch\.nn\.modules\.(?:[a-z_]+\.)?(?=[A-Z])", "torch.nn."),
    (r"torch\.(?:ao\.nn|nn\.q\w*|nn\.intrinsic)\.(?:[a-z_]+\.)*(?=[A-Z])", "torch.nn."),
    (r"torch\.optim\.(?!lr_scheduler)[a-z_]+\.(?=[A-Z])", "torch.optim."),
    (r"torch\.nn\.utils\.clip_grad\.", "torch.nn.utils."),
    (r"torch\.ops\.aten\.(\w+)(?:\.\w+)?$", r"torch.\1"),
    (r"torch\.(?:_C\._VariableFunctions|_C\._special|_C\._sparse|_VF|_refs(?:\.special)?|special|sparse|masked(?:\._ops)?"
     r"|Tensor|_C\.TensorBase)\.", "torch."),
)  # fmt: skip
_SAME = [(re.compile(rf"^{pattern}"), replacement) for pattern, replacement in _OTHER_NAMES]


def canonical(name: str) -> str:
    """The public name for what a dotted name reaches: `torch.nn.modules.linear.Linear` -> `torch.nn.Linear`."""
    if name.count(".") < 2:
        return name  # a function of torch's own, as most are
    for pattern, replacement in _SAME:
        name = pattern.sub(replacement, name)
    return name


def rule_against(name: str, problem: str) -> Rule | None:
    """The rule that forbids a dotted name such as `torch.nn.Linear` in a problem; None where it may be used."""
    root = name.partition(".")[0]
    if name in _ENDS_THE_WATCH:
        return Rule("not watched", _SHUT_EYES, ready_made=False)
    if problem in TOKENIZER_PROBLEMS and root in TOKENIZER_PACKAGES:
        return Rule("ready-made tokenizer", _TOKENIZER)
    if problem in _OWN_OBJECTS or problem in TOKENIZER_PROBLEMS:
        return None
    if root in MODEL_PACKAGES:
        return Rule("ready-made library", _LIBRARY)
    if root == "scipy" and name.rpartition(".")[2] in ("softmax", "log_softmax") and problem == "softmax":
        return Rule("ready-made softmax", _SOFTMAX)
    return _rule_of_torch(canonical(name).split("."), problem) if root == "torch" else None


@functools.lru_cache(4096)
def of_interest(name: str) -> bool:
    """Whether a name is a finding in any problem at all; in which one is the judge's question."""
    return any(rule_against(name, problem) for problem in ("softmax", "tokenizer", "precision", "fp8"))


@functools.lru_cache(4096)
def is_piece(name: str) -> bool:
    """Whether a name replaces what some problem asks for."""
    rules = (rule_against(name, problem) for problem in _WITH_PIECES)
    return any(rule is not None and rule.ready_made for rule in rules)


def _rule_of_torch(parts: list[str], problem: str) -> Rule | None:
    match parts[1:]:
        case ["nn", "functional", name, *_] if name not in _NO_FUNCTIONS and not name[0].isupper():
            return Rule("torch.nn.functional", _FUNCTIONAL, ready_made=_asks_for(problem, name))
        case ["nn", "utils", name, *_] if name in _CLIPPING:
            return Rule("torch.nn", _NN, ready_made=problem == "gradient_clipping")
        case ["nn", "attention", *_, name] if _piece(name):
            return Rule("torch.nn", _NN, ready_made=_asks_for(problem, name))
        case ["nn", name, *_] if name[0].isupper() and name not in _ALLOWED_CLASSES:
            return Rule("torch.nn", _NN, ready_made=_asks_for(problem, name))
        case ["optim", "lr_scheduler", _, *_]:
            return Rule("torch.optim", _OPTIM, ready_made=problem == "learning_rate_schedule")
        case ["optim", "Optimizer" | "optimizer" | "swa_utils", *_]:
            return None
        case ["optim", name, *_] if name[0].isupper():
            return Rule("torch.optim", _OPTIM, ready_made=problem == "adamw")
        case ["optim", _, name, *_] if not name.startswith("_"):  # torch.optim.adamw.AdamW and .adamw
            return Rule("torch.optim", _OPTIM, ready_made=problem == "adamw")
        case ["amp" | "cuda" | "cpu", *_, "GradScaler"] if problem == "precision":
            return Rule("torch.amp", _SCALER)
        case ["jit", "CompilationUnit"] | ["jit", "frontend", *_]:
            return Rule("TorchScript", _SCRIPT, ready_made=False)
        case [name]:
            return _rule_of_operator(name, problem)
        case [private, *_, name] if private.startswith("_"):  # torch._decomp.decompositions.silu
            return _rule_of_operator(name, problem)
    return None


def _rule_of_operator(operator: str, problem: str) -> Rule | None:
    if problem == "softmax" and _SOFTMAX_NAMES.fullmatch(operator):
        return Rule("ready-made softmax", _SOFTMAX)
    if problem == "fp8" and _SCALED_PRODUCTS.fullmatch(operator):
        return Rule("ready-made operator", _SCALED_PRODUCT)
    if _OPERATORS.fullmatch(operator):
        optimizer = operator.startswith("_fused_") and not _piece(operator)
        ready_made = problem == "adamw" if optimizer else _asks_for(problem, operator)
        return Rule("ready-made operator", _OPERATOR, ready_made)
    return None


def _asks_for(problem: str, name: str) -> bool:
    return problem in _piece(name)


def _piece(name: str) -> frozenset[str]:
    """The problems that ask for what a name stands for."""
    return next((problems for pattern, problems in _PIECES if pattern.search(name)), frozenset())
