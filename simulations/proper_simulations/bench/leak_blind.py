"""A classifier that sees entries and no model: it must not tell the halves apart.

If it does, entries that are in differ from those that are out by themselves, and an
attack that seems to work on a model may only have learnt that.
"""

from collections.abc import Sequence

import numpy as np
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import KFold, cross_val_predict

from proper_shared.history import Entry
from proper_simulations.bench.leak_curves import Floats, Mask

FOLDS = 5
STRENGTH = 0.1  # of C: hundreds of words and a few thousand entries overfit


def features(entries: Sequence[Entry]) -> Floats:
    """Return (N, F): which words stand in an entry, and how long it is."""
    words = CountVectorizer(binary=True, tokenizer=str.split, token_pattern=None)
    texts = [f"{entry.text} = {entry.output}" for entry in entries]
    bags = words.fit_transform(texts).toarray().astype(np.float64)
    lengths = np.log([[len(entry.text), len(entry.output)] for entry in entries])
    return np.concatenate([bags, lengths], axis=1)


def suspected(known: Floats, members: Mask, seed: int) -> Floats:
    """Return (N,) how likely each entry is a member, learnt from the other folds.

    Args:
        known: (N, F) of `features`.
        members: (N,) which entries are in.
        seed: of the folds.
    """
    folds = KFold(FOLDS, shuffle=True, random_state=seed)
    learner = LogisticRegression(C=STRENGTH, max_iter=200)
    found = cross_val_predict(learner, known, members, cv=folds, method="predict_proba")
    return np.asarray(found[:, 1], dtype=np.float64)
