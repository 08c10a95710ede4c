"""`fast` as data: the widths of every network and the scheduler. Knows no library; `build` makes modules of it.

The decoder enlarges 4 times where Flux's does 8: 128 px are 32×32 latents of 16 channels, 256 image tokens.
"""

WEIGHTS_REVISION = "random-1"  # part of the key of cached identity tokens: change it with the weights
MAX_SEQUENCE_LENGTH = 64  # T5 tokens of a prompt that are read
CLIP_LENGTH = 77

TRANSFORMER = {
    "patch_size": 1,
    "in_channels": 64,  # 16 latent channels in 2×2 patches
    "num_layers": 4,
    "num_single_layers": 8,
    "attention_head_dim": 32,
    "num_attention_heads": 4,
    "joint_attention_dim": 128,
    "pooled_projection_dim": 64,
    "guidance_embeds": True,
    "axes_dims_rope": (8, 12, 12),
}

AUTOENCODER = {
    "latent_channels": 16,
    "encoder_block_out_channels": (48, 48, 48),  # 3 stages: 4 times smaller
    "decoder_block_out_channels": (48, 48, 48),
    "num_encoder_blocks": (1, 2, 2),
    "num_decoder_blocks": (2, 2, 1),
    "scaling_factor": 1.0,
    "shift_factor": 0.0,
}

SCHEDULER = {
    "use_dynamic_shifting": True,
    "shift": 3.0,
    "base_shift": 0.5,
    "max_shift": 1.15,
    "base_image_seq_len": 256,
    "max_image_seq_len": 4096,
}

CLIP_TEXT = {
    "hidden_size": 64,
    "intermediate_size": 256,
    "projection_dim": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "max_position_embeddings": CLIP_LENGTH,
}

T5_TEXT = {
    "d_model": 128,
    "d_kv": 32,
    "d_ff": 256,
    "num_layers": 2,
    "num_heads": 4,
    "feed_forward_proj": "gated-gelu",
    "is_encoder_decoder": False,
    "use_cache": False,
}

ADAPTER = {"dim_head": 32, "heads": 4, "kv_dim": 128}

VISION_TOWER = {
    "hidden_blocks": (1, 2, 3, 4, 5),
    "img_size": 112,  # 8×8 patches of 14 px
    "embed_dim": 96,
    "depth": 6,
    "num_heads": 3,
    "num_classes": 64,
}

ARCFACE_DIM = 512  # a slot of zeros: the only offline pack's vectors are the judge's, and the judge is not the encoder

IDENTITY_ENCODER = {
    "dim": 64,
    "depth": 5,
    "dim_head": 32,
    "heads": 2,
    "num_queries": 32,
    "output_dim": ADAPTER["kv_dim"],
    "id_dim": ARCFACE_DIM + VISION_TOWER["num_classes"],
    "hidden_state_dim": VISION_TOWER["embed_dim"],
    "num_hidden_states": len(VISION_TOWER["hidden_blocks"]),
    "mapping_dim": 64,
}

# Random weights leave the noise almost as it was. These factors make words and faces visible in the picture. Mean
# change of a pixel (of 255) at 8 steps: 41 for another seed, 12 for another prompt, 35 for a face, 20 for another face.
VELOCITY_GAIN = 4.0
PROMPT_GAIN = 3.0
IDENTITY_GAIN = 2.5
CONTRAST_GAIN = 4.0
MIDDLE_GREY = 0.5
