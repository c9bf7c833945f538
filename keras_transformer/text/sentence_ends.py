"""Where a sentence ends: what stands before a place and what stands after it.

All patterns are RE2's. In them \\C is any byte: a dot matches none that isn't UTF-8.
"""

import re

import tensorflow as tf

from keras_transformer.text import abbreviations

_LINE_SPACES = r"\t \x{a0}\x{1680}\x{2000}-\x{200b}\x{202f}\x{205f}\x{3000}\x{feff}"
_BREAKS = r"\n\r\v\f\x{85}\x{2028}\x{2029}"
SPACE = f"[{_LINE_SPACES}{_BREAKS}]"
LINE_END = f"[{_BREAKS}](?:{SPACE}*[{_BREAKS}])?"

# Marks that end a sentence if a space follows, and those that need none.
_STOP = "[.!?…‼‽⁇⁈⁉]"
_GREEK_QUESTION = r"\p{Greek}[;\x{37e}]"
_WIDE_STOP = (
    "[。！？．｡︒﹒﹖﹗։؝؞؟۔।॥።፧፨။។៕๚๛᠃᠉᙮᜵᜶᥄᥅᪨᪩᪪᪫᭚᭛᭞᭟᰻᰼᱾᱿꓿꘎꘏꛳꛷꡶꡷꣎꣏꤯꧈꧉꩝꩞꩟꫰꫱꯫܀܁܂߹࠷࠹࠽࠾།༎"
    r"\x{10a56}\x{10a57}\x{11047}\x{11048}\x{110be}-\x{110c1}\x{11141}-\x{11143}"
    r"\x{111c5}\x{111c6}\x{111cd}\x{11238}\x{11239}\x{1144b}\x{1144c}]"
)

# What may stand between that mark and the space: quotes, brackets, notes, pictures.
# Some languages close with the quotes that others open with.
_CLOSERS = (
    r"""["'”’»›)\]}」』）】〉》〕］｝〗〙〛｠｣＂＇❞❜*_~]"""
    r"|\[\p{Nd}+\]|[\x{a0}\x{202f} ][»›]|[¹²³⁴-⁹]"
    r"|[ ]?[\x{2600}-\x{27bf}\x{1f300}-\x{1faff}][\x{fe0f}\x{200d}]?|[ ][:;]-?[()DP]"
)
CLOSE = f"(?:{_CLOSERS}|[“‘«‹])*"
OPEN = rf"""(?:["'“‘„‚«‹»›(\[{{¿¡「『（《〈【*_~#•·—–-]|{SPACE})*"""

# Before a word's first letter; an apostrophe stands inside of words.
_NO_WORD = r"(?:\C*[^\p{L}\p{M}\p{N}])?"
_NO_WORD_NOR_APOSTROPHE = r"(?:\C*[^\p{L}\p{M}\p{N}'’])?"
_NO_NUMBER = rf"(?:\C*[„“”«»\"'(\[–/-]|\C*{SPACE})?"

_CASELESS = (
    r"[\p{Arabic}\p{Hebrew}\p{Devanagari}\p{Bengali}\p{Gurmukhi}\p{Gujarati}\p{Tamil}"
    r"\p{Telugu}\p{Kannada}\p{Malayalam}\p{Thai}]"
)
# Verbs of one syllable, which end most sentences in Hindi.
_HINDI_VERBS = "(?:है|हैं|हूँ|हूं|हो|था|थी|थे|थीं|गा|गी|गे|दी|दे|दो|की|के|का|ली|ले|लो)"

_INITIAL = rf"{_NO_WORD_NOR_APOSTROPHE}[\p{{Lu}}\p{{Ll}}\p{{Lt}}]\p{{M}}*\."
_CASELESS_INITIAL = rf"{_NO_WORD}{_CASELESS}\p{{M}}*\."
_HINDI_VERB = rf"{_NO_WORD}{_HINDI_VERBS}\."
# "iPhone", Dutch "'s Avonds", Georgian, "b) ".
_FALSE_SMALL = rf"{OPEN}(?:\p{{Ll}}{{1,2}}\p{{Lu}}|['’][sktn] \p{{Lu}}|\p{{Georgian}}|\p{{Ll}}\))\C*"

# The places where a sentence may end: patterns, and what to write around each cut.
MAY_END = (
    (rf"(?:{_GREEK_QUESTION}|{_STOP}+){CLOSE}{SPACE}+", r"\0"),
    (rf"{_WIDE_STOP}(?:{_WIDE_STOP}|{_STOP})*(?:{_CLOSERS})*{SPACE}*", r"\0"),
    (rf"([!?]+{CLOSE})([\p{{Han}}\p{{Hiragana}}\p{{Katakana}}])", r"\1", r"\2"),
)

# At the start of a line: "1. ", "2.3.) ", "a. ", "IV. ".
LIST_MARK = (
    rf"{SPACE}*(?:[-*•–—]{SPACE}+)?\(?(?:\p{{Nd}}{{1,3}}(?:\.\p{{Nd}}{{1,3}})*|"
    rf"[\p{{Lu}}\p{{Ll}}]|[IVXLC]{{1,6}}|[ivxlc]{{1,6}})[.)]+{SPACE}+"
)

