"""FLUX.1 with an identity: loading a base model, drawing a request, the one function that runs on a GPU."""

import logging

# When diffusers is imported it imports torchao, and the two speak of each other's internals; that is not for whoever
# runs the app.
for _name in ("diffusers.quantizers.torchao.torchao_quantizer", "torch.utils._pytree"):
    logging.getLogger(_name).setLevel(logging.ERROR)
