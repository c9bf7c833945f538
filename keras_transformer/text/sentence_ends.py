"""Where a sentence ends: what stands before a place and what stands after it.

All patterns are RE2's. In them \\C is any byte: a dot matches none that isn't UTF-8.
"""

import functools
import re

import tensorflow as tf

from keras_transformer.text import abbreviations

_LINE_SPACES = r"\t \x{a0}\x{1680}\x{2000}-\x{200b}\x{202f}\x{205f}\x{3000}\x{feff}"
_BREAKS = r"\n\r\v\f\x{85}\x{2028}\x{2029}"
BREAK = f"[{_BREAKS}]"
SPACE = f"[{_LINE_SPACES}{_BREAKS}]"

# Marks that end a sentence if a space follows, and those that need none.
_STOP = "[.!?…‼‽⁇⁈⁉]"
_GREEK_QUESTION = r"\p{Greek}[;\x{37e}]"
WIDE_STOP = (
    "[。！？．｡︒﹒﹖﹗։؝؞؟۔।॥።፧፨။។៕๚๛᠃᠉᙮᜵᜶᥄᥅᪨᪩᪪᪫᭚᭛᭞᭟᰻᰼᱾᱿꓿꘎꘏꛳꛷꡶꡷꣎꣏꤯꧈꧉꩝꩞꩟꫰꫱꯫܀܁܂߹࠷࠹࠽࠾།༎"
    r"\x{10a56}\x{10a57}\x{11047}\x{11048}\x{110be}-\x{110c1}\x{11141}-\x{11143}"
    r"\x{111c5}\x{111c6}\x{111cd}\x{11238}\x{11239}\x{1144b}\x{1144c}]"
)

# What may stand between that mark and the space: quotes, brackets, notes, pictures.
# Some languages close with the quotes that others open with.
_CLOSERS = (
    r"""["'”’»›)\]}」』）】〉》〕］｝〗〙〛｠｣＂＇❞❜*_~]"""
    r"|\[\p{Nd}+\]|[\x{a0}\x{202f} ](?:[»›”)\]]|''|-RRB-)|[¹²³⁴-⁹]"
    r"|[ ]?[\x{2600}-\x{27bf}\x{1f300}-\x{1faff}][\x{fe0f}\x{200d}]?|[ ][:;]-?[()DP]"
)
CLOSE = f"(?:{_CLOSERS}|[“‘«‹])*"
OPEN = rf"""(?:["'`“‘„‚«‹»›(\[{{¿¡「『（《〈【*_~#•·—–-]|{SPACE})*"""

# What stands before a word's first letter, an initial, a number.
_NO_WORD = r"(?:\C*[^\p{L}\p{M}\p{N}])?"
_BEFORE_INITIAL = rf"(?:\C*[„“”«»\"(\[.–—-]|\C*{SPACE})?"
_NO_NUMBER = rf"(?:\C*[„“”«»\"'(\[–/-]|\C*{SPACE})?"

_CASELESS = (
    r"[\p{Arabic}\p{Hebrew}\p{Devanagari}\p{Bengali}\p{Gurmukhi}\p{Gujarati}\p{Tamil}"
    r"\p{Telugu}\p{Kannada}\p{Malayalam}\p{Thai}]"
)
# Verbs of one syllable, which end most sentences in Hindi.
_HINDI_VERBS = "(?:है|हैं|हूँ|हूं|हो|था|थी|थे|थीं|गा|गी|गे|दी|दे|दो|की|के|का|ली|ले|लो)"

_INITIAL = rf"{_BEFORE_INITIAL}[\p{{Lu}}\p{{Ll}}\p{{Lt}}]\p{{M}}*\."
_CASELESS_INITIAL = rf"{_NO_WORD}{_CASELESS}\p{{M}}*\."
_HINDI_VERB = rf"{_NO_WORD}{_HINDI_VERBS}\."
# "iPhone", Dutch "'s Avonds", Georgian, "b) ".
_FALSE_SMALL = (
    rf"{OPEN}(?:\p{{Ll}}{{1,2}}\p{{Lu}}|['’][sktn] \p{{Lu}}|"
    r"\p{Georgian}|\p{Ll}\))\C*"
)

