"""Which models a folder holds, and versions that come, break and go."""

import shutil

import pytest

from keras_transformer.web.application import Application
from keras_transformer.web.catalogue import Catalogue
from keras_transformer.web.loading import find_exports, load_text_model
from keras_transformer.web.protocol import Refused
from tests.web.conftest import Browser


@pytest.fixture
def folder(plain_folder, tmp_path):
    """A folder of models whose exports may be changed."""
    shutil.copytree(plain_folder, tmp_path / "models")
    return tmp_path / "models"


@pytest.mark.parametrize("inside", ["", "en-de", "en-de/1"])
def test_exports_are_found_at_each_level(plain_folder, inside):
    catalogue = Catalogue(str(plain_folder / inside))
    assert [*catalogue.models] == ["en-de"]
    assert catalogue.get("en-de").newest.number == 1


@pytest.mark.parametrize("inside", ["en-de", "en-de/0"])
def test_a_version_has_its_folder_s_number_0_too(folder, inside):
    (folder / "en-de" / "1").rename(folder / "en-de" / "0")
    model = Catalogue(str(folder / inside)).get("en-de")
    assert [state["version"] for state in model.status()] == ["0"]


def test_an_export_outside_of_versions_has_its_folder_s_name(plain_folder, tmp_path):
    shutil.copytree(plain_folder / "en-de" / "1", tmp_path / "mine")
    assert [*find_exports(tmp_path / "mine")] == ["mine"]


def test_versions_come_break_and_go(folder, capsys):
    catalogue = Catalogue(str(folder))
    browser = Browser(Application(catalogue))
    model, versions = catalogue.get("en-de"), folder / "en-de"

    def states():
        return {v["version"]: v["state"] for v in model.status()}

    shutil.copytree(versions / "1", versions / "3")
    catalogue.refresh()
    assert states() == {"3": "AVAILABLE"}
    # A folder of which only the graph has been copied so far, and one that is cut.
    (versions / "4").mkdir()
    shutil.copy(versions / "1" / "saved_model.pb", versions / "4")
    shutil.copytree(versions / "1", versions / "5")
    (versions / "5" / "saved_model.pb").write_bytes(b"\x08\x01\x12\xff")
    catalogue.refresh()
    assert states() == {"5": "END", "4": "END", "3": "AVAILABLE"}
    told = capsys.readouterr().err
    assert "version 5 can't be served" in told and "version 3 goes on" in told
    found = browser.get("/v1/models/en-de").json["model_version_status"]
    assert found[0]["status"]["error_code"] == "DATA_LOSS"
    assert str(folder) not in str(found)
    table = browser.get("/page/models").json["models"][0]
    assert table["version"] == 3
    assert [bool(each["error"]) for each in table["versions"]] == [True, True, False]
    request = {"instances": ["the dog"]}
    assert browser.post("/v1/models/en-de:predict", request).status_code == 200
    # What hasn't changed isn't tried again; what is whole by now is.
    catalogue.refresh()
    assert capsys.readouterr().err == ""
    shutil.copytree(versions / "1", versions / "4", dirs_exist_ok=True)
    catalogue.refresh()
    assert states() == {"5": "END", "4": "AVAILABLE"}
    # Deleting the newest goes back to the one before.
    shutil.rmtree(versions / "5")
    shutil.rmtree(versions / "4")
    catalogue.refresh()
    assert states() == {"3": "AVAILABLE"}
    assert browser.post("/v1/models/en-de:predict", request).status_code == 200


def test_new_models_are_picked_up(folder):
    catalogue = Catalogue(str(folder))
    shutil.copytree(folder / "en-de", folder / "en-fr")
    catalogue.refresh()
    assert [*catalogue.models] == ["en-de", "en-fr"]
    assert catalogue.get("en-fr").newest.number == 1


def test_a_folder_in_which_nothing_can_be_loaded_is_an_error(folder):
    (folder / "en-de" / "1" / "saved_model.pb").write_bytes(b"\xff")
    with pytest.raises(ValueError, match="holds no model that can be loaded: en-de"):
        Catalogue(str(folder))


def test_saved_text_models_are_served(small_translator, tmp_path):
    small_translator.save(tmp_path / "run" / "translator")
    for folder in ("run", "run/translator"):
        assert load_text_model(tmp_path / folder).max_source_length == 32


