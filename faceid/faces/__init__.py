"""Photos become faces: where the face weights come from, how photos are read, which face is used and its embedding.

Knows nothing of tunes, storage or what draws the pictures.
"""
