"""Limits, plain errors, counters, LibreTranslate's API and the page's answers."""

import re
import threading
import urllib.parse

import pytest

from keras_transformer.web.application import Application
from keras_transformer.web.asking import Deadline
from keras_transformer.web.explanations import sentences_of
from keras_transformer.web.exploring import Options
from keras_transformer.web.libretranslate import language_pair
from keras_transformer.web.limits import Limits
from keras_transformer.web.protocol import Refused
from keras_transformer.web.servable import Servable
from tests.web.conftest import Browser

PREDICT = "/v1/models/en-de:predict"


@pytest.mark.parametrize(
    "limits, request_, status, words",
    [
        ({"max_texts": 2}, {"instances": ["a"] * 3}, 400, "max_texts=2 texts"),
        ({"max_texts": 2}, {"inputs": ["a"] * 3}, 400, "received 3"),
        ({"max_characters": 3}, {"instances": ["äöüß"]}, 400, "max_characters=3"),
        ({"max_body_bytes": 20}, {"instances": ["a" * 20]}, 413, "max_body_bytes=20"),
        ({"time_limit": 1e-9}, {"instances": ["a"]}, 504, "time_limit=1e-09 seconds"),
    ],
)
def test_limits_refuse_with_their_names(limited, limits, request_, status, words):
    response = limited(**limits).post(PREDICT, request_)
    assert response.status_code == status
    assert words in response.json["error"]


def test_limits_hold_at_every_address(limited):
    browser = limited(max_characters=3)
    for path, request in (
        ("/translate", {"q": "four", "source": "en", "target": "de"}),
        ("/page/translate", {"model": "en-de", "text": "four"}),
        ("/page/alternatives", {"model": "en-de", "text": "four"}),
    ):
        status, found = browser.ask(path, request)
        assert (status, "max_characters=3" in found["error"]) == (400, True), path


def test_what_is_just_within_the_limits_is_answered(limited):
    browser = limited(max_texts=2, max_characters=4)
    assert browser.post(PREDICT, {"instances": ["äöüß", "a"]}).status_code == 200


@pytest.mark.parametrize(
    "address",
    [
        "/v1/models/en-de",
        "/v1/models/en%2Dde",
        "/v1/models/en-de?a=/b:c",
        "http://localhost:8501/v1/models/en-de",
        "HTTP://localhost/v1/models/en-de?a=b",
    ],
)
def test_addresses_may_be_whole_and_have_percent_signs(browser, address):
    found = browser.get("/v1/x", environ_overrides={"REQUEST_URI": address})
    assert found.json["model_version_status"][0]["state"] == "AVAILABLE"


@pytest.mark.parametrize("name", ["max_texts", "max_requests", "time_limit"])
@pytest.mark.parametrize("value", [0, -1, "many", None, True])
def test_wrong_limits_are_named(name, value):
    with pytest.raises((ValueError, TypeError), match=name):
        Limits(**{name: value})


def test_a_busy_server_says_when_to_come_back(catalogue, monkeypatch):
    application = Application(catalogue, Limits(max_requests=1))
    entered, go_on = threading.Event(), threading.Event()

    def slow(*_):
        entered.set()
        go_on.wait(20)
        return real(*_)

    real, application._rest = application._rest, slow
    browser = Browser(application)
    codes = []
    first = threading.Thread(
        target=lambda: codes.append(
            browser.post(PREDICT, {"instances": ["a"]}).status_code
        )
    )
    first.start()
    assert entered.wait(20)
    response = browser.post(PREDICT, {"instances": ["a"]})
    assert (response.status_code, response.headers["Retry-After"]) == (429, "1")
    # Whoever looks after it still gets to know how it is.
    assert browser.get("/health").status_code == 200
    assert not application.wait_until_idle(0)
    go_on.set()
    first.join()
    assert codes == [200]
    assert application.wait_until_idle(0)
    assert browser.post(PREDICT, {"instances": ["a"]}).status_code == 200


