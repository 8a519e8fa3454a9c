"""The small case from which the worked examples start: one task, one device, two servers, two blocks.

    a: 8 cycles, 16 bits in    on the device (2 cycles/s) 4 s    on es1 (4) 2 s    on es2 (8) 1 s
    b: 16 cycles, 4 bits in                               8 s               4 s               2 s
    device -> es1 at 8 bit/s: a 2 s, b 0.5 s   -> es2 at 4 bit/s: a 4 s, b 1 s   es1 -> es2 at 2 bit/s: b 2 s

So without more [1, 1] takes 2 + 2 + 4 = 8 s, [2, 2] 4 + 1 + 2 = 7 s, [1, 2] 2 + 2 + 2 + 2 = 8 s, [0, 2]
4 + 1 + 2 = 7 s, [0, 1] 4 + 0.5 + 4 = 8.5 s, [0, 0] 12 s.
"""

from reference import DROPPED, Reference

LEFT_OUT = (DROPPED, DROPPED)


def case(a=None, b=None, device=None, es1=None, es2=None, model=None, links=None, tasks=({},), **rules):
    """Return the small case with fields added to its parts."""
    servers = [{"cycles_per_s": 4, **(es1 or {})}, {"cycles_per_s": 8, **(es2 or {})}]
    blocks = [
        {"name": "a", "cycles": 8, "input_bits": 16, **(a or {})},
        {"name": "b", "cycles": 16, "input_bits": 4, **(b or {})},
    ]
    task = {"slot": 0, "device": "cam", "model": "net", "rate_bps": [8, 4]}
    return {
        "format": "mecopt-instance/2",
        "slots": {"count": 2, "seconds": rules.pop("seconds", 1)},
        "rules": {"deadline": "none", **rules},
        "models": [{"name": "net", "output_bits": 8, "blocks": blocks, **(model or {})}],
        "devices": [
            {"name": "cam", "cycles_per_s": 2, "kappa": 0.5, "transmit_power_w": 3, **(device or {})}
        ],
        "servers": servers,
        "links": {"server_bps": 2, **(links or {})},
        "tasks": [{**task, **fields} for fields in tasks],
    }


def total(document, path):
    """Return the seconds of the first task, on servers that nobody else uses."""
    return sum(Reference(document).split(0, path))
