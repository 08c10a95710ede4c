"""Tells whether several embeddings are of one person, and which are not. Knows thresholds; nothing of photos.

The thresholds are lenient on purpose: somebody's own photo refused is worse than a likeness of two people, which the
page shows at once.
"""

from collections.abc import Sequence

import numpy as np

from faceid.unit_vectors import unit

# The cosine from which two embeddings count as one person's.
# antelopev2: insightface's own demo calls two faces different below 0.2, likely the same below 0.28, else the same.
# offline: dlib's rule is a distance of 0.6, a cosine of 0.5 at the usual length of a centred descriptor (0.6), and 0.50
# to 0.55 is what separates clean portraits best; 0.45 is a little looser. Of pairs of different synthetic faces (SFHQ)
# 95 % stay below it; copies of one face, blurred, darkened, noisy and turned, stayed above 0.5.
SAME_PERSON_COSINE = {"antelopev2": 0.2, "offline": 0.45}


def find_odd_ones(embeddings: Sequence[np.ndarray], face_pack: str) -> list[int]:
    """Indices of the embeddings that are not of the person most of them show; empty where all are.

    Photos are linked where their cosine reaches SAME_PERSON_COSINE, so a chain of similar photos holds together
    frontal and profile. The largest group is the person; of equal groups the one with the earliest photo.
    """
    vectors = unit(np.stack(embeddings))  # (N, D)
    linked = vectors @ vectors.T >= SAME_PERSON_COSINE[face_pack]
    groups: list[set[int]] = []
    for index in range(len(vectors)):
        near = [group for group in groups if linked[index, list(group)].any()]
        groups = [group for group in groups if group not in near] + [{index}.union(*near)]
    person = max(groups, key=lambda group: (len(group), -min(group)))
    return [index for index in range(len(vectors)) if index not in person]