def test_a_request_is_under_way_until_its_answer_is_sent(catalogue):
    application = Application(catalogue)
    for body in ({"instances": ["a"]}, {"instances": []}):
        response = Browser(application).post(PREDICT, body, buffered=False)
        assert not application.wait_until_idle(0)
        response.close()
        assert application.wait_until_idle(0)


@pytest.mark.parametrize("wrong", [b"\\ud800", b"\xff"], ids=["surrogate", "bytes"])
@pytest.mark.parametrize(
    "path, body",
    [
        (PREDICT, b'{"signature_name": "X", "instances": ["a"]}'),
        (PREDICT, b'{"instances": [{"X": "a"}]}'),
        (PREDICT, b'{"instances": [{"text": {"X": 1}}]}'),
        (PREDICT, b'{"inputs": {"X": ["a"]}}'),
        ("/translate", b'{"q": "a", "source": "X", "target": "de"}'),
        ("/translate", b'{"q": "a", "source": "en", "target": "X"}'),
        ("/translate", b'{"q": "a", "source": "en", "target": "de", "format": "X"}'),
        ("/page/translate", b'{"model": "X", "text": "a"}'),
        ("/page/alternatives", b'{"model": "X", "text": "a"}'),
        ("/page/attention", b'{"model": "X", "text": "a"}'),
    ],
)
def test_errors_quote_what_no_text_can_hold(catalogue, path, body, wrong):
    application = Application(catalogue)
    response = Browser(application).post(path, body.replace(b"X", wrong))
    assert response.status_code in (400, 404)
    assert response.json["error"]
    assert application.wait_until_idle(0)


def test_a_request_that_breaks_the_server_is_no_longer_under_way(
    catalogue, monkeypatch
):
    application = Application(catalogue)

    def fail(*_):
        raise RuntimeError("no counter")

    monkeypatch.setattr(application._metrics, "request", fail)
    with pytest.raises(RuntimeError, match="no counter"):
        Browser(application).post(PREDICT, {"instances": ["a"]})
    assert application.wait_until_idle(0)


@pytest.mark.parametrize(
    "alternatives", ["\u00b2", "9" * 5000, "-1", "x", "10", "1.0", "true"]
)
def test_wrong_numbers_of_alternatives_are_refused(browser, alternatives):
    form = {"q": "a", "source": "en", "target": "de", "alternatives": alternatives}
    type_ = "application/x-www-form-urlencoded"
    response = browser.post(
        "/translate", urllib.parse.urlencode(form), content_type=type_
    )
    assert response.status_code == 400
    assert "alternatives must be from 0 to" in response.json["error"]
    for value in (True, {}, [], 1.0):
        assert browser.ask("/translate", {**form, "alternatives": value})[0] == 400


def test_versions_may_have_any_number_of_digits(browser):
    for zeros in (0, 1, 5000):
        path = f"/v1/models/en-de/versions/{'0' * zeros}1:predict"
        assert browser.ask(path, {"instances": ["a"]})[0] == 200
    path = f"/v1/models/en-de/versions/{'9' * 5000}:predict"
    assert browser.ask(path, {"instances": ["a"]})[0] == 400


def test_no_error_tells_of_this_machine(catalogue, models_folder, capsys):
    application = Application(catalogue)
    application._rest = lambda *_: open(models_folder / "missing")
    response = Browser(application).post(PREDICT, {"instances": ["a"]})
    assert response.status_code == 500
    assert "/" not in response.text
    assert str(models_folder) in capsys.readouterr().err


def test_failures_inside_of_the_graph_name_no_file(browser):
    request = {"inputs": {"text": ["a", "b", "c"], "reference": ["a", "b"]}}
    response = browser.post(PREDICT, {"signature_name": "score", **request})
    assert response.status_code == 400
    assert not re.search(r"/\w+/|\.py|line \d", response.text)


