"""The HTML report in a real browser: two widths, light and dark, keyboard, search, no error, no network."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from dumptruth.fixtures.app.reporting.conform_page import html_page
from dumptruth.fixtures.app.reporting.page import html_report
from dumptruth.fixtures.mutants import all_mutants, kernel_pristine, pristine
from dumptruth.fixtures.mutants.registry import BaseDump
from dumptruth.oracle import ByteSource, check

from ..conform_summaries import SUMMARIES
from ..samples import with_the_rest_slow

webdriver: Any = pytest.importorskip("selenium.webdriver", reason="driving a browser needs the extra 'browser'")

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
FLAGS = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync", "--hide-scrollbars",
)  # fmt: skip
WIDTHS = {"desktop": (1280, 900), "phone": (390, 844)}
SCHEMES = ("light", "dark")
MUTANT = "PAGE-BYTES-001"


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    binary = next((found for name in NAMES if (found := shutil.which(name))), None)
    driver = shutil.which("chromedriver")
    if binary is None or driver is None:
        pytest.skip("Chromium and its driver are not installed")
    options = webdriver.ChromeOptions()
    options.binary_location = binary
    for flag in (*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('profile')}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    service = webdriver.ChromeService(executable_path=driver, log_output=subprocess.DEVNULL)
    session = webdriver.Chrome(options=options, service=service)
    yield session
    session.quit()


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Reports of sound dumps of both modes, of faulty dumps, and of a file that is not a dump."""
    folder = tmp_path_factory.mktemp("pages")
    found: dict[str, Path] = {}

    def page(name: str, data: bytes, *judged: Any) -> None:
        source = ByteSource(data, f"{name}.dmp")
        found[name] = folder / f"{name}.html"
        text = html_report(check(source, *judged), source, *judged)
        found[name].write_text(text, encoding="ascii", newline="\n")

    user = pristine.pristine(BaseDump.DEFAULT)
    page("sound", user.data, user.truth, user.asked)
    changed = bytearray(user.data)
    changed[-1] ^= 1
    changed[len(changed) // 2] ^= 1
    page("wrong", bytes(changed), user.truth, user.asked)
    small = pristine.pristine(BaseDump.SMALL)
    page("missing", small.data, user.truth, user.asked)
    page("forbidden", user.data, small.truth, small.asked)
    page("foreign", small.data)
    kernel = kernel_pristine.pristine(BaseDump.KERNEL_DEFAULT)
    page("kernel", kernel.data, kernel.truth, kernel.asked)
    active = kernel_pristine.pristine(BaseDump.KERNEL_ACTIVE)
    page("kernel-wrong", active.data, kernel.truth, kernel.asked)
    triage = kernel_pristine.pristine(BaseDump.KERNEL_SMALL_B)
    page("kernel-small", triage.data, triage.truth, triage.asked)
    page("text", b"no dump\n")
    for name, summary in SUMMARIES.items():
        found[f"conform, {name}"] = folder / f"conform-{name}.html"
        text = html_page(summary(), ["python", "my reader.py"])
        found[f"conform, {name}"].write_text(text, encoding="ascii", newline="\n")
    return found


@contextmanager
def opened(browser: Any, page: Path, width: str = "desktop", scheme: str = "light", mark: str = "") -> Iterator[Any]:
    """Opens the page at a width and in a colour scheme. Afterwards the console must be empty."""
    across, down = WIDTHS[width]
    metrics = {"width": across, "height": down, "deviceScaleFactor": 1, "mobile": width == "phone"}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    preferences = {"prefers-color-scheme": scheme, "prefers-reduced-motion": "reduce"}
    features = [{"name": name, "value": value} for name, value in preferences.items()]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
    browser.get("about:blank")
    browser.get_log("browser")
    browser.get(page.as_uri() + mark)
    yield browser
    assert browser.get_log("browser") == []


def press(browser: Any, *keys: str) -> Any:
    """Types keys and returns the focused element."""
    for key in keys:
        webdriver.ActionChains(browser).send_keys(key).perform()
    return browser.switch_to.active_element


TAB, ENTER, SPACE, RIGHT, DOWN, HOME = "\ue004", "\ue007", " ", "\ue014", "\ue015", "\ue011"

PAGES = ("sound", "wrong", "missing", "forbidden", "foreign", "kernel", "kernel-wrong", "kernel-small", "text",
         *(f"conform, {name}" for name in SUMMARIES))  # fmt: skip


LOOKS = list(product(SCHEMES, WIDTHS))


@pytest.mark.parametrize(
    ("name", "scheme", "width"),
    with_the_rest_slow(
        product(PAGES, SCHEMES, WIDTHS), [(name, *LOOKS[index % 4]) for index, name in enumerate(PAGES)]
    ),
)
def test_a_page_opens_fits_and_loads_nothing(
    browser: Any, pages: dict[str, Path], name: str, scheme: str, width: str
) -> None:
    with opened(browser, pages[name], width, scheme):
        assert browser.execute_script("return document.documentElement.scrollWidth") <= WIDTHS[width][0]
        assert browser.execute_script("return performance.getEntriesByType('resource').map(entry => entry.name)") == []
        assert browser.execute_script("return document.documentElement.dataset.theme") == scheme
        dark = browser.execute_script("return getComputedStyle(document.body).backgroundColor")
        assert (sum(int(part) for part in dark[4:-1].split(",")) < 128) == (scheme == "dark")
        ids = browser.execute_script("return [...document.querySelectorAll('[id]')].map(item => item.id)")
        assert len(ids) == len(set(ids))


CONTRAST = """
const parse = (text) => {
  const numbers = text.match(/[\\d.]+/g).map(Number);
  if (text.startsWith("color(")) return [numbers[0] * 255, numbers[1] * 255, numbers[2] * 255, numbers[3] ?? 1];
  return [numbers[0], numbers[1], numbers[2], numbers[3] ?? 1];
};
const over = (top, below) => [0, 1, 2].map((i) => top[i] * top[3] + below[i] * (1 - top[3])).concat(1);
const linear = (v) => v <= .03928 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4;
const light = (c) => [.2126, .7152, .0722].reduce((sum, share, i) => sum + share * linear(c[i] / 255), 0);
const behind = (node) => {
  const layers = [];
  for (let at = node; at; at = at.parentElement) {
    const style = getComputedStyle(at);
    if (style.backgroundImage !== "none") return null;
    const colour = parse(style.backgroundColor);
    if (colour[3] > 0) layers.push(colour);
    if (colour[3] === 1) break;
  }
  return layers.reverse().reduce((below, top) => over(top, below), [255, 255, 255, 1]);
};
const found = [];
const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
while (walker.nextNode()) {
  const node = walker.currentNode.parentElement;
  if (!walker.currentNode.textContent.trim() || !node.checkVisibility() || node.closest("script")) continue;
  const below = behind(node);
  if (!below) continue;
  const style = getComputedStyle(node);
  const a = light(over(parse(style.color), below)), b = light(below);
  const ratio = (Math.max(a, b) + .05) / (Math.min(a, b) + .05);
  const large = parseFloat(style.fontSize) >= 24 || (parseFloat(style.fontSize) >= 18.66 && style.fontWeight >= 700);
  if (ratio < (large ? 3 : 4.5)) found.push([ratio.toFixed(2), node.className, node.textContent.trim().slice(0, 30)]);
}
return found.slice(0, 10);
"""


COLOURED = ("wrong", "missing", "forbidden", "kernel-wrong", "kernel-small")


@pytest.mark.parametrize(
    ("name", "scheme"),
    with_the_rest_slow(
        product(COLOURED, SCHEMES),
        [*product(COLOURED[:1], SCHEMES), *((name, SCHEMES[index % 2]) for index, name in enumerate(COLOURED))],
    ),
)
def test_text_has_enough_contrast_with_its_background(
    browser: Any, pages: dict[str, Path], name: str, scheme: str
) -> None:
    """WCAG 2.2, 1.4.3: 4.5 to 1, large text 3 to 1."""
    with opened(browser, pages[name], "desktop", scheme):
        assert browser.execute_script(CONTRAST) == []


@pytest.mark.parametrize("width", WIDTHS)
def test_the_keyboard_reaches_everything_and_the_focus_is_visible(
    browser: Any, pages: dict[str, Path], width: str
) -> None:
    with opened(browser, pages["wrong"], width):
        reached = []
        for _ in range(60):
            item = press(browser, TAB)
            reached.append(item.get_attribute("id") or item.get_attribute("class") or item.text)
            style = "const s = getComputedStyle(arguments[0]); return [s.outlineStyle, parseFloat(s.outlineWidth)]"
            shown = item
            if item.get_attribute("type") == "checkbox":
                shown = browser.execute_script("return arguments[0].nextElementSibling", item)
            line, thick = browser.execute_script(style, shown)
            assert line != "none", reached[-1]
            assert thick >= 1, reached[-1]
            if item.get_attribute("id") == "search":
                break
        assert reached[0] == "skip"
        assert reached[-1] == "search"
        assert {"theme", "cells", "blocks-0", "Show in memory"} <= set(reached)


def test_the_skip_link_leads_to_the_findings(browser: Any, pages: dict[str, Path]) -> None:
    with opened(browser, pages["wrong"]):
        press(browser, TAB)
        assert press(browser, ENTER).get_attribute("id") == "findings"
        # The next stop is inside the findings.
        assert browser.execute_script("return document.activeElement.closest('#findings') !== null")
        assert "PAGE-BYTES-001" in press(browser, TAB).text


def test_search_and_filters_choose_among_the_rules(browser: Any, pages: dict[str, Path]) -> None:
    with opened(browser, pages["wrong"]):
        every = browser.find_elements("css selector", "#rule-list > li")
        search = browser.find_element("id", "search")

        def shown() -> list[Any]:
            items = "[...document.querySelectorAll('#rule-list > li')]"
            return list(browser.execute_script(f"return {items}.filter(i => i.checkVisibility())"))

        def said() -> str:
            return str(browser.find_element("id", "count").text)

        assert said() == f"{len(every)} of {len(every)} rules"
        search.send_keys("page-bytes the")
        assert [item.get_attribute("id") for item in shown()] == ["rule-PAGE-BYTES-001"]
        assert said() == f"1 of {len(every)} rules"
        search.clear()
        search.send_keys("no such thing at all")
        assert shown() == []
        assert browser.find_element("id", "no-rule").is_displayed()
        browser.find_element("css selector", ".count button").click()
        assert len(shown()) == len(every)
        failed = browser.find_element("css selector", 'input[name="verdict"][value="FAIL"]')
        browser.execute_script("arguments[0].focus()", failed)
        press(browser, SPACE)
        assert {item.get_attribute("data-verdict") for item in shown()} == {"FAIL"}
        should = browser.find_element("css selector", 'input[name="level"][value="SHOULD"]')
        browser.execute_script("arguments[0].click()", should)
        assert all(item.get_attribute("data-level") == "SHOULD" for item in shown())


def test_a_finding_is_found_in_both_maps_and_from_them(browser: Any, pages: dict[str, Path]) -> None:
    with opened(browser, pages["wrong"]):
        browser.find_element("css selector", ".finding button[data-cell]").click()
        assert browser.switch_to.active_element.get_attribute("id") == "cells"
        chosen = browser.find_element("css selector", "#cells .on")
        assert "wrong" in chosen.get_attribute("class").split()
        detail = browser.find_element("id", "cell-detail")
        assert "wrong 4 KiB" in detail.text
        assert "finding" in detail.text
        assert chosen.get_attribute("aria-label") == detail.get_attribute("textContent")
        # Enter follows the cell into the file.
        assert press(browser, ENTER).get_attribute("id") == "blocks-0"
        block = browser.find_element("css selector", "#blocks-0 .on")
        assert "has" in block.get_attribute("class").split()
        about = browser.find_element("id", "block-detail-0")
        assert "memory" in about.text
        about.find_element("link text", "finding 1").click()
        assert browser.current_url.endswith("#finding-1")


def test_arrow_keys_move_in_a_map_and_n_goes_to_the_next_fault(browser: Any, pages: dict[str, Path]) -> None:
    with opened(browser, pages["kernel-wrong"]):
        cells = browser.find_element("id", "cells")
        browser.execute_script("arguments[0].focus()", cells)

        def at() -> str:
            return str(cells.get_attribute("aria-activedescendant"))

        press(browser, RIGHT, HOME)
        assert at() == "c0"
        press(browser, RIGHT)
        assert at() == "c1"
        press(browser, HOME, DOWN)
        assert int(at()[1:]) > 1
        press(browser, "n")
        state = browser.find_element("id", at()).get_attribute("class")
        assert "forbidden" in state.split()
        assert "forbidden" in browser.find_element("id", "cell-detail").text


def test_a_link_to_a_folded_finding_or_to_a_hidden_rule_opens_it(browser: Any, pages: dict[str, Path]) -> None:
    with opened(browser, pages["missing"], mark="#finding-9"):
        assert browser.find_element("id", "finding-9").is_displayed()
    with opened(browser, pages["wrong"]):
        browser.find_element("id", "search").send_keys("no such thing")
        link = browser.find_element("css selector", '.meta a[href="#rule-PAGE-BYTES-001"]')
        browser.execute_script("arguments[0].click()", link)
        rule = browser.find_element("id", "rule-PAGE-BYTES-001")
        assert rule.is_displayed()
        assert rule.find_element("css selector", ".body").is_displayed()


def test_the_reader_chooses_light_or_dark_and_keeps_it(browser: Any, pages: dict[str, Path]) -> None:
    def theme() -> str:
        return str(browser.execute_script("return document.documentElement.dataset.theme"))

    with opened(browser, pages["sound"], scheme="light"):
        browser.find_element("id", "theme").click()
        assert theme() == "dark"
        browser.refresh()
        assert theme() == "dark"
        browser.find_element("id", "theme").click()
        assert theme() == "light"
        browser.execute_script("localStorage.clear()")


def test_without_a_script_the_page_says_the_same(browser: Any, pages: dict[str, Path]) -> None:
    browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    try:
        with opened(browser, pages["wrong"]):
            text = browser.find_element("tag name", "main").text
            assert "Not conformant" in text
            assert "The captured bytes are the target's" in text
            assert len(browser.find_elements("css selector", "#rule-list > li")) > 100
    finally:
        browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})


