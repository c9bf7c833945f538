"""Marian models with random weights, made by Transformers: what ours must equal."""

import io
import json
import random

import sentencepiece

LANGUAGES = (">>fra<<", ">>deu<<")
NOUNS = {
    "cat": "chat",
    "dog": "chien",
    "house": "maison",
    "river": "rivi\u00e8re",
    "baker": "boulanger",
    "snow": "neige",
    "garden": "jardin",
    "boat": "b\u00e2teau",
}
VERBS = {"sees": "voit", "likes": "aime", "paints": "peint", "forgets": "oublie"}
PLACES = {
    "today": "aujourd'hui",
    "at night": "la nuit",
    "in May": "en mai",
    "far away": "tr\u00e8s loin",
}


def sentences(count, seed=0):
    """Pairs of sentences, English and French enough for a tokenizer."""
    generator = random.Random(seed)
    for _ in range(count):
        words = [
            generator.choice(list(part.items()))
            for part in (NOUNS, VERBS, NOUNS, PLACES)
        ]
        (a, b), (c, d), (e, f), (g, h) = words
        number = generator.randrange(2, 5000)
        yield (f"The {a} {c} {number} {e}s {g}.", f"Le {b} {d} {number} {f}s {h} !")


def train_sentencepiece(lines, normalization, vocabulary_size):
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(lines),
        model_writer=model,
        vocab_size=vocabulary_size,
        model_type="unigram",
        normalization_rule_name=normalization,
        hard_vocab_limit=False,
        minloglevel=2,
    )
    return model.getvalue()


def write_model(
    folder,
    *,
    normalization="nmt_nfkc",
    separate=False,
    seed=1,
    generation=None,
    pairs=None,
    vocabulary_size=160,
    **config,
):
    """Writes the folder of a random `MarianMTModel` as Hugging Face lays it out.

    Its tokenizers are trained on `pairs` of lines, made-up ones by default.
    """
    import torch
    import transformers

    pairs = pairs or list(sentences(2000))
    vocabularies = []
    for side, lines in zip(("source", "target"), zip(*pairs)):
        model = train_sentencepiece(lines, normalization, vocabulary_size)
        (folder / f"{side}.spm").write_bytes(model)
        processor = sentencepiece.SentencePieceProcessor(model_proto=model)
        pieces = [processor.id_to_piece(i) for i in range(3, processor.vocab_size())]
        vocabularies.append(pieces)
    if not separate:
        vocabularies = [sorted({*vocabularies[0], *vocabularies[1]})]
    sizes = []
    for name, pieces in zip(("vocab.json", "target_vocab.json"), vocabularies):
        pad = ["<pad>"]
        tokens = ["</s>", "<unk>", *LANGUAGES, *pieces]
        if separate:
            # Ids of special tokens are shared by both sides.
            longest = max(map(len, vocabularies))
            tokens += [f"unused{i}" for i in range(longest - len(pieces))]
        tokens += pad
        vocabulary = {token: i for i, token in enumerate(tokens)}
        (folder / name).write_text(json.dumps(vocabulary), "utf-8")
        sizes.append(len(tokens))
    pad_id = sizes[0] - 1
    torch.manual_seed(seed)
    model = transformers.MarianMTModel(
        transformers.MarianConfig(
            **{
                "vocab_size": sizes[0],
                "decoder_vocab_size": sizes[-1],
                "share_encoder_decoder_embeddings": not separate,
                "d_model": 32,
                "encoder_layers": 2,
                "decoder_layers": 2,
                "encoder_attention_heads": 4,
                "decoder_attention_heads": 4,
                "encoder_ffn_dim": 48,
                "decoder_ffn_dim": 48,
                "activation_function": "swish",
                "scale_embedding": True,
                "init_std": 0.25,
                "max_position_embeddings": 64,
                "pad_token_id": pad_id,
                "eos_token_id": 0,
                "decoder_start_token_id": pad_id,
                "forced_eos_token_id": 0,
                **config,
            }
        )
    )
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim == 1:
                parameter.add_(0.1 * torch.randn_like(parameter))
        # As in converted checkpoints.
        for embedding in {
            model.model.encoder.embed_tokens,
            model.model.decoder.embed_tokens,
        }:
            embedding.weight[pad_id] = 0
        bias = torch.randn(model.final_logits_bias.shape)
        bias[0, 0] += 4.0
        bias[0, pad_id] = 0
        model.final_logits_bias.copy_(bias)
    model.generation_config = transformers.GenerationConfig(
        **{
            "num_beams": 4,
            "length_penalty": 1.0,
            "max_length": 24,
            "bad_words_ids": [[pad_id]],
            "pad_token_id": pad_id,
            "eos_token_id": 0,
            "decoder_start_token_id": pad_id,
            "forced_eos_token_id": 0,
            "early_stopping": False,
            **(generation or {}),
        }
    )
    model.save_pretrained(folder)
    (folder / "tokenizer_config.json").write_text(
        json.dumps(
            {
                "tokenizer_class": "MarianTokenizer",
                "separate_vocabs": separate,
                "model_max_length": 64,
            }
        )
    )
    return model.eval(), transformers.MarianTokenizer.from_pretrained(folder)


def answers(model, tokenizer, texts, **options):
    """Transformers' answers as lists of ids, without start, end and padding."""
    import torch

    inputs = tokenizer(texts, return_tensors="pt", padding=True)
    with torch.no_grad():
        found = model.generate(**inputs, **options)
    special = {0, model.config.pad_token_id}
    return [[i for i in row.tolist() if i not in special] for row in found]
