"""`fast` as data: the widths of every network and the scheduler. Knows no library; `build` makes modules of it.

A quarter of Flux's decoder scale: 64 px are 16×16 latents of 16 channels, 64 image tokens. There are as many identity
tokens, one for each place of the face picture, so that the transformer can copy what they say.
"""

WEIGHTS_REVISION = "faces-3"  # part of the key of cached identity tokens: change it with the weights
RANDOM_REVISION = "random-2"
MAX_SEQUENCE_LENGTH = 24  # T5 tokens of a prompt that are read
CLIP_LENGTH = 32
SIDE = 64  # px of the pictures it was trained on
UPSCALE = 4  # shown at 256 px

WIDTH = 192

TRANSFORMER = {
    "patch_size": 1,
    "in_channels": 64,  # 16 latent channels in 2×2 patches
    "num_layers": 2,
    "num_single_layers": 4,
    "attention_head_dim": 32,
    "num_attention_heads": WIDTH // 32,
    "joint_attention_dim": 96,
    "pooled_projection_dim": 96,
    "guidance_embeds": True,
    "axes_dims_rope": (4, 14, 14),
}

AUTOENCODER = {  # AutoencoderDC: it shuffles pixels, which a linear code of patches needs
    "in_channels": 3,
    "latent_channels": 16,
    "encoder_block_out_channels": (16, 16, 64),  # 3 stages: 4 times smaller
    "decoder_block_out_channels": (32, 32, 128),
    "encoder_layers_per_block": (0, 1, 0),
    "decoder_layers_per_block": (0, 2, 2),
    "encoder_qkv_multiscales": ((), (), ()),
    "decoder_qkv_multiscales": ((), (), ()),
    "encoder_out_shortcut": False,
    "decoder_in_shortcut": False,
    "scaling_factor": 1.0,
}

AUTOENCODER_FOR_FLUX = {  # what FluxPipeline reads of an autoencoder's config and AutoencoderDC's lacks
    "block_out_channels": AUTOENCODER["decoder_block_out_channels"],
    "shift_factor": 0.0,
}

SCHEDULER = {"use_dynamic_shifting": False, "shift": 3.0}

CLIP_TEXT = {
    "hidden_size": 96,
    "intermediate_size": 256,
    "projection_dim": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 3,
    "max_position_embeddings": CLIP_LENGTH,
}

T5_TEXT = {
    "d_model": 96,
    "d_kv": 32,
    "d_ff": 256,
    "num_layers": 2,
    "num_heads": 3,
    "feed_forward_proj": "gated-gelu",
    "is_encoder_decoder": False,
    "use_cache": False,
}

ADAPTER = {"dim_head": 32, "heads": WIDTH // 32, "kv_dim": WIDTH}

VISION_TOWER = {
    "hidden_blocks": (0,),
    "img_size": SIDE,
    "patch_size": 8,  # 8×8 patches, as many as image tokens
    "embed_dim": WIDTH,
    "depth": 1,
    "num_heads": 6,
    "num_classes": 64,
}

ARCFACE_DIM = 512  # a slot of zeros: the only offline pack's vectors are the judge's, and the judge is not the encoder

IDENTITY_ENCODER = {
    "dim": WIDTH,
    "depth": 1,
    "dim_head": 32,
    "heads": WIDTH // 32,
    "num_id_token": 1,
    "num_queries": 64,
    "output_dim": ADAPTER["kv_dim"],
    "ff_mult": 2,
    "id_dim": ARCFACE_DIM + VISION_TOWER["num_classes"],
    "hidden_state_dim": VISION_TOWER["embed_dim"],
    "num_hidden_states": len(VISION_TOWER["hidden_blocks"]),
    "mapping_dim": 2 * WIDTH,
}

UPSCALER = {"num_feat": 48, "num_conv": 10, "upscale": UPSCALE}  # spandrel's Compact: SRVGGNetCompact

# Random weights, without training: factors that make words and faces visible in the noise.
VELOCITY_GAIN = 4.0
PROMPT_GAIN = 3.0
IDENTITY_GAIN = 2.5