@pytest.mark.parametrize(
    "host, status",
    [
        ("localhost:8501", 200),
        ("127.0.0.1", 200),
        ("[::1]:8501", 200),
        ("evil.example:8501", 403),
        ("127.0.0.1.evil.example", 403),
    ],
)
def test_only_this_machine_s_names_are_answered(catalogue, host, status):
    headers = {"Host": host}
    for local_only, expected in ((True, status), (False, 200)):
        browser = Browser(Application(catalogue, local_only=local_only))
        response = browser._client.get("/health", headers=headers)
        assert response.status_code == expected


@pytest.mark.parametrize(
    "method, path, status",
    [
        ("POST", "/", 405),
        ("GET", "/translate", 405),
        ("PUT", "/v1/models/en-de:predict", 400),
        ("GET", "/etc/passwd", 404),
        ("GET", "/../setup.cfg", 404),
        ("HEAD", "/", 200),
        ("HEAD", "/health", 200),
        ("GET", "/favicon.ico", 204),
    ],
)
def test_other_methods_and_addresses(browser, method, path, status):
    response = browser._client.open(path, base_url="http://localhost", method=method)
    assert response.status_code == status


def test_metrics_count_requests_texts_tokens_and_errors(limited):
    browser = limited()
    browser.post(PREDICT, {"instances": ["the dog", "a cat"]})
    browser.post(PREDICT, {"signature_name": "explain", "instances": ["the dog"]})
    browser.post(PREDICT, {"instances": []})
    text = browser.get("/metrics").text
    values = dict(line.rsplit(" ", 1) for line in text.splitlines() if line[0] != "#")
    route = 'route="/v1/models:predict"'
    assert values[f'keras_transformer_requests_total{{{route},status="200"}}'] == "2.0"
    assert values[f'keras_transformer_errors_total{{{route},status="400"}}'] == "1.0"
    assert values['keras_transformer_texts_total{model="en-de"}'] == "3.0"
    assert float(values['keras_transformer_tokens_total{model="en-de"}']) > 2
    assert values[f"keras_transformer_request_seconds_count{{{route}}}"] == "3.0"


def test_health_names_the_models(browser):
    found = browser.get("/health")
    assert found.json == {"status": "ok", "models": {"en-de": "ok"}}


# LibreTranslate


@pytest.mark.parametrize(
    "name, pair",
    [
        ("en-de", ("en", "de")),
        ("opus-mt-en-de", ("en", "de")),
        ("tiny_fr-EN", ("fr", "en")),
        ("dates", ("und", "dates")),
        ("xx-yy", ("und", "xx-yy")),
    ],
)
def test_a_model_s_name_tells_its_languages(name, pair):
    assert language_pair(name) == pair


def test_languages_are_listed_with_their_targets(browser):
    assert browser.get("/languages").json == [
        {"code": "de", "name": "German", "targets": []},
        {"code": "en", "name": "English", "targets": ["de"]},
    ]


def libre(q, **more):
    return {"q": q, "source": "en", "target": "de", **more}


def answer_of(browser, text):
    return browser.post(PREDICT, {"instances": [text]}).json["predictions"][0][
        "translation"
    ]


def test_one_text_and_many_are_translated(browser):
    expected = answer_of(browser, "the dog")
    status, found = browser.ask("/translate", libre("the dog"))
    assert (status, found) == (200, {"translatedText": expected})
    status, found = browser.ask("/translate", libre(["the dog", "", " \n"]))
    assert found == {"translatedText": [expected, "", " \n"]}
    status, found = browser.ask("/translate", {**libre("the dog"), "source": "auto"})
    assert found["translatedText"] == expected
    assert found["detectedLanguage"]["language"] == "en"


