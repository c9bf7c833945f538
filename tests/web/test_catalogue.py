"""Which models a folder holds, and versions that come, break and go."""

import shutil

import pytest

from keras_transformer.web.application import Application
from keras_transformer.web.catalogue import Catalogue
from keras_transformer.web.loading import find_exports, load_text_model
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
        "keras_transformer.interop.load_marian",
        lambda name: (_ for _ in ()).throw(FileNotFoundError(name)),
    )
    with pytest.raises(FileNotFoundError, match=folder):
        Catalogue(str(tmp_path / folder))


def test_a_folder_without_a_model_is_named(tmp_path):
    (tmp_path / "notes.txt").write_text("nothing", encoding="utf-8")
    with pytest.raises(FileNotFoundError, match="holds nothing to serve"):
        Catalogue(str(tmp_path))


def test_a_run_that_has_not_ended_says_so(tmp_path):
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "step-3.keras").touch()
    with pytest.raises(FileNotFoundError, match="keras-transformer train"):
        Catalogue(str(tmp_path))


def test_hub_names_are_read_by_load_marian(monkeypatch):
    asked = []
    monkeypatch.setattr("keras_transformer.interop.load_marian", asked.append)
    load_text_model("Helsinki-NLP/opus-mt-en-de")
    assert asked == ["Helsinki-NLP/opus-mt-en-de"]
