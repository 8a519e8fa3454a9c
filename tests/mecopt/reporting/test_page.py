"""The page of a report in a real browser, without a network: charts drawn, tables that sort and filter."""

import shutil
import time

import pytest
from evil_names import EVIL_NAMES
from reporting_data import MadeUp

from mecopt.reporting import build
from mecopt.text import visible

webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed")
CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
if not (CHROMIUM and DRIVER):
    pytest.skip("chromium and chromedriver are not installed", allow_module_level=True)

CHARTS = "[data-chart]"
# Charts without a mark of their own: axes and labels alone do not count.
EMPTY = """
return [...document.querySelectorAll('[data-chart]')].filter((place) => {
  const marks = '.mark-rect.role-mark path, .mark-line.role-mark path, .mark-symbol.role-mark path';
  const drawn = [...place.querySelectorAll(`svg :is(${marks})`)].map((mark) => mark.getBoundingClientRect());
  return !drawn.some((box) => box.width > 2 && box.height + box.width > 4);
}).map((place) => place.dataset.chart);
"""


# What makes the page scroll sideways.
WIDER = """
const edge = document.documentElement.clientWidth;
return [...document.querySelectorAll('body *')].filter((part) =>
  !part.parentElement.closest('.wide, svg') && part.getBoundingClientRect().right > edge + 1
).map((part) => part.outerHTML.slice(0, 200));
"""


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(build, "_pictures", lambda *given: {})  # the files beside the page are not needed
        files, _ = build.contents(MadeUp(), "made-up")
    path = tmp_path_factory.mktemp("page") / "index.html"
    path.write_bytes(files["index.html"])
    return path.as_uri()


@pytest.fixture(scope="module")
def evil_address(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(build, "_pictures", lambda *given: {})
        methods = ("exact", "dice", *EVIL_NAMES[:12])
        files, _ = build.contents(MadeUp(names=EVIL_NAMES, methods=methods), "a\nb\u202e")
    path = tmp_path_factory.mktemp("evil") / "index.html"
    path.write_bytes(files["index.html"])
    return path.as_uri()


@pytest.fixture(scope="module")
def driver():
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    service = webdriver.ChromeService(executable_path=DRIVER)
    driver = webdriver.Chrome(options=options, service=service)
    driver.execute_cdp_cmd("Network.enable", {})
    driver.execute_cdp_cmd(
        "Network.emulateNetworkConditions",
        {"offline": True, "latency": 0, "downloadThroughput": 0, "uploadThroughput": 0},
    )
    yield driver
    driver.quit()


def show(driver, address, *, width=1280, scheme="light"):
    """Open the page anew, scroll through all of it, and wait until everything is drawn."""
    size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    driver.execute_cdp_cmd(
        "Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
    )
    driver.get(address)
    driver.execute_script("document.querySelectorAll('details').forEach((d) => { d.open = true; })")
    for place in driver.find_elements("css selector", CHARTS):
        driver.execute_script("arguments[0].scrollIntoView()", place)
        until(lambda place=place: place.get_attribute("data-drawn") == "yes")
    until(lambda: driver.find_element("id", "runs").get_attribute("data-drawn") == "yes")


def until(reached, seconds=20):
    end = time.monotonic() + seconds
    while not reached():
        assert time.monotonic() < end, "not drawn in time"
        time.sleep(0.05)


def column(driver, number):
    cells = driver.find_elements("css selector", f"#runs tbody td:nth-child({number})")
    return [cell.text for cell in cells]


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (1280, "dark"), (390, "light")])
def test_everything_is_drawn(driver, address, width, scheme):
    driver.get_log("browser")  # those of the page before
    show(driver, address, width=width, scheme=scheme)
    assert driver.execute_script(EMPTY) == []
    assert [entry for entry in driver.get_log("browser") if entry["level"] in ("SEVERE", "WARNING")] == []
    widest = driver.execute_script("return document.documentElement.scrollWidth")
    assert widest <= width, "nothing makes the page scroll sideways"


def test_evil_names_are_text(driver, evil_address):
    """Nothing runs, nothing breaks, and every name is there as it is shown elsewhere."""
    driver.get_log("browser")
    show(driver, evil_address)
    assert driver.execute_script(EMPTY) == []
    assert [entry for entry in driver.get_log("browser") if entry["level"] in ("SEVERE", "WARNING")] == []
    assert driver.execute_script(WIDER) == []
    labels = driver.execute_script(
        "return [...document.querySelectorAll('[data-chart=triviality] .role-axis-label text')]"
        ".map((text) => text.textContent)"
    )
    rows = driver.execute_script(
        "return [...document.querySelectorAll('#table-instances tbody th')].map((cell) => cell.textContent)"
    )
    for name in EVIL_NAMES:
        shown = visible(name)
        assert any(label.rstrip("…") and shown.startswith(label.rstrip("…")) for label in labels), name
        assert shown in rows
    button = driver.find_elements("css selector", ".key button")[2]
    driver.execute_script("arguments[0].click()", button)
    assert driver.execute_script("return chosen") == ["constructor"]
    assert driver.execute_script(EMPTY) == []


