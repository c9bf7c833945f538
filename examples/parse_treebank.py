"""Constituency parsing as translation: from part-of-speech tags to bracketed trees.

    pip install -e ".[examples]"
    python examples/parse_treebank.py treebank.zip --run-dir runs/parser

The paper's second task (section 6.3, table 4), with the 3,914 trees of the Penn
Treebank sample that NLTK offers, instead of 40,000. The folder or zip file holds
`combined/wsj_*.mrg`. Function tags and traces are stripped; the last tenth of the
files is for the test, the tenth before it for validation.

The source are the sentence's tags, with the words of the most frequent ones
(`the/DT NN VBZ`); the target is the tree: `(S (NP DT NN )NP (VP VBZ )VP )S`. The search
may be kept to trees over the sentence by `allowed_tokens`. Beside it a PCFG is read off
the same trees by NLTK. Both are given the true tags, and both are scored by PYEVALB,
without punctuation, as EVALB does.
"""

import argparse
import collections
import math
import pathlib
import string
import zipfile

import nltk
import numpy as np
from keras import ops
from PYEVALB import parser as evalb_parser
from PYEVALB.scorer import Scorer

import keras_transformer as kt

PUNCTUATION = {",", ".", ":", "``", "''"}
SENTENCE = (
    "The/DT old/JJ boat/NN drifts/VBZ slowly/RB towards/IN the/DT harbour/NN "
    "that/IN we/PRP left/VBD ./."
)
LONGEST = 250  # tokens of a linearised tree


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("treebank", type=pathlib.Path, help="a folder or a zip file")
    parser.add_argument("--run-dir", type=pathlib.Path, default="runs/parser")
    parser.add_argument("--steps", type=int, default=3200)
    parser.add_argument("--words", type=int, default=200, help="words kept as words")
    parser.add_argument("--no-subtrees", dest="subtrees", action="store_false")
    parser.add_argument("--position-encoding", default="relative")
    parser.add_argument("--dropout", type=float, default=0.1)
    parser.add_argument("--beam-size", type=int, default=8)
    parser.add_argument("--sentence", default=SENTENCE, help="words/TAGS to draw")
    parser.add_argument("--no-pcfg", dest="pcfg", action="store_false")
    parser.add_argument("--verbose", type=int, default=1)
    arguments = parser.parse_args()
    train, valid, test = split(read_treebank(arguments.treebank))
    print(
        f"{len(train)} trees for training, {len(valid)} held out, {len(test)} to test"
    )
    arguments.run_dir.mkdir(parents=True, exist_ok=True)
    source_of = Sources(train, arguments.words)
    translator = train_parser(arguments, source_of, train, valid)

    print("\n| parser | precision | recall | F1 | well-formed |")
    print("| --- | --- | --- | --- | --- |")
    sources = [source_of(tree) for tree in test]
    for name, rule in (
        ("free", None),
        ("kept to trees", Trees(translator.target_tokenizer)),
    ):
        texts = translator.translate(
            sources,
            beam_size=arguments.beam_size,
            length_penalty=0.3,
            max_length=LONGEST + 50,
            allowed_tokens=rule,
        )
        trees, well_formed = zip(*map(repaired, texts, test))
        report(f"Transformer, {name}", test, trees, well_formed)
    if arguments.pcfg:
        grammar = Grammar(train + valid)
        trees = [grammar.parse(tree.pos()) for tree in test]
        report("PCFG", test, trees, [True] * len(trees))
    draw(translator, source_of, arguments.sentence, arguments.run_dir)


# Trees.


def read_treebank(path):
    """The trees of each file, in the order of its number."""
    if path.suffix == ".zip":
        with zipfile.ZipFile(path) as archive:
            names = [name for name in archive.namelist() if name.endswith(".mrg")]
            texts = [archive.read(name).decode() for name in sorted(names)]
    else:
        texts = [file.read_text() for file in sorted(path.rglob("*.mrg"))]
    if not texts:
        raise SystemExit(f"{path} holds no file combined/wsj_*.mrg.")
    return [
        [stripped(tree) for tree in nltk.Tree.fromstring(f"(ALL {text})")]
        for text in texts
    ]


