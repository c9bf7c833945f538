import pathlib
import subprocess
import sys

import pytest

PATH = pathlib.Path(__file__).parents[1] / "saved_models" / "dates" / "1"


@pytest.mark.process
def test_the_committed_export_reads_dates_without_this_package():
    code = f"""
import sys
import tensorflow as tf, tensorflow_text
read = tf.saved_model.load({str(PATH)!r}).signatures["serving_default"]
texts = ["14 juillet 1989", "<en> 3/4/2021", "<en_GB> 03/04/2021", "4. März 2021"]
found = read(text=tf.constant(texts))["translation"].numpy()
expected = [b"1989-07-14", b"2021-03-04", b"2021-04-03", b"2021-03-04"]
assert list(found) == expected, found
assert "keras_transformer" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True)
    size = sum(path.stat().st_size for path in PATH.rglob("*") if path.is_file())
    assert size < 8e6