# Japanese and Chinese go on after a quotation: 「...。」と言った。
_QUOTATION = rf"\C*{_WIDE_STOP}(?:{_WIDE_STOP}|{_STOP})*[」』）】〉》〕］”’]+"
_GOES_ON = (
    "(?:と|って|を|に|が|は|の|も|へ|や|から|まで|など|なんて|だ|です|で|的|地|，|、)"
)
_TITLE = r"\C*[《〈][^》〉]*"


def sentence_ends(before, after, has_capitals, has_ordinals):
    """Whether a sentence ends between two strings.

    Args:
        before: String tensor `(N,)`, which ends with a full stop and white space.
        after: String tensor `(N,)`: how the text goes on.
        has_capitals: Bool tensor `(N,)`: whether the text has upper-case letters, so
            that a lower-case letter after a full stop says something.
        has_ordinals: Bool tensor `(N,)`: whether full stops may mark ordinal numbers.

    Returns:
        A bool tensor `(N,)`.
    """
    goes_on = matches(
        after, rf"{SPACE}*(?:[,;:!?…)\]}}»”、，。」』&/%=]|\.[^\p{{L}}])\C*"
    )
    small = matches(after, rf"{OPEN}\p{{Ll}}\C*") & ~matches(after, _FALSE_SMALL)
    goes_on |= small & has_capitals
    goes_on |= matches(before, _QUOTATION) & matches(after, _GOES_ON + r"\C*")
    goes_on |= matches(before, _TITLE)
    word = _last_word(before)
    number_follows = matches(after, rf"{OPEN}(?:\p{{Nd}}|[IVXLC]{{2,}}\b)\C*")
    first_word = matches(after, _first_words(abbreviations.FIRST_WORDS))
    # Where the script has no capitals, every word may be a first one.
    any_word = matches(after, rf"{OPEN}\p{{Lo}}\C*")
    initial = matches(word, _INITIAL)
    inside = matches(word, _ending(abbreviations.NEVER_LAST, capitalized=True))
    inside |= number_follows & matches(
        word, _ending(abbreviations.BEFORE_NUMBERS, capitalized=True)
    )
    inside |= matches(word, _ending(abbreviations.SOMETIMES_LAST)) & ~(
        first_word | any_word
    )
    name = matches(after, _first_words({"": abbreviations.NAME_PARTS}))
    inside |= initial & (~first_word | name)
    inside |= matches(word, _CASELESS_INITIAL) & ~matches(word, _HINDI_VERB)
    inside |= _inside_number(word, after, first_word, has_ordinals)
    return ~(goes_on | inside)


def writes_ordinals(texts):
    """Whether a full stop may mark an ordinal number in the texts' language."""
    words = abbreviations.NO_ORDINALS.replace(" ", "|")
    return ~matches(texts, rf"(?i)(?:\C*[^\p{{L}}])?(?:{words})[^\p{{L}}]\C*")


def matches(texts, pattern):
    """Whether the whole of each string matches."""
    return tf.strings.regex_full_match(texts, pattern)


def _last_word(before):
    """What stands before the white space, quotes and brackets: its last 48 bytes.

    "" if it doesn't end with exactly one full stop.
    """
    word = tf.strings.regex_replace(before, rf"{CLOSE}{SPACE}*$", "")
    word = tf.where(matches(word, r"(?:\C*[^.!?…])?\."), word, "")
    start = tf.maximum(tf.strings.length(word) - 48, 0)
    return tf.strings.substr(word, start, tf.fill(tf.shape(word), 48))


def _inside_number(word, after, first_word, has_ordinals):
    """Whether a full stop is part of a number: "3. Mai", "2. 5. 2024", "XIV. Ludwig"."""
    short = matches(word, rf"{_NO_NUMBER}\p{{Nd}}{{1,2}}\.")
    roman = matches(word, rf"{_NO_WORD}[IVXLC]{{2,}}\.")
    inside = (short | roman) & has_ordinals
    words = abbreviations.BEFORE_ORDINALS.replace(" ", "|")
    inside |= matches(word, rf"(?i){_NO_WORD}(?:{words}){SPACE}+\p{{Nd}}{{1,3}}\.")
    inside &= ~first_word
    inside |= short & matches(after, rf"{SPACE}*\p{{Nd}}\C*")
    date = matches(word, rf"{_NO_NUMBER}\p{{Nd}}{{4}}\.")
    return inside | (date & matches(after, rf"{SPACE}*\p{{Nd}}{{1,2}}\.\C*"))


def _ending(by_language, capitalized=False):
    """The pattern of strings that end with one of the abbreviations."""
    words = set(" ".join(by_language.values()).split())
    if capitalized:
        words |= {word[0].upper() + word[1:] for word in words}
    words = "|".join(re.escape(word) for word in sorted(words))
    words = words.replace(r"\.", rf"\.{SPACE}?")
    return rf"{_NO_WORD}(?:{words})\."


def _first_words(by_language):
    words = sorted(set(" ".join(by_language.values()).split()))
    words = "|".join(re.escape(word) for word in words)
    return rf"(?i){OPEN}(?:{words})(?:[^\p{{L}}\p{{M}}\p{{N}}.]\C*)?"