def split(files):
    def trees(start, end):
        part = files[len(files) * start // 10 : len(files) * end // 10]
        return [tree for file in part for tree in file]

    return trees(0, 8), trees(8, 9), trees(9, 10)


def stripped(tree):
    """Without traces, and function tags such as the SBJ of NP-SBJ-1."""
    if tree.height() == 2:
        return None if tree.label() == "-NONE-" else tree
    children = [child for child in map(stripped, tree) if child is not None]
    if not children:
        return None
    label = tree.label()
    for separator in "-=|":
        label = label.split(separator)[0]
    return nltk.Tree(label or "TOP", children)


def linearised(tree):
    """`(NP DT NN )NP`: leaves are their tags. The root, TOP, goes without saying."""
    if tree.height() == 2:
        return tree.label()
    inside = " ".join(map(linearised, tree))
    if tree.label() == "TOP":
        return inside
    return f"({tree.label()} {inside} ){tree.label()}"


def repaired(text, tree):
    """A tree over the sentence of `tree`, whatever brackets the text has.

    Returns it and whether there was nothing to repair. Leaves count, not their names;
    superfluous ones and brackets without a partner are dropped, missing leaves go to
    the end.
    """
    leaves = collections.deque(nltk.Tree(tag, [word]) for word, tag in tree.pos())
    well_formed = True
    stack = [nltk.Tree("TOP", [])]
    for token in text.split():
        if token.startswith("("):
            stack.append(nltk.Tree(token[1:], []))
        elif token.startswith(")"):
            labels = [open_tree.label() for open_tree in stack[1:]]
            if token[1:] not in labels:
                well_formed = False
                continue
            well_formed &= labels[-1] == token[1:]
            while close(stack) != token[1:]:
                pass
        elif leaves:
            well_formed &= leaves[0].label() == token
            stack[-1].append(leaves.popleft())
        else:
            well_formed = False
    well_formed &= not leaves and len(stack) == 1
    while len(stack) > 1:
        close(stack)
    (root,) = stack
    root.extend(leaves)
    return root, well_formed


def close(stack):
    """Ends the innermost constituent, left out if nothing is in it; its label."""
    tree = stack.pop()
    if len(tree):
        stack[-1].append(tree)
    return tree.label()


# The Transformer.


class Sources:
    """Sentences as the model reads them: tags, with words that are frequent."""

    def __init__(self, trees, count):
        pairs = [(word.lower(), tag) for tree in trees for word, tag in tree.pos()]
        # Signs are their own tags.
        words = collections.Counter(w for w, _ in pairs if w[0] in string.ascii_letters)
        frequent = {word for word, _ in words.most_common(count)}
        self.known = {pair for pair in pairs if pair[0] in frequent}

    def __call__(self, tree):
        pairs = [(word.lower(), tag) for word, tag in tree.pos()]
        return " ".join("/".join(p) if p in self.known else p[1] for p in pairs)


class Trees:
    """What may come next in a tree over the source: for the search's `allowed_tokens`.

    The leaves are the source's tags in their order, a bracket is closed by its own
    partner once something is in it, and the end comes when all is used and closed.
    """

    longest_chain = 8  # brackets opened at one place

    def __init__(self, tokenizer):
        size = tokenizer.vocabulary_size
        tokens = [token.lstrip("\u2581") for token in tokenizer.tokens(range(size))]
        ids = {token: i for i, token in enumerate(tokens)}
        self.end_id = tokenizer.end_id
        self.opens = np.array([token.startswith("(") for token in tokens])
        self.closes = np.array([token.startswith(")") for token in tokens])
        partners = [ids.get(token.replace("(", ")", 1), 0) for token in tokens]
        self.partners = np.where(self.opens, partners, 0).astype("int32")
        tags = [ids.get(token.rsplit("/", 1)[-1], 0) for token in tokens]
        self.tags = np.array(tags, "int32")

    def __call__(self, ids, index, source_ids):
        places = ops.arange(ops.shape(ids)[2], dtype="int32")
        past = places < index
        opens = ops.take(self.opens, ids) & past
        closes = ops.take(self.closes, ids) & past
        steps = ops.cast(opens, "int32") - ops.cast(closes, "int32")
        depths = ops.cumsum(steps, axis=2)
        depth = ops.sum(steps, axis=2, keepdims=True)
        # The innermost open bracket is the last one that opened this depth.
        inner = ops.max(ops.where(opens & (depths == depth), places, 0), axis=2)
        bracket = ops.take_along_axis(ids, inner[..., None], axis=2)
        chain = index - 1 - ops.max(ops.where(past & ~opens, places, -1), axis=2)
        chain = chain[..., None]

        used = ops.sum(ops.cast(past & ~opens & ~closes, "int32"), axis=2)
        # The source's last token is its end.
        words = ops.sum(ops.cast(source_ids != 0, "int32"), axis=1)[:, None] - 1
        tags = ops.take(self.tags, source_ids)
        following = ops.minimum(used, ops.shape(tags)[1] - 1)
        tag = ops.take_along_axis(tags, following, axis=1)[..., None]
        more = (used < words)[..., None]

        tokens = np.arange(len(self.opens), dtype="int32")
        partner = ops.take(self.partners, bracket)
        return (
            (more & (tokens == tag))
            | (more & (chain < self.longest_chain) & self.opens)
            | ((depth > 0) & (chain == 0) & (tokens == partner))
            | (~more & (depth == 0) & (tokens == self.end_id))
        )


def train_parser(arguments, source_of, train, valid):
    if arguments.subtrees:
        train = [part for tree in train for part in parts(tree)]
    paths = {}
    for name, trees in (("train", train), ("valid", valid)):
        lines = [(source_of(tree), linearised(tree)) for tree in trees]
        lines = [line for line in lines if len(line[1].split()) < LONGEST]
        paths[name] = arguments.run_dir / f"{name}.tsv"
        paths[name].write_text("".join(f"{a}\t{b}\n" for a, b in lines), "utf-8")
    tokens = set(paths["train"].read_text("utf-8").split())
    config = kt.RunConfig(
        str(paths["train"]),
        valid_source=str(paths["valid"]),
        preset="tiny",
        model={
            "position_encoding": arguments.position_encoding,
            "dropout": arguments.dropout,
            "norm_first": True,
        },
        # A token for each tag, bracket and frequent word.
        tokenizer={
            "model_type": "word",
            "byte_fallback": False,
            "character_coverage": 1.0,
        },
        vocabulary_size=len(tokens) + 4,
        tokens_per_batch=2048,
        steps=arguments.steps,
        steps_per_epoch=arguments.steps // 8,
        peak_learning_rate=0.002,
        warmup_steps=400,
        average_last=3,
        bleu_sentences=0,
    )
    return kt.train(config, arguments.run_dir, verbose=arguments.verbose)


def parts(tree):
    """The tree, and its constituents of three words or more as sentences."""
    return [tree, *tree.subtrees(lambda t: t is not tree and len(t.leaves()) > 2)]


# The PCFG.


class Grammar:
    """A PCFG over tags, in Chomsky normal form, and its most probable trees.

    NLTK reads the grammar off the trees. Its own ViterbiParser needs more than five
    seconds for eight words of it, so the chart is filled with NumPy, by all rules at
    once.
    """

    def __init__(self, trees):
        productions = []
        for tree in trees:
            tree = delexicalised(tree)
            tree.collapse_unary(collapsePOS=True, collapseRoot=True)
            tree.chomsky_normal_form(horzMarkov=2)
            productions += tree.productions()
        grammar = nltk.induce_pcfg(nltk.Nonterminal("TOP"), productions)
        names = sorted({str(rule.lhs()) for rule in grammar.productions()})
        self.names, self.number = names, {name: i for i, name in enumerate(names)}
        binary, self.tags = [], collections.defaultdict(list)
        for rule in grammar.productions():
            parent = self.number[str(rule.lhs())]
            if len(rule.rhs()) == 2:
                left, right = (self.number[str(child)] for child in rule.rhs())
                binary.append((parent, left, right, rule.logprob()))
            else:
                self.tags[rule.rhs()[0]].append((parent, rule.logprob()))
        binary.sort()
        *rules, scores = map(np.array, zip(*binary))
        self.parents, self.lefts, self.rights = rules
        self.scores = scores
        self.starts = np.flatnonzero(np.diff(self.parents, prepend=-1))

    def parse(self, words):
        """The most probable tree of `(word, tag)` pairs, a flat one for want of any."""
        length = len(words)
        best = np.full((length, length + 1, len(self.names)), -np.inf)
        back = {}
        for i, (_, tag) in enumerate(words):
            for parent, score in self.tags.get(tag, ()):
                best[i, i + 1, parent] = score
        for width in range(2, length + 1):
            for start in range(length - width + 1):
                self._fill(best, back, start, start + width)
        roots = [i for i, name in enumerate(self.names) if name.split("+")[0] == "TOP"]
        root = max(roots, key=lambda i: best[0, length, i])
        if best[0, length, root] == -np.inf:
            return nltk.Tree("TOP", [nltk.Tree(tag, [word]) for word, tag in words])
        tree = self._tree(back, words, 0, length, root)
        tree.un_chomsky_normal_form(expandUnary=False)
        return unfolded(tree)

    def _fill(self, best, back, start, end):
        splits = np.arange(start + 1, end)
        # (splits, rules): the two parts' scores and the rule's.
        scores = best[start, splits][:, self.lefts] + best[splits, end][:, self.rights]
        split = scores.argmax(axis=0)
        scores = scores.max(axis=0) + self.scores
        top = np.maximum.reduceat(scores, self.starts)
        parents = self.parents[self.starts]
        best[start, end, parents] = top
        # The first rule of each parent that has its best score.
        reached = np.flatnonzero(scores == top[np.searchsorted(parents, self.parents)])
        for rule in reached[np.isfinite(scores[reached])]:
            back[start, end, self.parents[rule]] = rule, splits[split[rule]]

    def _tree(self, back, words, start, end, symbol):
        name = self.names[symbol]
        if end - start == 1:
            word, tag = words[start]
            # A chain that ends in the tag has been joined to one name.
            return nltk.Tree(name, [nltk.Tree(tag, [word])])
        rule, split = back[start, end, symbol]
        return nltk.Tree(
            name,
            [
                self._tree(back, words, start, split, self.lefts[rule]),
                self._tree(back, words, split, end, self.rights[rule]),
            ],
        )


def delexicalised(tree):
    """Tags as leaves, each below a preterminal of its own."""
    if tree.height() == 2:
        return nltk.Tree(f"T_{tree.label()}", [tree.label()])
    return nltk.Tree(tree.label(), list(map(delexicalised, tree)))


def unfolded(tree):
    """A parsed tree: joined names are chains again, those above tags are left out."""
    if tree.height() == 2:
        return tree
    children = list(map(unfolded, tree))
    for name in reversed(tree.label().split("+")):
        if not name.startswith("T_"):
            children = [nltk.Tree(name, children)]
    return children[0]


# Scores.


def report(name, gold, found, well_formed):
    matched = given = wanted = 0
    for right, answer in zip(gold, found):
        right, answer = without_punctuation(right), without_punctuation(answer)
        if right is None:
            continue
        result = Scorer().score_trees(evalb_tree(right), evalb_tree(answer))
        matched += result.matched_brackets
        given += result.test_brackets
        wanted += result.gold_brackets
    precision, recall = matched / given, matched / wanted
    f1 = 2 * matched / (given + wanted)
    share = sum(well_formed) / len(well_formed)
    print(
        f"| {name} | {precision:.1%} | {recall:.1%} | {f1:.1%} | {share:.1%} |",
        flush=True,
    )


def without_punctuation(tree):
    if tree.height() == 2:
        return None if tree.label() in PUNCTUATION else tree
    children = [child for child in map(without_punctuation, tree) if child is not None]
    return nltk.Tree(tree.label(), children) if children else None


def evalb_tree(tree):
    # The root counts for nothing, as in EVALB.
    if tree.label() == "TOP" and len(tree) == 1 and tree.height() > 3:
        (tree,) = tree
    return evalb_parser.create_from_bracket_string(tree.pformat(margin=math.inf))


def draw(translator, source_of, sentence, folder):
    """Pictures of a sentence's parse, and of what the last block looked at."""
    words = [tuple(pair.rsplit("/", 1)) for pair in sentence.split()]
    flat = nltk.Tree("TOP", [nltk.Tree(tag, [word]) for word, tag in words])
    rule = Trees(translator.target_tokenizer)
    text = translator.translate(source_of(flat), allowed_tokens=rule)
    tree, _ = repaired(text, flat)
    print(f"\n{tree.pformat(margin=88)}")
    kt.plotting.plot_tree(as_pair(tree)).savefig(folder / "parse.png", dpi=110)
    figure = kt.plotting.plot_attention(translator, source_of(flat), text)
    figure.savefig(folder / "attention.png", dpi=80)


def as_pair(tree):
    if isinstance(tree, str):
        return tree
    return tree.label(), list(map(as_pair, tree))


if __name__ == "__main__":
    main()
