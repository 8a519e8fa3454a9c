"""Configurations of language models for tests: small ones, the shipped ones, and their tensors."""

import json
from importlib.resources import files

SMALL = {
    "num_hidden_layers": 3, "hidden_size": 32, "num_attention_heads": 4, "num_key_value_heads": 2,
    "intermediate_size": 40, "vocab_size": 50,
}  # fmt: skip
SMALL_GPT2 = {"n_layer": 3, "n_embd": 24, "n_head": 4, "n_positions": 16, "vocab_size": 50}
MORE = {
    "gemma": {"head_dim": 8},
    "gemma2": {"head_dim": 8, "sliding_window": 5},
    "mixtral": {"num_local_experts": 4, "num_experts_per_tok": 2},
}


def small(kind, **changes):
    """Return a small config.json of a family; a value of None leaves its key out."""
    config = {"model_type": kind, **(SMALL_GPT2 if kind == "gpt2" else {**SMALL, **MORE.get(kind, {})})}
    return {key: value for key, value in {**config, **changes}.items() if value is not None}


def shipped(name):
    return json.loads((files("mecopt") / "data" / "language" / f"{name}.json").read_text())


def tensors(config):
    """Return the shapes of all tensors of a model, named as in its weight file, from its config.json."""
    kind = config["model_type"]
    gpt2 = kind == "gpt2"
    h = config["n_embd" if gpt2 else "hidden_size"]
    heads = config["n_head" if gpt2 else "num_attention_heads"]
    kv = config.get("num_key_value_heads") or heads
    dim = config.get("head_dim") or h // heads
    inner = config.get("n_inner") or 4 * h if gpt2 else config["intermediate_size"]
    v, q, k = config["vocab_size"], heads * dim, kv * dim
    tied = config.get("tie_word_embeddings", kind in ("gemma", "gemma2", "gpt2"))
    layer_norm = kind in ("gpt2", "phi", "gpt_neox")
    found = {"embed": (v, h), "norm": (h,)}
    if layer_norm:
        found["norm.bias"] = (h,)
    if not tied:
        found["lm_head"] = (v, h)
    if kind == "phi":
        found["lm_head.bias"] = (v,)
    if gpt2:
        found["positions"] = (config["n_positions"], h)
    attention = config.get("attention_bias", kind == "gpt_neox")
    bias = {
        "qkv": attention or kind in ("qwen2", "phi", "gpt2"),
        "o": attention or kind in ("phi", "gpt2"),
        "mlp": config.get("mlp_bias", False) or layer_norm,
    }
    for i in range(config["n_layer" if gpt2 else "num_hidden_layers"]):
        found |= {f"{i}.q": (q, h), f"{i}.k": (k, h), f"{i}.v": (k, h), f"{i}.o": (h, q)}
        if bias["qkv"]:
            found |= {f"{i}.q.bias": (q,), f"{i}.k.bias": (k,), f"{i}.v.bias": (k,)}
        if bias["o"]:
            found[f"{i}.o.bias"] = (h,)
        for n in range({"phi": 1, "gemma2": 4}.get(kind, 2)):
            found[f"{i}.norm{n}"] = (h,)
            if layer_norm:
                found[f"{i}.norm{n}.bias"] = (h,)
        if kind == "mixtral":
            found[f"{i}.router"] = (config["num_local_experts"], h)
        for e in range(config["num_local_experts"] if kind == "mixtral" else 1):
            ways = {"up": (inner, h), "down": (h, inner)} | ({} if layer_norm else {"gate": (inner, h)})
            for way, shape in ways.items():
                found[f"{i}.{e}.{way}"] = shape
                if bias["mlp"]:
                    found[f"{i}.{e}.{way}.bias"] = shape[:1]
    return found


def size(shapes):
    total = 0
    for shape in shapes.values():
        product = 1
        for side in shape:
            product *= side
        total += product
    return total


def write(folder, content, name="config.json"):
    path = folder / name
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path