def test_forms_are_read_as_json_is(browser):
    expected = {"translatedText": answer_of(browser, "the dog")}
    form = browser._client.post(
        "/translate",
        base_url="http://localhost",
        data=libre("the dog"),
        buffered=True,
    )
    assert form.json == expected
    # As curl -d sends it.
    kind = "application/x-www-form-urlencoded"
    assert browser.post("/translate", libre("the dog"), content_type=kind).json == (
        expected
    )


def test_documents_keep_their_white_space(browser):
    text = "  The dog runs. \n\n\tA cat sleeps.\n"
    found = browser.ask("/translate", libre(text))[1]["translatedText"]
    dog, cat = (answer_of(browser, each) for each in ("The dog runs.", "A cat sleeps."))
    assert found == f"  {dog} \n\n\t{cat}\n"


def test_alternatives_are_others_than_the_answer(browser):
    found = browser.ask("/translate", libre("the dog", alternatives=2))[1]
    assert len(found["alternatives"]) == 2
    assert found["translatedText"] not in found["alternatives"]


@pytest.mark.parametrize(
    "request_, words",
    [
        ({"source": "en", "target": "de"}, "missing q parameter"),
        ({"q": "a", "target": "de"}, "missing source parameter"),
        ({"q": "a", "source": "en"}, "missing target parameter"),
        (libre("a", target="fr"), "en to fr is not supported"),
        ({**libre("a"), "source": "fr"}, "fr to de is not supported"),
        (libre("<b>a</b>", format="html"), "format must be text"),
        (libre(7), "q must be a string"),
        (libre(["a", None]), "q must be a string"),
        (libre("a", alternatives=-1), "alternatives must be"),
        (libre("a", alternatives="x"), "alternatives must be"),
        ([], "Is not object"),
    ],
)
def test_wrong_requests_to_translate(browser, request_, words):
    status, found = browser.ask("/translate", request_)
    assert status == 400
    assert words in found["error"]


# The page


def test_only_the_page_s_own_parts_may_run(browser):
    response = browser.get("/")
    policy = response.headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; script-src 'sha256-")
    assert "unsafe" not in policy
    html = response.text
    assert not re.search(
        r"""\b(src|href)=["'](?!#)|\son\w+=|style=|@import|\burl\(""", html
    )
    assert "innerHTML" not in html and "insertAdjacent" not in html


def test_the_page_gets_words_with_where_they_came_from(browser):
    text = "The dog runs.\n\nA cat sleeps."
    request = {"model": "en-de", "text": text}
    status, found = browser.ask("/page/translate", request)
    assert status == 200
    first, second = found["sentences"]
    assert (first["before"], second["before"]) == ("", "\n\n")
    for sentence in found["sentences"]:
        words = sentence["words"]
        assert "".join(w["text"] + w["after"] for w in words) == sentence["translation"]
        assert words and all(w["log_prob"] < 0 for w in words)
        places = {i for w in words for i in w["from"]}
        assert places <= {*range(len(sentence["source"]))}
    assert [w["text"] for w in first["source"]] == ["The", "dog", "runs", "."]


@pytest.mark.parametrize(
    "options, words",
    [
        ({"beam_size": 2}, "beam_size can't be changed in an export"),
        ({"beam_size": 0}, "beam_size must be from 1"),
        ({"max_length": "9"}, "max_length must be from 1"),
        ({"target_prefix": 1}, "target_prefix must be a string"),
        ({"text": None}, "model and text must be strings"),
        ({"model": "xx"}, "Servable not found"),
    ],
)
def test_wrong_requests_of_the_page(browser, options, words):
    request = {"model": "en-de", "text": "the dog", **options}
    status, found = browser.ask("/page/translate", request)
    assert status in (400, 404)
    assert words in found["error"]