@pytest.mark.parametrize("folder", ["missing", "missing/below", "a/b/c"])
def test_folders_that_are_not_there_are_named(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(
        "keras_transformer.web.loading.load",
        lambda name: (_ for _ in ()).throw(FileNotFoundError(name)),
    )
    with pytest.raises(FileNotFoundError, match=folder):
        Catalogue(str(tmp_path / folder))


def test_a_folder_without_a_model_is_named(tmp_path):
    (tmp_path / "notes.txt").write_text("nothing", encoding="utf-8")
    with pytest.raises(FileNotFoundError, match="holds nothing to serve"):
        Catalogue(str(tmp_path))


def test_a_checkpoint_of_another_family_is_refused_as_in_python(tmp_path):
    (tmp_path / "config.json").write_text('{"model_type": "gpt"}', encoding="utf-8")
    with pytest.raises(ValueError, match="model_type must be one of .*'gpt'"):
        Catalogue(str(tmp_path))


def test_a_run_that_has_not_ended_says_so(tmp_path):
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "step-3.keras").touch()
    with pytest.raises(FileNotFoundError, match="keras-transformer train"):
        Catalogue(str(tmp_path))


def test_hub_names_are_read_as_other_libraries_models_are(monkeypatch):
    asked = []
    monkeypatch.setattr("keras_transformer.web.loading.load", asked.append)
    load_text_model("Helsinki-NLP/opus-mt-en-de")
    assert asked == ["Helsinki-NLP/opus-mt-en-de"]


def copy_versions(folder, *numbers):
    for number in numbers:
        shutil.copytree(folder / "en-de" / "1", folder / "en-de" / str(number))


def test_labelled_versions_are_served_beside_the_newest(folder):
    copy_versions(folder, 2, 3)
    catalogue = Catalogue(str(folder), labels={"stable": 1, "canary": 3})
    browser, model = Browser(Application(catalogue)), catalogue.get("en-de")
    assert [state["version"] for state in model.status()] == ["3", "1"]
    body = {"instances": ["the dog"]}
    address = "/v1/models/en-de"
    expected = browser.ask(f"{address}:predict", body)
    for which in ("labels/stable", "labels/canary", "versions/1", "versions/3"):
        assert browser.ask(f"{address}/{which}:predict", body) == expected
    assert browser.ask(f"{address}/versions/2:predict", body)[0] == 404
    status = browser.get(f"{address}/labels/stable").json["model_version_status"]
    assert [state["version"] for state in status] == ["1"]
    metadata = browser.get(f"{address}/labels/stable/metadata").json
    assert metadata["model_spec"]["version"] == "1"
    status, answer = browser.ask(f"{address}/labels/new:predict", body)
    words = "Unrecognized servable version label: new"
    assert (status, answer) == (400, {"error": words})
    # A newer version is what has no label; the labels stay where they are.
    copy_versions(folder, 4)
    catalogue.refresh()
    assert [state["version"] for state in model.status()] == ["4", "3", "1"]
    assert model.get(label="stable") is model.get(1) is not model.get()
    # A label of a version whose files are gone leads nowhere.
    shutil.rmtree(folder / "en-de" / "1")
    catalogue.refresh()
    status, answer = browser.ask(f"{address}/labels/stable:predict", body)
    words = "Servable not found for request: Specific(en-de, 1)"
    assert (status, answer) == (404, {"error": words})


@pytest.mark.parametrize(
    "labels, words",
    [
        ({"stable": 9}, "labels: en-de has no version 9 for 'stable'; it has 1"),
        ({"en-fr:stable": 1}, "labels: there is no model 'en-fr' .*'en-fr:stable'.*en"),
        ({"a/b": 1}, "labels must be .*'a/b'"),
        ({"": 1}, "labels must be"),
        ({3: 1}, "labels must be"),
        ({"stable": 0}, r"labels\['stable'\] must be at least 1"),
        ({"stable": "1"}, r"labels\['stable'\] must be an integer"),
    ],
)
def test_wrong_labels_are_named(plain_folder, labels, words):
    with pytest.raises((ValueError, TypeError), match=words):
        Catalogue(str(plain_folder), labels=labels)


def test_a_label_may_be_of_one_model_among_several(folder):
    shutil.copytree(folder / "en-de", folder / "en-fr")
    catalogue = Catalogue(str(folder), labels={"en-fr:stable": 1})
    assert catalogue.get("en-fr").get(label="stable")
    with pytest.raises(Refused, match="version label: stable"):
        catalogue.get("en-de").get(label="stable")
