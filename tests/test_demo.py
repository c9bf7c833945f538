import collections
import datetime

import pytest

from keras_transformer import demo


def test_every_written_date_has_one_reading():
    readings = collections.defaultdict(set)
    for day in range(366):
        date = datetime.date(2012, 1, 1) + datetime.timedelta(days=day)
        for locale in demo.LOCALES:
            for form in demo._STYLES + demo._SKELETONS:
                text = demo.write_date(date, locale, form)
                assert "12" in text
                readings[text].add(date)
    assert all(len(dates) == 1 for dates in readings.values())
    assert len(demo.LOCALES) >= 15


def test_no_date_is_in_two_parts_of_the_corpus(tmp_path):
    demo.write_corpus(tmp_path, num_train=5000, num_held_out=300)
    parts = []
    for name, rows in (("train", 5000), ("valid", 300), ("test", 300)):
        lines = (tmp_path / f"{name}.tsv").read_text().splitlines()
        assert len(lines) == rows
        parts.append({line.split("\t")[1] for line in lines})
    train, valid, test = parts
    assert not train & valid and not train & test and not valid & test


@pytest.mark.slow
def test_the_demo_reads_99_of_100_dates(tmp_path):
    accuracy = demo.run_demo(tmp_path / "run", tmp_path / "export")
    assert accuracy >= 0.99
    assert (tmp_path / "run" / "attention.png").exists()
