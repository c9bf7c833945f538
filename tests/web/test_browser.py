"""The page in Chromium: run with `pytest -m browser -n 0`."""

import contextlib
import json
import shutil
import time

import pytest

from keras_transformer.web.server import Server

pytestmark = pytest.mark.browser
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
DRIVER = shutil.which("chromedriver")
if not (CHROMIUM and DRIVER):
    pytest.skip("Chromium and its driver aren't installed", allow_module_level=True)
webdriver = pytest.importorskip("selenium.webdriver")
PATIENCE = 60


@pytest.fixture(scope="module")
def server(models_folder):
    with Server(str(models_folder), port=0) as server:
        yield server


@pytest.fixture(scope="module")
def chromium():
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for argument in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage"):
        options.add_argument(argument)
    options.add_argument("--window-size=1280,900")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options, webdriver.ChromeService(DRIVER))
    yield driver
    driver.quit()


class Page:
    """The page in one tab."""

    def __init__(self, driver, url):
        self.driver = driver
        driver.get(url)
        self.wait(lambda: self.run("return state.models.length"))

    def run(self, script, *arguments):
        return self.driver.execute_script(script, *arguments)

    def wait(self, condition):
        end = time.monotonic() + PATIENCE
        while not (found := condition()):
            assert time.monotonic() < end, self.text("body")
            time.sleep(0.05)
        return found

    def text(self, selector):
        return self.run(
            "return document.querySelector(arguments[0]).innerText", selector
        )

    def all(self, selector):
        return self.driver.find_elements("css selector", selector)

    def type(self, text):
        """Types or pastes a text, and waits for its answer."""
        before = self.run("return state.run")
        self.run(
            "source.value = arguments[0]; source.dispatchEvent(new Event('input'))",
            text,
        )
        self.answered(before)

    def answered(self, before):
        self.wait(
            lambda: (
                self.run("return state.run") > before
                and not self.all("#target.pending")
            )
        )

    def answer(self):
        return self.run("return plain()")


@pytest.fixture
def page(chromium, server):
    page = Page(chromium, server.url)
    yield page
    wrong = [e for e in chromium.get_log("browser") if e["level"] == "SEVERE"]
    assert wrong == []


def expected(server, text):
    from keras_transformer.serving import RestClient

    return RestClient(server.url, "en-de").translate(text)


def test_typing_shows_the_answer(page, server):
    before = page.run("return state.run")
    page.all("#source")[0].send_keys("the dog")
    page.answered(before)
    assert page.answer() == expected(server, "the dog")
    assert page.text("#answer").strip() == page.answer().strip()
    assert page.text("#announce") == page.answer() or page.answer() in page.run(
        "return document.querySelector('#announce').textContent"
    )


def test_words_tell_where_they_came_from_by_pointer_and_by_keyboard(page):
    page.type("the small dog")
    words = page.all("#answer .word[aria-description]")
    webdriver.ActionChains(page.driver).move_to_element(words[0]).perform()
    assert "%" in page.text("#about-word")
    assert page.all("#mirror .word.chosen")
    page.run("document.querySelector('#copy').focus()")
    keys = webdriver.ActionChains(page.driver)
    keys.send_keys("\ue004").perform()
    assert page.run("return document.activeElement.className").startswith("word")
    for _ in page.all("#answer .word"):
        if "%" in page.text("#about-word"):
            break
        webdriver.ActionChains(page.driver).send_keys("\ue014").perform()
    assert "%" in page.text("#about-word")
    assert "%" in words[0].get_attribute("aria-description")


def test_alternatives_have_scores_best_first(page):
    page.type("the dog")
    page.wait(lambda: len(page.all("#best li")) == 3)
    scores = [e.text.replace("\u2212", "-") for e in page.all("#best .score")]
    assert sorted(map(float, scores), reverse=True) == [*map(float, scores)]
    page.run(
        "byId('number').value = 2; byId('number').dispatchEvent(new Event('input'))"
    )
    page.wait(lambda: len(page.all("#best li")) == 2)


@pytest.mark.parametrize(
    "text",
    [
        "我爱你。你好吗？",
        "مرحبا بالعالم. كيف حالك؟",
        "👩‍👩‍👧 🇩🇪 ok",
        "dog. " * 1000,
        "<img src=x onerror=document.title='hit'><script>document.title='hit'</script>",
        "a\n\n\tb  c\n",
    ],
    ids=["Chinese", "Arabic", "emoji", "5,000 characters", "markup", "white space"],
)
def test_texts_of_all_kinds_are_answered(page, text):
    page.type(text)
    assert page.answer()
    assert page.run("return mirror.textContent") == text + "\n"
    assert page.run("return document.title") == "keras_transformer"
    assert not page.all("#answer img, #answer script, #mirror img, #best img")
    assert page.run("return byId('alert').hidden")


