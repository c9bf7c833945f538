"""What the package imports is declared, and what is built of it is complete."""

import ast
import configparser
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile

import pytest
import yaml

ROOT = pathlib.Path(__file__).parents[1]
# Where a distribution's name isn't that of its module.
DISTRIBUTIONS = {
    "google": "protobuf",
    "grpc": "grpcio",
    "tensorflow_serving": "tensorflow-serving-api",
    "yaml": "pyyaml",
}
LEFT_OUT = ("__pycache__", ".pytest_cache", ".hypothesis")


def imported_modules():
    """The top-level modules of others that the package imports, and where."""
    found = {}
    for path in sorted((ROOT / "keras_transformer").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            names = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.level == 0:
                names = [node.module]
            for name in names:
                found.setdefault(name.split(".")[0], path.relative_to(ROOT))
    own = {"keras_transformer", *sys.stdlib_module_names}
    return {name: path for name, path in found.items() if name not in own}


def declared_distributions():
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg", encoding="utf-8")
    lines = config["options"]["install_requires"].splitlines()
    for extra in config["options.extras_require"].values():
        lines += extra.splitlines()
    names = (re.match(r"[\w.-]+", line) for line in lines)
    return {normalized(name[0]) for name in names if name}


def normalized(name):
    return re.sub(r"[-_.]+", "-", name).lower()


def test_every_module_that_is_imported_is_declared():
    declared = declared_distributions()
    assert {"keras", "numpy", "ml-dtypes"} <= declared
    missing = {
        name: str(path)
        for name, path in imported_modules().items()
        if normalized(DISTRIBUTIONS.get(name, name)) not in declared
    }
    assert missing == {}


ADDRESS = "https://example.org/owner/name"


@pytest.fixture(scope="module")
def distributions(tmp_path_factory):
    """The paths of a source distribution and of a wheel."""
    pytest.importorskip("setuptools", minversion="77")
    copy = tmp_path_factory.mktemp("build") / "copy"
    left_out = shutil.ignore_patterns(*LEFT_OUT, ".git", "*.egg-info", "build", "dist")
    shutil.copytree(ROOT, copy, ignore=left_out)
    code = (
        "import setuptools.build_meta as build\n"
        "print(build.build_sdist('dist'))\n"
        "print(build.build_wheel('dist'))"
    )
    command = [sys.executable, "-c", code]
    environment = {**os.environ, "REPOSITORY_URL": f"{ADDRESS}/"}
    done = subprocess.run(
        command, cwd=copy, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-2000:]
    (sdist,) = (copy / "dist").glob("*.tar.gz")
    (wheel,) = (copy / "dist").glob("*.whl")
    return sdist, wheel


@pytest.fixture(scope="module")
def built(distributions):
    """Names of the files in the source distribution and in the wheel."""
    sdist, wheel = distributions
    with tarfile.open(sdist) as archive:
        inside = {name.partition("/")[2] for name in archive.getnames()}
    with zipfile.ZipFile(wheel) as archive:
        return inside, set(archive.namelist())


def files_of(folder):
    return {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / folder).rglob("*")
        if path.is_file() and not set(path.parts) & {*LEFT_OUT}
    }


def test_the_source_distribution_has_all_that_its_tests_need(built):
    sdist, _ = built
    for folder in ("keras_transformer", "tests", "examples", "docs", "benchmarks"):
        assert files_of(folder) - sdist == set(), folder
    assert {"setup.cfg", "pyproject.toml", "README.md", "LICENSE"} <= sdist


def test_the_wheel_has_the_package_and_nothing_else(built):
    _, wheel = built
    assert files_of("keras_transformer") - wheel == set()
    tops = {name.split("/")[0] for name in wheel}
    assert {top for top in tops if not top.endswith(".dist-info")} == {
        "keras_transformer"
    }


def test_the_index_shows_pictures_and_follows_links(distributions):
    _, wheel = distributions
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (n for n in archive.namelist() if n.endswith(".dist-info/METADATA"))
        metadata = archive.read(name).decode("utf-8")
    assert f"Project-URL: Source, {ADDRESS}\n" in metadata
    readme = (ROOT / "README.md").read_text("utf-8")
    pictures = re.findall(r"!\[[^\]]*\]\(([^)]+)\)", readme)
    assert pictures
    for picture in pictures:
        assert f"]({ADDRESS}/raw/HEAD/{picture})" in metadata
    addresses = re.findall(r"\]\(([^)]+)\)", metadata)
    assert f"{ADDRESS}/blob/HEAD/docs/serving.md#try-it-on-this-machine" in addresses
    assert all(re.match(r"https?:|#", address) for address in addresses)


def test_each_commit_is_checked_as_ci_checks():
    config = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text("utf-8"))
    hooks = [hook for repo in config["repos"] for hook in repo["hooks"]]
    commands = [hook["entry"].replace(" --force-exclude", "") for hook in hooks]
    of_ci = map(str.strip, (ROOT / ".ci/run").read_text("utf-8").splitlines())
    of_ci = {line.replace(" --check", "").removesuffix(" .") for line in of_ci}
    assert set(commands) == {"mypy", "ruff check", "ruff format"} <= of_ci
    # Of CI's environment, not of another one with other versions.
    assert {hook["language"] for hook in hooks} == {"system"}
    assert {"mypy", "ruff"} <= declared_distributions()