def test_options_of_an_export_are_those_of_its_signature(browser):
    options = {"max_length": 3, "target_prefix": "a dog"}
    request = {"model": "en-de", "text": "the dog", **options}
    found = browser.ask("/page/translate", request)[1]["sentences"][0]
    inputs = {"text": ["the dog"], "options": ["max_length=3 target_prefix=a dog"]}
    signature = {"signature_name": "with_options", "inputs": inputs}
    expected = browser.post(PREDICT, signature).json["outputs"]["translations"][0][0]
    assert found["translation"] == expected
    found = browser.ask("/page/alternatives", {**request, "num_hypotheses": 2})[1]
    assert len(found["hypotheses"]) == 2
    assert found["hypotheses"][0]["text"] == expected


def test_documents_may_have_more_sentences_than_a_request(limited):
    browser = limited(max_texts=40)
    request = {"model": "en-de", "text": "The dog runs. A cat sleeps. " * 25}
    found = browser.ask("/page/translate", request)[1]["sentences"]
    pair = {**request, "text": "The dog runs. A cat sleeps."}
    alone = browser.ask("/page/translate", pair)[1]["sentences"]
    answers = [sentence["translation"] for sentence in found]
    assert answers == [sentence["translation"] for sentence in alone] * 25


def test_options_are_never_passed_over(catalogue):
    servable = catalogue.get("en-de").get()
    kept = {"serving_default": servable.definitions["serving_default"]}
    plain = Servable(kept, {n: servable._functions[n] for n in kept})
    explorer = Application(catalogue)._page._explorer
    found = explorer.sentences("en-de", plain, "the dog", Options(), Deadline(60))
    assert found[0]["translation"]
    with pytest.raises(Refused, match="takes no options"):
        explorer.sentences(
            "en-de", plain, "the dog", Options(max_length=3), Deadline(60)
        )


def test_an_export_has_no_attention(browser):
    request = {"model": "en-de", "text": "a", "translation": "b"}
    status, found = browser.ask("/page/attention", request)
    assert (status, "run or a translator" in found["error"]) == (400, True)


def test_a_translator_in_memory_answers_as_it_does_itself(
    translator_browser, small_translator
):
    browser = translator_browser
    texts = ["the dog", "a small cat"]
    found = browser.post("/v1/models/model:predict", {"instances": texts}).json
    answers = [each["translation"] for each in found["predictions"]]
    assert answers == small_translator.translate(texts)
    options = {"beam_size": 2, "max_length": 5}
    request = {"model": "model", "text": "the dog", **options}
    (sentence,) = browser.ask("/page/translate", request)[1]["sentences"]
    assert sentence["translation"] == small_translator.translate("the dog", **options)
    assert all(word["log_prob"] < 0 for word in sentence["words"] if word["text"])
    heads = browser.ask(
        "/page/attention",
        {"model": "model", "text": "the dog", "translation": "dog the"},
    )[1]
    assert (heads["source"], heads["words"]) == (["the", "dog"], ["dog", "the"])
    shape = len(heads["heads"]), len(heads["heads"][0]), len(heads["heads"][0][0])
    assert shape == (1, 2, 2)


def test_the_defaults_of_signatures_in_memory_are_those_of_an_export(
    translator_browser, browser
):
    def signatures(which, name):
        found = which.get(f"/v1/models/{name}/metadata").json
        return found["metadata"]["signature_def"]["signature_def"]

    ours, export = signatures(translator_browser, "model"), signatures(browser, "en-de")
    assert set(ours) == set(export)
    for name, signature in export.items():
        for part in ("inputs", "outputs"):
            for key, info in signature[part].items():
                assert ours[name][part][key]["dtype"] == info["dtype"], (name, key)
        assert set(ours[name]["defaults"]) == set(signature["defaults"])


@pytest.mark.parametrize(
    "text", ["", " \n ", "One.", " A b. C d!\n\n e\nf ", "你好。再见。", "a\u2028b"]
)
def test_sentences_lose_no_visible_character(text):
    found = "".join(before + sentence for before, sentence in sentences_of(text))
    assert "".join(found.split()) == "".join(text.split())
