"""FLUX.1 with an identity: loading a base model, drawing a request, the one function that runs on a GPU."""
