"""The two tokenizers of `fast`, made from a fixed vocabulary: words of small captions, else characters, else bytes.

Any text can be read; what is not in `vocabulary.json` costs more tokens. Knows no model.
"""

import json
import string
from importlib.resources import files

from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

PAD, END, UNKNOWN, START = SPECIAL_TOKENS = ("<pad>", "</s>", "<unk>", "<s>")
WORD_SCORE, CHARACTER_SCORE, BYTE_SCORE = -1.0, -10.0, -20.0  # log probabilities: one word beats its characters
SPACE = "▁"


def load_words() -> tuple[str, ...]:
    """The words of `vocabulary.json`, each once, in the file's order."""
    sections = json.loads(files(__package__).joinpath("vocabulary.json").read_text(encoding="utf-8"))
    return tuple(dict.fromkeys(word for words in sections.values() for word in words))


def vocabulary() -> list[tuple[str, float]]:
    """Pieces with their scores; a piece's place is its id. The special tokens come first: `<pad>` is 0, `</s>` 1."""
    words = [SPACE + word for word in (*load_words(), *string.punctuation)]
    characters = [SPACE, *string.ascii_lowercase, *string.digits]
    pieces = dict.fromkeys(SPECIAL_TOKENS, 0.0)
    pieces |= dict.fromkeys(characters, CHARACTER_SCORE)
    pieces |= dict.fromkeys(words, WORD_SCORE)
    pieces |= {f"<0x{byte:02X}>": BYTE_SCORE for byte in range(256)}
    return list(pieces.items())


def build_tokenizer(max_length: int, *, start: bool) -> PreTrainedTokenizerFast:
    """A tokenizer that ends a text with `</s>` and, with `start`, begins it with `<s>` (CLIP's way, T5's without)."""
    pieces = vocabulary()
    ids = {piece: place for place, (piece, _) in enumerate(pieces)}
    tokenizer = Tokenizer(models.Unigram(pieces, unk_id=ids[UNKNOWN], byte_fallback=True))
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase()])
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Punctuation(), pre_tokenizers.Metaspace()]
    )
    tokenizer.decoder = decoders.Sequence([decoders.ByteFallback(), decoders.Metaspace()])
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{START} $A {END}" if start else f"$A {END}",
        special_tokens=[(token, ids[token]) for token in (START, END)],
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        model_max_length=max_length,
        pad_token=PAD,
        eos_token=END,
        unk_token=UNKNOWN,
        bos_token=START if start else None,
        split_special_tokens=True,  # `</s>` typed by a user is four characters
    )
