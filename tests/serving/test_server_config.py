"""What server-config writes, and which models it refuses."""

import http.server
import json
import os
import shutil
import subprocess
import threading

import pytest
import tensorflow as tf
import yaml
from google.protobuf import text_format
from tensorflow_serving.config import model_server_config_pb2

from keras_transformer.cli import main
from keras_transformer.serving import write_server_config, write_warmup
from keras_transformer.serving.server_config import IMAGE


class Echo(tf.Module):
    """A model with a signature of each kind that matters here."""

    def __init__(self):
        super().__init__()
        self.more = tf.Variable(["."])

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="text")])
    def serving_default(self, text):
        return {"text": text + self.more}

    @tf.function(
        input_signature=[tf.TensorSpec([None], tf.float32, name="x")], jit_compile=True
    )
    def compiled(self, x):
        return {"y": x + 1.0}


@pytest.fixture(scope="module")
def exports(tmp_path_factory):
    """A folder with a model without XLA, and one with it."""
    folder = tmp_path_factory.mktemp("exports")
    module = Echo()
    plain = {"serving_default": module.serving_default}
    tf.saved_model.save(module, str(folder / "plain" / "1"), signatures=plain)
    both = {**plain, "compiled": module.compiled}
    tf.saved_model.save(module, str(folder / "xla" / "1"), signatures=both)
    for name in ("plain", "xla"):
        write_warmup(
            folder / name / "1", [("serving_default", {"text": ["a", "b", "c"]})]
        )
    return folder


@pytest.fixture
def models(exports, tmp_path):
    shutil.copytree(exports / "plain", tmp_path / "en-de")
    shutil.copytree(exports / "plain", tmp_path / "en-fr")
    return tmp_path


def compose(folder):
    text = (folder / "docker-compose.yml").read_text(encoding="utf-8")
    return yaml.safe_load(text)["services"]["translate"]


def kubernetes(folder):
    text = (folder / "kubernetes.yaml").read_text(encoding="utf-8")
    documents = list(yaml.safe_load_all(text))
    return {document["kind"]: document for document in documents}


def flags(arguments):
    return dict(argument.removeprefix("--").split("=") for argument in arguments)


def server(folder):
    (container,) = kubernetes(folder)["Deployment"]["spec"]["template"]["spec"][
        "containers"
    ]
    return container


def test_the_server_s_own_files_parse_and_name_all_models(models):
    assert write_server_config(models) == ["en-de", "en-fr"]
    config = text_format.Parse(
        (models / "models.config").read_text(encoding="utf-8"),
        model_server_config_pb2.ModelServerConfig(),
    )
    paths = [model.base_path for model in config.model_config_list.config]
    assert paths == ["/models/en-de", "/models/en-fr"]
    # The API's package has no proto for this one.
    monitoring = (models / "monitoring.config").read_text(encoding="utf-8")
    assert "prometheus_config {" in monitoring and "enable: true" in monitoring
    assert 'path: "/monitoring/prometheus/metrics"' in monitoring


@pytest.mark.parametrize("xla, intra_op", [(False, 1), (True, 3)])
def test_flags_are_those_that_were_measured(models, xla, intra_op):
    write_server_config(models, threads=3, xla=xla, rest_threads=96)
    expected = {
        "port": "8500",
        "rest_api_port": "8501",
        "model_config_file": "/models/models.config",
        "model_config_file_poll_wait_seconds": "60",
        "enable_batching": "true",
        "batching_parameters_file": "/models/batching.config",
        "monitoring_config_file": "/models/monitoring.config",
        "rest_api_num_threads": "96",
        "num_load_threads": "4",
        "max_num_load_retries": "2",
        "load_retry_interval_micros": "5000000",
        "tensorflow_intra_op_parallelism": str(intra_op),
        "tensorflow_inter_op_parallelism": "3",
    }
    if xla:
        expected["xla_cpu_compilation_enabled"] = "true"
    assert flags(compose(models)["command"]) == expected
    in_cluster = {
        name: value.replace("/models/", "/config/") for name, value in expected.items()
    }
    assert flags(server(models)["args"]) == in_cluster


def test_by_default_rest_joins_sixty_four_texts(models):
    write_server_config(models)
    assert flags(compose(models)["command"])["rest_api_num_threads"] == "64"


def test_each_flag_has_its_reason_beside_it(models):
    write_server_config(models, xla=True)
    text = (models / "docker-compose.yml").read_text(encoding="utf-8")
    for words in (
        "REST joins no more texts than it has threads",
        "one broken version keeps all models from being loaded",
        "REST stays closed until all models are there",
        "As process 1 the server ignores SIGTERM",
        "no authentication",
    ):
        assert f"# {words}" in text or words in text


