"""`mecopt probe`: rates and latencies between agents, as links of an instance."""

from __future__ import annotations

import csv
import io

import click

from mecopt.cli import common, common_options, printing
from mecopt.cli.agent import credentials
from mecopt.cli.run import addresses, agent_options, shaped


@click.command(short_help="Measure rate and latency between agents, both ways.")
@agent_options
@click.option("--shape", "shapes", multiple=True, metavar="FROM>TO=BPS,S", help="As in mecopt run.")
@click.option("--out", metavar="FILE", help="Write the links as CSV: from, to, rate_bps, latency_s.")
@common_options.json_option
def probe(
    agents: str,
    token_file: str | None,
    tls_ca: str | None,
    shapes: tuple[str, ...],
    out: str | None,
    as_json: bool,
) -> None:
    """Let every agent send to every other one, and print rate and latency of each link.

    The CSV file is what `mecopt instances new --links` reads.

    Exit status: 0 done, 2 bad usage, 130 interrupted, 1 an agent is gone or refuses.
    """
    common.check_out("--out", out)
    from mecopt.deployment.probing import probe as measured
    from mecopt.files import write_bytes
    from mecopt.profiling.links import COLUMNS

    with common.working("measuring links"):
        links = measured(addresses(agents), credentials(token_file, tls_ca), shaped(shapes))
    rows = [(link.start, link.to, link.rate_bps, link.latency_s) for link in links]
    if out is not None:
        table = io.StringIO(newline="")
        csv.writer(table, lineterminator="\n").writerows(
            [COLUMNS, *((a, b, f"{rate:.6g}", f"{wait:.6g}") for a, b, rate, wait in rows)]
        )
        write_bytes(out, table.getvalue().encode())
    if as_json:
        printing.emit_json({"links": [dict(zip(COLUMNS, row, strict=True)) for row in rows]})
        return
    shown = [(a, b, f"{rate / 1e6:,.4g} Mbit/s", f"{wait * 1e3:.3g} ms") for a, b, rate, wait in rows]
    printing.table(("from", "to", "rate", "latency"), shown, numbers=2, wraps=())
