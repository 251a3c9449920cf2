"""Writes the mini corpus's RoBERTa: small and randomly initialised with a fixed seed. Used by
`prepare`."""

from pathlib import Path

from meld_lightning.mini.checkpoints import MiniSources


def write(folder: Path, sources: MiniSources) -> None:
    """Saves a RoBERTa with 4 layers of 128 units, and a byte-level BPE tokenizer trained on the
    texts.

    Special tokens and positions are those of roberta-base, so that it is loaded, tokenised and
    padded in the same way.
    """
    import torch
    from tokenizers import ByteLevelBPETokenizer
    from transformers import RobertaConfig, RobertaModel, RobertaTokenizer
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()
    trained = ByteLevelBPETokenizer()
    special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    trained.train_from_iterator(
        sources.texts, vocab_size=2000, special_tokens=special, show_progress=False
    )
    vocab, merges = trained.save_model(str(folder))
    tokenizer = RobertaTokenizer(vocab, merges, model_max_length=512)
    tokenizer.save_pretrained(folder)
    config = RobertaConfig(
        vocab_size=len(tokenizer),
        hidden_size=128,
        num_hidden_layers=4,
        num_attention_heads=4,
        intermediate_size=512,
        max_position_embeddings=514,  # 512 tokens: positions start after the padding index, 1
        type_vocab_size=1,
        layer_norm_eps=1e-5,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        RobertaModel(config).save_pretrained(folder)
