"""How the tests run. `HYPOTHESIS_PROFILE=long` draws some sixty times as many examples, `quick` a third."""

import os
import signal

import pytest
from hypothesis import HealthCheck, settings

COMMON = {
    "deadline": None,
    "suppress_health_check": [HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
}
settings.register_profile("default", max_examples=30, **COMMON)
settings.register_profile("long", max_examples=2000, **COMMON)
settings.register_profile("quick", max_examples=10, **COMMON)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config):
    """Run the whole suite in two processes; named tests and those under `--pdb` run in this one."""
    whole = config.args_source is pytest.Config.ArgsSource.TESTPATHS and not hasattr(config, "workerinput")
    if whole and config.option.numprocesses is None and not config.option.usepdb:
        config.option.numprocesses = 2


@pytest.fixture(autouse=True)
def signals_as_before():
    """Undo what a command that runs in this process leaves: at its end it ignores interrupts."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)
