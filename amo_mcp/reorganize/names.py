"""Whether two names are one: surely, as they are the same once written plainly, or perhaps, as they read alike.

A negation, a number, a sign and another order of numbers make another name. That two names read alike says nothing of a
third, and is no reason to delete anything.
"""

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import permutations, product
from typing import Self

from amo_mcp.text import is_invisible

LOOKALIKES = str.maketrans("abcehkmoptxy", "авсенкмортху")
"""Small Latin letters as the Cyrillic ones that they, or their capitals, look like."""

_ALIKE = LOOKALIKES | str.maketrans("ёіѕј", "еisj")

_DASHES = str.maketrans(dict.fromkeys("‐‑‒–—―−", "-"))
_INNER_PUNCTUATION = re.compile(r"(?<=[^\W_])['’ʼ`´._·-](?=[^\W\d_])|(?<=[^\W\d_])['’ʼ`´._·-](?=[^\W_])")
_SPACE = re.compile(r"(?<!\d) | (?!\W?\d)")
_RANGE = re.compile(r"(?<=\d) - (?=\d)")
_THOUSANDS = re.compile(r"(?<=\d) (?=\d{3}(?!\d))")
_AND = re.compile(r"(?<=\s)(?:и|and|y|e|&)(?=\s)")
_TOKEN = re.compile(r"\d+|[^\W\d_]+\.?|\S")
_SIGNS = frozenset("%‰&*#@\\†‡§")
_FIRST_PICTURE = "\u2190"

_NEGATIONS = frozenset("не ни not no non não sin sem".split())
_LINKS = frozenset(
    "без с со в во к ко из от до за на по под над о об у для при после перед кроме между "
    "to from of for in on at by with without over under before after than except between "
    "a de do da dos das del en em com con para por desde hasta até antes".split()
)
"""Words that say how the next one is meant, and stand with it in whatever order the rest is."""

_TRANSLITERATED = str.maketrans(
    dict(zip("абвгдеёзийклмнопрстуфхцыэ", "abvgdeezijklmnoprstufhcye", strict=True))
    | {"ж": "zh", "ч": "ch", "ш": "sh", "щ": "sch", "ъ": "", "ь": "", "ю": "yu", "я": "ya"}
)
_ENDING = re.compile(
    r"(ыми|ими|ого|его|ому|ему|ами|ями|ый|ий|ой|ая|яя|ое|ее|ые|ие|ых|их|ым|им|ов|ев|ей|ах|ях|ам|ям|ы|и|а|я|ь)$"
)
_PLURALS = (
    *(("s", ""), ("es", ""), ("ies", "y"), ("oes", "ao"), ("ais", "al"), ("eis", "el"), ("ns", "m"), ("ces", "z")),
)
_MIN_FORM = 3
_MIN_TYPO_LENGTH = 6
_MAX_TYPOS = 3
_VOWELS = "aeiouyаеиоуыэюя"


def reduced(name: str) -> str:
    """A name without case, spaces, punctuation inside words, composition and look-alike letters.

    Names of which this is equal are one name. Signs and numbers stay, and so does a space between two numbers.
    """
    return _SPACE.sub("", _INNER_PUNCTUATION.sub("", _plain(name).translate(_ALIKE)))


def is_picture(char: str) -> bool:
    """Whether it is an emoji or another picture; signs such as «№» and «°» are writing."""
    return char >= _FIRST_PICTURE and unicodedata.category(char) in ("So", "Sk", "Cs")


def is_mixed(word: str) -> bool:
    """Whether a word in small letters has Latin and Cyrillic ones."""
    return any("а" <= char <= "я" for char in word) and any("a" <= char <= "z" for char in word)


def _plain(name: str) -> str:
    """A name in small composed letters of the usual width, with one kind of dash and single spaces."""
    seen = "".join(char for char in name if char.isspace() or not is_invisible(char))
    small = unicodedata.normalize("NFC", unicodedata.normalize("NFC", seen).casefold()).translate(_DASHES)
    usual = "".join(
        unicodedata.normalize("NFKC", char) if unicodedata.category(char) in ("Ll", "Lo", "Nd") else char
        for char in small
    )
    return _RANGE.sub("-", " ".join(usual.split()))


