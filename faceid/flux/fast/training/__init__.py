"""How the weights of `fast` are trained: from a folder of face pictures, on a CPU. Nothing here is needed to draw."""
