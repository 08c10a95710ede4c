"""Face -> identity tokens -> Flux: PuLID-FLUX on stock timm and diffusers classes. Knows no store and no page."""