@dataclass(frozen=True)
class Reading:
    """How a name is read.

    Attributes:
        marks: its numbers and signs, in order; they are the same in a name that reads alike.
        pictures: its emoji.
        spellings: its words without punctuation inside them, and with such words as several; each with the words that
            say how it is meant, and in one order.
    """

    marks: tuple[str, ...]
    pictures: frozenset[str]
    spellings: tuple[tuple[tuple[str, str], ...], ...]

    @classmethod
    def of(cls, name: str) -> Self:
        """How `name` is read."""
        pictures = frozenset(char for char in name if is_picture(char))
        text = "".join(" " if is_picture(char) else char for char in _plain(name).replace("ё", "е"))
        text = _AND.sub(" ", _THOUSANDS.sub("", text))
        apart, joined = _INNER_PUNCTUATION.sub(" ", text), _INNER_PUNCTUATION.sub("", text)
        spellings = dict.fromkeys(tuple(sorted(_words(text))) for text in (joined, apart))
        return cls(tuple(_marks(apart)), pictures, tuple(spellings))

    def is_like(self, other: Self) -> bool:
        """Whether the names may mean the same: word for word one word, in other forms or with a letter mistyped."""
        if self.marks != other.marks or (self.pictures and other.pictures and self.pictures != other.pictures):
            return False
        return any(_same_words(one, another) for one, another in product(self.spellings, other.spellings))


def _marks(text: str) -> Iterator[str]:
    """Numbers and signs. Punctuation is one between two numbers, a dash also where it stands at one side of a word."""
    for token in _TOKEN.finditer(text):
        char, before, after = token[0], text[: token.start()][-1:], text[token.end() : token.end() + 1]
        one_sided = char == "-" and (before.strip() == "") != (after.strip() == "")
        is_sign = one_sided or (unicodedata.category(char[0])[0] == "S" and char != "|") or char in _SIGNS
        is_in_number = before.isdigit() and after.isdigit() and not char[0].isalpha()
        if char.isdigit() or is_sign or is_in_number:
            yield char


def _words(text: str) -> Iterator[tuple[str, str]]:
    """Each word with the links before it; a negation is a part of its word."""
    links, negation = "", ""
    for token in _TOKEN.findall(text):
        if token in _NEGATIONS:
            negation += token
        elif token in _LINKS:
            links, negation = f"{links} {negation}{token}", ""
        elif token[0].isalpha():
            yield links, negation + (token.translate(LOOKALIKES) if is_mixed(token) else token)
            links, negation = "", ""
    if links or negation:
        yield links, negation


def _same_words(one: tuple[tuple[str, str], ...], other: tuple[tuple[str, str], ...]) -> bool:
    """Whether the words of two names are the same, each once."""
    if len(one) != len(other) or not one:
        return False
    left = list(other)
    mistyped = []
    for word in one:
        same = next((found for found in left if found[0] == word[0] and _is_one_word(found[1], word[1])), None)
        if same is None:
            mistyped.append(word)
            if len(mistyped) > _MAX_TYPOS:
                return False
        else:
            left.remove(same)
    return any(
        all(a[0] == b[0] and _is_mistyped(a[1], b[1]) for a, b in zip(mistyped, order, strict=True))
        for order in permutations(left)
    )


def _is_one_word(one: str, other: str) -> bool:
    """Whether they are forms of one word, or one is the other cut short with a full stop."""
    if not _spoken(one).isdisjoint(_spoken(other)):
        return True
    short, long = sorted((one, other), key=len)
    return short.endswith(".") and len(short) > _MIN_FORM - 1 and long.startswith(short[:-1])


@lru_cache(maxsize=1024)
def _forms(word: str) -> frozenset[str]:
    """A word without a full stop and the accents of Latin letters, with and without the endings that it may have."""
    letters = (unicodedata.normalize("NFD", char)[0] if char < "\u0250" else char for char in word.removesuffix("."))
    bare = "".join(letters)
    forms = {_ENDING.sub("", bare)}
    forms |= {bare.removesuffix(ending) + single for ending, single in _PLURALS if bare.endswith(ending)}
    return frozenset({bare} | {form for form in forms if len(form) >= _MIN_FORM})


@lru_cache(maxsize=1024)
def _spoken(word: str) -> frozenset[str]:
    """The forms of a word in Latin letters."""
    return frozenset(form.translate(_TRANSLITERATED) for form in _forms(word))


def _is_mistyped(one: str, other: str) -> bool:
    """Whether long words differ by a letter: not the first one, nor a vowel at the end, which is another gender."""
    from rapidfuzz.distance import OSA

    if min(len(one), len(other)) < _MIN_TYPO_LENGTH:
        return False
    stem, another = (min(_forms(word), key=lambda form: (len(form), form)).rstrip(_VOWELS) for word in (one, other))
    return stem != another and any(
        first[:1] == second[:1] and OSA.distance(first, second, score_cutoff=1) <= 1
        for forms in (_forms, _spoken)
        for first, second in product(forms(one), forms(other))
    )