def test_docker_stops_the_server_and_knows_its_state(models):
    write_server_config(models, memory=3.5, image="registry.local/serving:2.19.1")
    service = compose(models)
    assert service["init"] is True
    assert service["stop_grace_period"] == "30s"
    assert service["mem_limit"] == "3584m"
    assert service["image"] == "registry.local/serving:2.19.1"
    assert service["healthcheck"]["test"][:3] == ["CMD", "bash", "-c"]
    assert service["environment"] == {"MALLOC_ARENA_MAX": "2"}


def test_ports_are_this_machine_s_unless_published(models):
    write_server_config(models)
    assert compose(models)["ports"] == ["127.0.0.1:8500:8500", "127.0.0.1:8501:8501"]
    assert kubernetes(models)["Service"]["spec"].get("type", "ClusterIP") == "ClusterIP"
    write_server_config(models, publish=True)
    assert compose(models)["ports"] == ["8500:8500", "8501:8501"]


def test_kubernetes_waits_for_the_models_and_makes_more_servers(models):
    write_server_config(models, memory=2)
    documents = kubernetes(models)
    container = server(models)
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        assert container[probe]["httpGet"] == {
            "path": "/v1/models/en-de",
            "port": "rest",
        }
    assert container["image"] == IMAGE
    assert container["resources"]["limits"] == {"memory": "2048Mi"}
    spec = documents["Deployment"]["spec"]
    assert spec["strategy"]["rollingUpdate"] == {"maxUnavailable": 0, "maxSurge": 1}
    pod = spec["template"]["spec"]
    assert pod["shareProcessNamespace"] is True
    assert {"name": "MALLOC_ARENA_MAX", "value": "2"} in pod["containers"][0]["env"]
    # The server gets SIGTERM after the pause, and has some seconds then.
    pause = int(container["lifecycle"]["preStop"]["exec"]["command"][1])
    assert pause < pod["terminationGracePeriodSeconds"]
    for name in ("models.config", "batching.config", "monitoring.config"):
        text = (models / name).read_text(encoding="utf-8")
        assert documents["ConfigMap"]["data"][name] == text
    scaler = documents["HorizontalPodAutoscaler"]["spec"]
    assert (
        scaler["scaleTargetRef"]["name"] == documents["Deployment"]["metadata"]["name"]
    )
    assert [metric["type"] for metric in scaler["metrics"]] == ["Pods", "Resource"]
    labels = spec["template"]["metadata"]["labels"]
    assert documents["Service"]["spec"]["selector"] == labels
    assert spec["selector"]["matchLabels"] == labels


@pytest.mark.parametrize("state, code", [("AVAILABLE", 0), ("LOADING", 1)])
def test_the_health_check_asks_for_each_model_s_state(models, state, code):
    asked = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            answer = {"model_version_status": [{"version": "1", "state": state}]}
            self.send_response(200)
            self.end_headers()
            self.wfile.write(json.dumps(answer, indent=1).encode())

        def log_message(self, *_):
            pass

    write_server_config(models)
    command = compose(models)["healthcheck"]["test"][1:]
    stub = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=stub.serve_forever, daemon=True).start()
    try:
        # As docker compose hands it on, but for the port.
        script = command[-1].replace("$$", "$").replace("8501", str(stub.server_port))
        done = subprocess.run([*command[:-1], script], timeout=20)
    finally:
        stub.shutdown()
        stub.server_close()
    assert done.returncode == code
    models_asked = ["/v1/models/en-de", "/v1/models/en-fr"]
    assert asked == (models_asked if code == 0 else models_asked[:1])


def test_without_a_server_the_health_check_fails(models):
    write_server_config(models)
    command = compose(models)["healthcheck"]["test"][1:]
    # Port 1 is never a server's.
    script = command[-1].replace("$$", "$").replace("8501", "1")
    done = subprocess.run(
        [*command[:-1], script], stderr=subprocess.DEVNULL, timeout=20
    )
    assert done.returncode == 1


def test_memory_grows_with_the_models(models):
    write_server_config(models)
    two = int(compose(models)["mem_limit"].removesuffix("m"))
    shutil.rmtree(models / "en-fr")
    write_server_config(models)
    one = int(compose(models)["mem_limit"].removesuffix("m"))
    # The server alone, the model, and its next version.
    assert one >= 3 * 1024
    assert two >= one + 1024


def test_signatures_of_xla_need_the_flag(exports, tmp_path):
    shutil.copytree(exports / "xla", tmp_path / "en-de")
    with pytest.raises(ValueError, match="compiled, and a server without XLA.*--xla"):
        write_server_config(tmp_path)
    assert list(tmp_path.iterdir()) == [tmp_path / "en-de"]
    write_warmup(tmp_path / "en-de" / "1", [("compiled", {"x": [1.0]})], xla=True)
    assert write_server_config(tmp_path, xla=True) == ["en-de"]


def cut(path):
    path.write_bytes(path.read_bytes()[:-20])