def test_arabic_stands_on_the_right(page):
    page.type("مرحبا بالعالم")
    style = "return getComputedStyle(source).direction"
    assert page.run(style) == "rtl"


def test_a_translation_that_is_markup_is_shown_as_text(page):
    markup = "<img src=x onerror=document.title='hit'>"
    page.run(
        """show([{before: "", source: [{text: "a", after: ""}],
        translation: arguments[0], truncated: false, words: [
            {text: arguments[0], after: "", log_prob: -1, from: [0]}
        ]}], "a")""",
        markup,
    )
    assert page.text("#answer").strip() == markup
    assert page.run("return document.title") == "keras_transformer"


def test_nothing_that_is_put_into_the_page_may_run(page):
    page.run(
        """const script = document.createElement("script");
        script.textContent = "document.title = 'hit'"; document.body.append(script);
        document.body.insertAdjacentHTML(
            "beforeend", "<img src=x onerror=document.title='hit'>");"""
    )
    time.sleep(0.3)
    assert page.run("return document.title") == "keras_transformer"
    # The browser tells what the policy refused.
    assert any(
        "Content Security Policy" in e["message"]
        for e in page.driver.get_log("browser")
    )


def test_two_tabs_have_texts_of_their_own(page, server):
    page.type("the dog")
    first, own = page.driver.current_window_handle, page.answer()
    page.driver.switch_to.new_window("tab")
    other = Page(page.driver, server.url)
    other.type("a small cat sees the old house")
    assert other.answer() == expected(server, "a small cat sees the old house")
    page.driver.close()
    page.driver.switch_to.window(first)
    assert page.answer() == own


def test_copy_takes_the_whole_answer(page):
    page.driver.execute_cdp_cmd(
        "Browser.grantPermissions",
        {"permissions": ["clipboardReadWrite", "clipboardSanitizedWrite"]},
    )
    page.type("the dog.\n\na cat")
    page.all("#copy")[0].click()
    page.wait(lambda: page.text("#copy") == "Copied")
    script = "navigator.clipboard.readText().then(arguments[0], String)"
    assert page.driver.execute_async_script(script) == page.answer()


def test_dark_and_light_stay_chosen(page, server):
    themes = []
    for _ in range(2):
        page.all("#theme")[0].click()
        theme = page.run("return document.documentElement.dataset.theme")
        Page(page.driver, server.url)
        assert page.run("return document.documentElement.dataset.theme") == theme
        themes.append(theme)
    assert sorted(themes) == ["dark", "light"]


@pytest.mark.parametrize("width", [360, 768, 1280, 3840])
def test_nothing_is_wider_than_the_window(page, width):
    size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
    page.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    page.type("dog " * 20 + "x" * 300)
    page.wait(lambda: page.all("#best li"))
    wide = page.run("return document.documentElement.scrollWidth")
    page.driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    assert wide <= width


def test_every_control_has_a_name(page):
    page.type("the dog")
    page.wait(lambda: page.all("#best li"))
    tree = page.driver.execute_cdp_cmd("Accessibility.getFullAXTree", {})["nodes"]
    controls = {"button", "textbox", "combobox", "spinbutton", "table"}
    for node in tree:
        role = node.get("role", {}).get("value")
        if role in controls and not node.get("ignored"):
            assert node.get("name", {}).get("value"), json.dumps(node)[:500]


def test_a_server_that_ends_is_told_and_its_return_is_seen(chromium, models_folder):
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(Server(str(models_folder), port=0))
        page = Page(chromium, server.url)
        page.type("the dog")
    port = server.url.rpartition(":")[2]
    page.type("the cat")
    assert "doesn’t answer" in page.text("#alert")
    with Server(str(models_folder), port=int(port)):
        page.wait(lambda: page.run("return byId('alert').hidden"))
        page.wait(lambda: not page.all("#target.pending"))
        assert page.answer()
    chromium.get_log("browser")


def test_heads_of_a_translator_shade_the_source(chromium, small_translator):
    with Server(small_translator, port=0) as server:
        page = Page(chromium, server.url)
        page.type("the small dog")
        page.wait(lambda: len(page.all("#block option")) == 2)
        page.run("byId('block').value = '0'; showHeads(); choose(0)")
        weights = page.run(
            "return [...mirror.querySelectorAll('.word')]"
            ".map(e => Number(e.style.getPropertyValue('--weight')))"
        )
        assert 0 < sum(weights) <= 1.01
        assert len(page.all("#head option")) == 3
        page.run(
            "byId('beam').value = 2; byId('beam').dispatchEvent(new Event('input'))"
        )
        page.wait(lambda: page.run("return options().beam_size") == 2)
        before = page.run("return state.run")
        page.run("translate()")
        page.answered(before)
        answer = small_translator.translate("the small dog", beam_size=2)
        assert page.answer() == answer