def test_dark_turns_paper_and_ink(driver, address):
    def colours():
        return driver.execute_script(
            "const s = getComputedStyle(document.body); return [s.backgroundColor, s.color];"
        )

    show(driver, address)
    light = colours()
    driver.execute_cdp_cmd(
        "Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": "dark"}]}
    )
    assert colours() != light
    until(lambda: driver.execute_script("return document.documentElement.classList.contains('dark')"))
    time.sleep(0.5)  # the charts are drawn again
    assert driver.execute_script(EMPTY) == []


def test_table_sorts_and_filters(driver, address):
    show(driver, address)
    heads = driver.find_elements("css selector", "#runs thead th")
    number = 1 + [head.text for head in heads].index("Objective [s]")
    before = column(driver, number)
    for _ in range(2):  # upwards, then downwards
        driver.execute_script("arguments[0].click()", heads[number - 1])
    values = [float(text.replace(",", "")) for text in column(driver, number) if text]
    assert values == sorted(values, reverse=True)
    assert column(driver, number) != before
    select = driver.find_element("css selector", "#filters select[name=Method]")
    driver.execute_script(
        "arguments[0].value = 'dice'; arguments[0].dispatchEvent(new Event('change'))", select
    )
    assert set(column(driver, 2)) == {"dice"}
    search = driver.find_element("css selector", "input[type=search]")
    search.send_keys("three")
    until(lambda: set(column(driver, 1)) == {"three"})
    assert len(column(driver, 1)) == 3


def test_other_tables_sort(driver, address):
    show(driver, address)
    table = driver.find_element("id", "table-gaps")
    head = table.find_elements("css selector", "thead th")[3]
    driver.execute_script("arguments[0].click()", head)
    first = table.find_element("css selector", "tbody th").text
    assert first == "exact"


def test_key_highlights(driver, address):
    show(driver, address)
    button = driver.find_element("css selector", '.key button[data-method="dice"]')
    driver.execute_script("arguments[0].click()", button)
    assert button.get_attribute("aria-pressed") == "true"
    assert driver.execute_script("return chosen") == ["dice"]
    assert driver.execute_script(EMPTY) == []


def test_opens_in_about_a_second(driver, address):
    driver.get(address)
    loaded = driver.execute_script(
        "return performance.getEntriesByType('navigation')[0].domContentLoadedEventEnd"
    )
    assert 0 < loaded < 5000  # milliseconds; about 800 on an idle core, the rest is for busy machines


def test_the_key_is_whole_at_400_px(driver, evil_address):
    show(driver, evil_address, width=400)
    cut = driver.execute_script(
        "const key = document.querySelector('.key'), box = key.getBoundingClientRect();"
        "return [key.scrollHeight - key.clientHeight, ...[...key.children].map((b) => {"
        "const own = b.getBoundingClientRect();"
        "return Math.max(0, own.right - innerWidth, own.bottom - box.bottom); })]"
    )
    assert max(cut) <= 1


def test_paper_is_white_and_charts_are_whole_on_it(driver, address):
    """Also where the screen is dark, and for charts that nobody has scrolled to."""
    show(driver, address, width=1200, scheme="dark")
    deadline = time.monotonic() + 60
    while driver.execute_script("return document.documentElement.dataset.drawn") != "all":
        assert time.monotonic() < deadline
        time.sleep(0.1)
    features = [{"name": "prefers-color-scheme", "value": "dark"}]
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print", "features": features})
    size = {"width": 700, "height": 1000, "deviceScaleFactor": 1, "mobile": False}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    try:
        seen = driver.execute_script(
            "const charts = [...document.querySelectorAll('[data-chart]')].filter((c) => c.offsetParent);"
            "const word = document.querySelector('[data-chart] svg .role-axis-label text');"
            "return { paper: getComputedStyle(document.body).backgroundColor,"
            " ink: getComputedStyle(word).fill,"
            " right: Math.max(...charts.map((c) => c.querySelector('svg').getBoundingClientRect().right)),"
            " edge: document.body.getBoundingClientRect().right, drawn: charts.length }"
        )
        shown = driver.execute_script(
            EMPTY.replace("[data-chart]')]", "[data-chart]')].filter((c) => c.offsetParent)")
        )
    finally:
        driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "", "features": []})
        driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    assert seen["paper"] == "rgb(255, 255, 255)"
    assert seen["ink"] == "rgb(29, 35, 41)"
    assert seen["drawn"] >= 9
    assert seen["right"] <= seen["edge"] + 1
    assert shown == []