# The places where a sentence may end: patterns, and what to write around each cut.
MAY_END = (
    (rf"(?:{_GREEK_QUESTION}|{_STOP}+){CLOSE}{SPACE}+", r"\0"),
    (rf"{WIDE_STOP}(?:{WIDE_STOP}|{_STOP})*(?:{_CLOSERS})*{SPACE}*", r"\0"),
    (rf"([!?]+{CLOSE})([\p{{Han}}\p{{Hiragana}}\p{{Katakana}}])", r"\1", r"\2"),
)

AFTER_STOP = rf"\C*(?:{_GREEK_QUESTION}|{_STOP}|{WIDE_STOP}){CLOSE}{SPACE}*"

# At the start of a line: "1. ", "2.3.) ", "a. ", "IV. ".
LIST_MARK = (
    rf"{SPACE}*(?:[-*•–—]{SPACE}+)?\(?(?:\p{{Nd}}{{1,3}}(?:\.\p{{Nd}}{{1,3}})*|"
    rf"[\p{{Lu}}\p{{Ll}}]|[IVXLC]{{1,6}}|[ivxlc]{{1,6}})(?:[.)]+{SPACE}+|[．）]{SPACE}*)"
)

# Japanese and Chinese go on after a quotation: 「...。」と言った。
_QUOTATION = rf"\C*{WIDE_STOP}(?:{WIDE_STOP}|{_STOP})*[」』）】〉》〕］”’]+"
_GOES_ON = (
    "(?:と|って|を|に|が|は|の|も|へ|や|から|まで|など|なんて|だ|です|で|的|地|，|、)"
)
# "《你好！世界》" is a title, "[...]" an omission.
_OMISSION = rf"\C*[\[(（]{_STOP}+[\])）]{CLOSE}{SPACE}*"
_TITLE = r"\C*[《〈][^》〉]*"


def goes_on(before: tf.Tensor, after: tf.Tensor, has_capitals: tf.Tensor) -> tf.Tensor:
    """Whether what follows a full stop shows that the sentence goes on.

    Args:
        before: String tensor `(N,)`: a full stop, white space and what precedes them.
        after: String tensor `(N,)`: what follows.
        has_capitals: Bool tensor `(N,)`: whether the text has upper-case letters, so
            that a lower-case letter after a full stop says something.

    Returns:
        A bool tensor `(N,)`.
    """
    mark = matches(
        after, rf"{SPACE}*(?:[,;:!?…)\]}}、，。」』&/%=]\C*|\.(?:[^\p{{L}}]\C*)?)"
    )
    small = matches(after, rf"{OPEN}\p{{Ll}}\C*") & ~matches(after, _FALSE_SMALL)
    quoted = matches(before, _QUOTATION) & matches(after, _GOES_ON + r"\C*")
    inside = matches(before, _TITLE) | matches(before, _OMISSION)
    inside |= matches(before, r"\C*\p{Nd}．") & matches(after, r"\p{Nd}\C*")
    return mark | (small & has_capitals) | quoted | inside


def is_inside(
    before: tf.Tensor, after: tf.Tensor, has_ordinals: tf.Tensor
) -> tf.Tensor:
    """Whether a full stop belongs to an abbreviation, an initial or a number.

    Args:
        before: String tensor `(N,)`: a full stop, white space and what precedes them.
        after: String tensor `(N,)`: what follows.
        has_ordinals: Bool tensor `(N,)`: whether full stops may mark ordinal numbers.

    Returns:
        A bool tensor `(N,)`.
    """
    word = _last_word(before)
    first_word = matches(after, _starting(abbreviations.FIRST_WORDS.values()))
    name = matches(after, _starting([abbreviations.NAME_PARTS]))
    # Where the script has no capitals, every word may be a first one.
    any_word = first_word | matches(after, rf"{OPEN}\p{{Lo}}\C*")
    number = matches(after, rf"{OPEN}(?:\p{{Nd}}|[IVXLC]{{2,}}\b)\C*")
    last = matches(word, _ending(abbreviations.USUALLY_LAST) + r"\.")
    return (
        matches(word, _ending(abbreviations.NEVER_LAST) + r"\.")
        | (matches(word, _ending(abbreviations.BEFORE_NUMBERS) + r"\.") & number)
        | (matches(word, _ending(abbreviations.SOMETIMES_LAST) + r"\.") & ~any_word)
        | (matches(word, _INITIAL) & ~last & (~first_word | name))
        | (matches(word, _CASELESS_INITIAL) & ~matches(word, _HINDI_VERB))
        | _is_inside_number(word, after, first_word, has_ordinals)
    )


