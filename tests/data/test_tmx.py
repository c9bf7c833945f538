"""Translation memories: what is text in them, and what is refused."""

import gzip
import tracemalloc

import pytest

from keras_transformer.data import read_pairs

HEAD = '<?xml version="1.0"?>\n<!DOCTYPE tmx SYSTEM "tmx14.dtd">\n'


def unit(*variants):
    inner = "".join(
        f'<tuv xml:lang="{language}"><note>n</note><seg>{text}</seg></tuv>\n'
        for language, text in variants
    )
    return f"<tu>\n<prop>p</prop>{inner}</tu>\n"


def document(*units, head=HEAD):
    header = '<header srclang="en"><note>no text</note></header>'
    body = "".join(units)
    return f'{head}<tmx version="1.4">{header}<body>{body}</body></tmx>'


def pairs(tmp_path, content, source="en", target="de", name="x.tmx"):
    path = tmp_path / name
    content = content if isinstance(content, bytes) else content.encode("utf-8")
    path.write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    return list(read_pairs(path, source_language=source, target_language=target))


@pytest.mark.parametrize("name", ["x.tmx", "x.tmx.gz", "x.TMX"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_a_plain_memory_is_read(tmp_path, name, encoding):
    units = [
        unit(("en", "A d\u00f6g &amp; a cat &lt;3"), ("de", "Ein \U0001f415")),
        unit(("de", "zwei"), ("fr", "deux"), ("en", "two")),
    ]
    expected = [("A d\u00f6g & a cat <3", "Ein \U0001f415"), ("two", "zwei")]
    content = document(*units).encode(encoding)
    assert pairs(tmp_path, content, name=name) == expected
    swapped = [(target, source) for source, target in expected]
    assert pairs(tmp_path, content, "de", "en", name) == swapped


def test_an_encoding_that_the_file_names_is_followed(tmp_path):
    head = '<?xml version="1.0" encoding="ISO-8859-1"?>\n'
    text = document(unit(("en", "\u00e9"), ("de", "\u00fc")), head=head)
    assert pairs(tmp_path, text.encode("latin-1")) == [("\u00e9", "\u00fc")]


@pytest.mark.parametrize(
    "segment, text",
    [
        ('a <bpt i="1">&lt;b&gt;</bpt>bold<ept i="1">&lt;/b&gt;</ept> c', "a bold c"),
        ('a<ph x="1">{0}<sub>alt</sub>{1}</ph> b', "a b"),
        ("a <hi>high</hi> b", "a high b"),
        ('a <hi>h <it pos="begin">i</it>j</hi> b', "a h j b"),
        ("a<ut>code</ut>b<it>code</it>c", "abc"),
        ("<![CDATA[a < b]]>", "a < b"),
        ("a<!-- comment -->b<?pi x?>c", "abc"),
        ("a&#x2028;b&#13;c&#9;d\u2028\x85", "a\u2028b\rc\td\u2028\x85"),
        ("\n    one \r\n\t two\n\n three\n  ", "one two three"),
        ("  two spaces  ", "  two spaces  "),
        ("", ""),
        ("\n", ""),
    ],
)
def test_the_text_of_a_segment_is_what_a_reader_sees(tmp_path, segment, text):
    content = document(unit(("en", segment), ("de", "x")))
    assert pairs(tmp_path, content) == [(text, "x")]


@pytest.mark.parametrize(
    "written, asked, found",
    [
        ("en-US", "en", True),
        ("EN_gb", "en", True),
        ("en", "EN", True),
        ("en-US", "en-us", True),
        ("en-Latn-US", "en_latn", True),
        ("en", "en-US", False),
        ("en-GB", "en-US", False),
        ("eng", "en", False),
        ("e", "en", False),
    ],
)
def test_a_language_stands_for_its_regions(tmp_path, written, asked, found):
    other = unit(("de", "ja"), (asked, "yes"))
    content = document(unit((written, "a"), ("de", "b")), other)
    expected = [("a", "b")] if found else [("", "b")]
    assert pairs(tmp_path, content, asked) == [*expected, ("yes", "ja")]


def test_version_1_1_writes_lang(tmp_path):
    content = document(unit(("en", "a"), ("de", "b"))).replace("xml:lang", "lang")
    assert pairs(tmp_path, content) == [("a", "b")]


def test_no_unit_is_lost(tmp_path):
    content = document(
        unit(("en", "only")),
        unit(("fr", "ni")),
        unit(),
        unit(("en-US", "color"), ("en-GB", "colour"), ("de", "Farbe")),
    )
    expected = [("only", ""), ("", ""), ("", "")]
    expected += [("color", "Farbe"), ("colour", "Farbe")]
    assert pairs(tmp_path, content) == expected


def test_a_memory_of_other_languages_is_named_with_its_own(tmp_path):
    content = document(unit(("en", "a"), ("fr-CA", "b")))
    with pytest.raises(ValueError, match="x.tmx has no unit in both.*en, fr-CA"):
        pairs(tmp_path, content)
    assert pairs(tmp_path, document()) == []


BOMB = (
    '<!DOCTYPE tmx [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;">]>'
    '<tmx><body><tu><tuv xml:lang="en"><seg>&b;</seg></tuv></tu></body></tmx>'
)
OUTSIDE = BOMB.replace('"ha"', 'SYSTEM "file:///etc/passwd"')
PARAMETER = BOMB.replace("ENTITY a", "ENTITY % a")


@pytest.mark.parametrize(
    "content, words",
    [
        (BOMB, ["line 1", "&a;", "refused"]),
        (OUTSIDE, ["line 1", "&a;", "refused"]),
        (PARAMETER, ["line 1", "&a;", "refused"]),
        (document(unit(("en", "caf&eacute;"), ("de", "b"))), ["line 4", "&eacute;"]),
        (document(unit(("en", "a & b"), ("de", "b"))), ["line 4", "well-formed"]),
        (document(unit(("en", "a"), ("de", "b")))[:-9], ["well-formed", "whole"]),
        (document("<tu><tuv><seg>a</seg></tuv></tu>"), ["line 3", "no xml:lang"]),
        ("<html><body/></html>", ["line 1", "<html>"]),
        ("en\tde\n", ["line 1", "well-formed"]),
        ("", ["line 1", "no element"]),
        (document(unit(("en", "a"))).encode()[:-9] + b"\xff", ["line", "well-formed"]),
        ('<?xml version="1.0" encoding="klingon"?><tmx/>', ["encoding", "line 1"]),
        ('<?xml version="1.0" encoding="gb18030"?><tmx/>', ["encoding", "line 1"]),
    ],
)
def test_what_is_no_memory_is_named_with_its_line(tmp_path, content, words):
    with pytest.raises(ValueError) as error:
        pairs(tmp_path, content)
    assert all(word in str(error.value) for word in ["x.tmx", *words])


def test_a_gz_cut_short_is_named(tmp_path):
    path = tmp_path / "x.tmx.gz"
    whole = gzip.compress(document(unit(("en", "a"), ("de", "b"))).encode("utf-8"))
    languages = {"source_language": "en", "target_language": "de"}
    for length in (0, 5, len(whole) - 10):
        path.write_bytes(whole[:length])
        with pytest.raises(ValueError, match="x.tmx.gz is no whole gzip file"):
            list(read_pairs(path, **languages))
    with pytest.raises(FileNotFoundError, match="none.tmx"):
        list(read_pairs(tmp_path / "none.tmx", **languages))


def test_memory_is_that_of_a_unit(tmp_path):
    path = tmp_path / "x.tmx"
    number = 6000
    units = unit(("en", "a word " * 10), ("de", "ein Wort " * 10)) * number
    path.write_text(document(units), encoding="utf-8")
    found = read_pairs(path, source_language="en", target_language="de")
    tracemalloc.start()
    count = sum(1 for _ in found)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert count == number
    assert peak < 1 << 20 < path.stat().st_size