@pytest.mark.parametrize(
    "damage, words",
    [
        (lambda model: cut(model / "1" / "saved_model.pb"), "cut short"),
        (
            lambda model: cut(model / "1/variables/variables.data-00000-of-00001"),
            "can't be read",
        ),
        (lambda model: shutil.rmtree(model / "1" / "variables"), "fails each request"),
        (lambda model: (model / "2").mkdir(), "has no saved_model.pb"),
        (lambda model: (model / "1/saved_model.pb").unlink(), "has no saved_model.pb"),
        (lambda model: (model / "1").rename(model / "v1"), "looks for versions"),
        (
            lambda model: cut(model / "1/assets.extra/tf_serving_warmup_requests"),
            "is cut short",
        ),
    ],
)
def test_what_can_t_come_up_is_refused(models, damage, words):
    damage(models / "en-fr")
    with pytest.raises(ValueError, match=f"en-fr.*{words}"):
        write_server_config(models)
    assert not (models / "models.config").exists()


def move(path, place):
    """Moves a folder or a file, and leaves a link."""
    path.rename(place)
    path.symlink_to(os.path.relpath(place, path.parent))


@pytest.mark.parametrize(
    "name", ["en-fr", "en-fr/1", "en-fr/1/variables/variables.index"]
)
def test_links_that_the_container_can_t_follow_are_refused(models, name):
    move(models / name, models.parent / f"{models.name}-elsewhere")
    with pytest.raises(ValueError, match=f"{name} is a link to .*elsewhere"):
        write_server_config(models)


def test_only_relative_links_within_the_folder_are_served(models):
    move(models / "en-fr" / "1", models / "en-fr" / "first")
    assert "en-fr" in write_server_config(models)
    (models / "en-fr" / "1").unlink()
    (models / "en-fr" / "1").symlink_to((models / "en-fr" / "first").absolute())
    with pytest.raises(ValueError, match="is a link to /.*relative path"):
        write_server_config(models)


def test_a_warm_up_of_more_rows_than_a_batch_is_refused(models):
    with pytest.raises(ValueError, match="at least 3, .*max_batch_size=2"):
        write_server_config(models, max_batch_size=2)


@pytest.mark.parametrize("name", ["en de", "it's", "{en}", "de:fr"])
def test_names_that_are_no_address_are_refused(models, name):
    (models / "en-fr").rename(models / name)
    with pytest.raises(ValueError, match="Rename its folder"):
        write_server_config(models)


@pytest.mark.parametrize(
    "options, words",
    [
        ({"max_batch_size": 0}, "max_batch_size=0"),
        ({"threads": -1}, "threads=-1"),
        ({"rest_threads": 2.5}, "rest_threads=2.5"),
        ({"memory": 0}, "received 0"),
        ({"memory": 0.0001}, "at least 0.5; received 0.0001"),
        ({"memory": "2"}, "received '2'"),
        ({"memory": True}, "received True"),
        ({"publish": "no"}, "publish must be True or False; received publish='no'"),
        ({"xla": 1}, "xla must be True or False; received xla=1"),
        ({"memory": float("nan")}, "received nan"),
        ({"memory": float("inf")}, "received inf"),
        ({"image": "a b"}, "received 'a b'"),
        ({"image": ""}, "received ''"),
        ({"image": "serving:"}, "received 'serving:'"),
        ({"image": ":2.20.0"}, "received ':2.20.0'"),
        ({"image": "a:b:c"}, "received 'a:b:c'"),
        ({"image": "a/-b"}, "received 'a/-b'"),
        ({"image": "a\n"}, "image must be"),
        ({"image": None}, "received None"),
    ],
)
def test_settings_out_of_range_are_an_error(models, options, words):
    with pytest.raises(ValueError, match=words):
        write_server_config(models, **options)


@pytest.mark.parametrize(
    "image",
    [
        "serving",
        "123",
        "tensorflow/serving:latest-gpu",
        "localhost:5000/a/b_c:1",
        "gcr.io/x/y@sha256:" + "0" * 64,
    ],
)
def test_any_image_is_written_as_it_is(models, image):
    write_server_config(models, image=image)
    assert compose(models)["image"] == server(models)["image"] == image


def test_server_config_needs_a_model(tmp_path):
    with pytest.raises(ValueError, match="no exported model"):
        write_server_config(tmp_path)


def test_a_model_s_own_folder_is_refused(models):
    with pytest.raises(ValueError, match="holds versions of a model.*folder of all"):
        write_server_config(models / "en-de")


def test_the_command_has_the_same_settings(models, capsys):
    options = ["--publish", "--image", "mine:1", "--memory", "4", "--rest-threads", "8"]
    main(["server-config", str(models), *options])
    assert "en-de, en-fr" in capsys.readouterr().out
    service = compose(models)
    assert service["image"] == "mine:1" and service["mem_limit"] == "4096m"
    assert service["ports"] == ["8500:8500", "8501:8501"]
    assert flags(service["command"])["rest_api_num_threads"] == "8"