def _is_inside_number(word, after, first_word, has_ordinals):
    """Whether a full stop is part of a number: "3. Mai", "2. 5. 2024", "XIV."."""
    short = matches(word, rf"{_NO_NUMBER}\p{{Nd}}{{1,2}}\.")
    roman = matches(word, rf"{_NO_WORD}[IVXLC]{{2,}}\.")
    words = abbreviations.BEFORE_ORDINALS.replace(" ", "|")
    ordinal = matches(word, rf"(?i){_NO_WORD}(?:{words}){SPACE}+\p{{Nd}}{{1,3}}\.")
    ordinal |= (short | roman) & has_ordinals
    # "p. 12." and "no. 3." aren't.
    counts = _ending(abbreviations.BEFORE_NUMBERS) + rf"\.?{SPACE}?\p{{Nd}}+\."
    ordinal &= ~first_word & ~matches(word, counts)
    year = matches(word, rf"{_NO_NUMBER}\p{{Nd}}{{4}}\.")
    date = short & matches(after, rf"{SPACE}*\p{{Nd}}\C*")
    date |= year & matches(after, rf"{SPACE}*\p{{Nd}}{{1,2}}\.\C*")
    return ordinal | date


def writes_ordinals(texts: tf.Tensor) -> tf.Tensor:
    """Whether a full stop may mark an ordinal number in the texts' language."""
    words = abbreviations.NO_ORDINALS.replace(" ", "|")
    return ~matches(texts, rf"(?i)(?:\C*[^\p{{L}}])?(?:{words})[^\p{{L}}]\C*")


def matches(texts: tf.Tensor, pattern: str) -> tf.Tensor:
    """Whether the whole of each string matches."""
    return tf.strings.regex_full_match(texts, pattern)


def _last_word(before):
    """What precedes the white space, quotes and brackets: its last 48 bytes.

    "" if it doesn't end with exactly one full stop.
    """
    word = tf.strings.regex_replace(before, rf"{CLOSE}{SPACE}*$", "")
    word = tf.where(matches(word, r"(?:\C*[^.!?…])?\."), word, "")
    start = tf.maximum(tf.strings.length(word) - 48, 0)
    return tf.strings.substr(word, start, tf.fill(tf.shape(word), 48))


@functools.cache
def _alternatives(texts, *, capitalized=False):
    words = set(" ".join(texts).split())
    if capitalized:
        words |= {word[0].upper() + word[1:] for word in words}
    return "|".join(re.escape(word) for word in sorted(words))


def _ending(by_language):
    """The pattern of strings that end with one of the abbreviations, as written.

    Those that end no sentence are written with a capital too.
    """
    capitalized = by_language is not abbreviations.SOMETIMES_LAST
    words = _alternatives(tuple(by_language.values()), capitalized=capitalized)
    words = words.replace(r"\.", rf"\.{SPACE}?").replace(r"\~", r"\p{L}*")
    return f"{_NO_WORD}(?:{words})"


def _starting(texts):
    """The pattern of strings that start with one of the words."""
    words = _alternatives(tuple(texts))
    return rf"(?i){OPEN}(?:{words})(?:[^\p{{L}}\p{{M}}\p{{N}}.]\C*)?"
