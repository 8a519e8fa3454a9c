"""Names that JSON allows and that break what does not expect them, and an instance that has them."""

import numpy as np

import mecopt

EVIL_NAMES = (
    "constructor", "__proto__", "toString", "hasOwnProperty", "nul\x00byte", "bell\x07\x08\x7f\x85",
    "\x1b[31mred\x1b[0m", "\x1b]0;title\x07", "[red]markup[/red]", "two\nlines", "carriage\rreturn",
    "\ttab", "=1+1", "+1+1", "-1-1", "@SUM(A1)", "</script><b>ev&il $x_1$ 100%", "<!--", "{{ 7 * 7 }}",
    "\\input{x} ~^|\"'`#", "$\\frac{1}{$", "_under", "--a''b``", "[a]", "\u2028line\u2029paragraph",
    "\u202eright to left", "zero\u200bwidth\ufeff", "\u3164", "z" + "\u0301" * 50, "\u0301accent first",
    "カメラ", "相机", "👩\u200d💻", "é" * 300, "x" * 300, "a b" * 100, "..", "../../up", "con", "a/b\\c",
    "| cell | `code` |", "a,b;c\"d\"", "%s %d {0}", "'", " ", "0", "null", "true", "\uffff",
)  # fmt: skip


def evil_instance(name, others=EVIL_NAMES, seed=0):
    """Return an instance called so: every name is a device with a task and a block, six are servers."""
    draw = np.random.default_rng(seed)
    count = len(others)
    parts = [others[i : i + 7] for i in range(0, count, 7)]
    models = [mecopt.Model(part[0], tuple(mecopt.Block(1e8, 1e5, name=n) for n in part)) for part in parts]
    servers = draw.permutation(others)[:6].tolist()
    return mecopt.Instance(
        name=name,
        slot_count=1,
        models=tuple(models),
        devices=tuple(mecopt.Device(text, 1e9, 0.5) for text in others),
        servers=tuple(mecopt.Server(text, float(draw.uniform(1e9, 9e9))) for text in servers),
        links=mecopt.Links.of(len(servers), 1e9),
        tasks=mecopt.Tasks.of(
            slot=0,
            device=np.arange(count),
            model=np.arange(count) // 7,
            rate_bps=draw.uniform(6e6, 2e7, (count, len(servers))),
            blocks=7,
        ),
        rules=mecopt.Rules.preset("paper", deadline="none"),
    )