def test_the_pages_of_mutants_show_each_fault_in_its_colour(browser: Any, tmp_path: Path) -> None:
    mutants = [mutant for mutant in all_mutants().values() if mutant.rule == MUTANT]
    assert mutants
    for mutant in mutants:
        made = pristine.pristine(mutant.base)
        spoilt = mutant.make(made)
        source = ByteSource(spoilt if isinstance(spoilt, bytes) else spoilt.data, "mutant.dmp")
        page = tmp_path / f"{mutant.name}.html"
        report = check(source, made.truth, made.asked)
        page.write_text(html_report(report, source, made.truth, made.asked), encoding="ascii")
        with opened(browser, page):
            assert browser.find_elements("css selector", "#cells .c.wrong"), mutant.id
            assert browser.find_elements("css selector", f"#findings a[href='#rule-{MUTANT}']")


def test_the_cases_of_a_conformance_run_are_filtered_and_a_link_opens_its_case(
    browser: Any, pages: dict[str, Path]
) -> None:
    with opened(browser, pages["conform, reader"]):
        shown = "return [...document.querySelectorAll('#rule-list > li:not([hidden]) code')].map(c => c.textContent)"
        assert len(browser.execute_script(shown)) == 13
        browser.find_element("css selector", "#search").send_keys("sigsegv")
        assert browser.execute_script(shown) == ["user/c"]
        assert browser.find_element("css selector", "#count").text == "1 of 13 cases"
        browser.execute_script("document.querySelector('#findings a').click()")
        browser.execute_script("return new Promise(done => setTimeout(done))")
        assert browser.execute_script("return document.querySelector('#rule-list details[open] code').textContent") == (
            "user/b0"
        )
        assert len(browser.execute_script(shown)) == 13  # the link reset the filter that hid its case
