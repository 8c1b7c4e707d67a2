"""What the model sees of a text: words, pairs of words, and pieces of words within their borders.

Only scikit-learn's own classes: the fitted pipeline is unpickled where none of this folder can be imported.
"""

from __future__ import annotations

from typing import Any


def features() -> Any:
    """An unfitted transformer from texts to a sparse matrix."""
    from sklearn.feature_extraction.text import TfidfVectorizer  # noqa: PLC0415 (takes seconds: only where one trains)
    from sklearn.pipeline import FeatureUnion  # noqa: PLC0415 (as above)

    words = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True)
    pieces = TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 5), min_df=2, sublinear_tf=True)
    return FeatureUnion([("words", words), ("pieces", pieces)])
