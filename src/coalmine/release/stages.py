"""A scikit-learn pipeline over texts, step by step, so that a trace tells tokenising from features."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from coalmine.tracing import stage


def transformed(pipeline: Any, texts: Sequence[str]) -> Any:
    """What `pipeline[:-1].transform(texts)` gives, to the bit.

    Its first step is a FeatureUnion of TfidfVectorizers, its last one a classifier; another pipeline is one stage.
    """
    vectorizers = _vectorizers(pipeline)
    if not vectorizers:
        with stage("features"):
            return pipeline[:-1].transform(texts)
    from scipy import sparse  # noqa: PLC0415 (the model has it loaded; --help of the arm need not)
    from sklearn.feature_extraction.text import CountVectorizer  # noqa: PLC0415 (as above)

    with stage("tokenise"):
        counts = [CountVectorizer.transform(one, texts) for one in vectorizers]
    with stage("features"):
        # What TfidfVectorizer.transform does after counting; it has no public name.
        weights = [
            one._tfidf.transform(count, copy=False)  # noqa: SLF001 (see above)
            for one, count in zip(vectorizers, counts, strict=True)
        ]
        return sparse.hstack(weights).tocsr()


def _vectorizers(pipeline: Any) -> list[Any]:
    """Empty where the pipeline is of another shape."""
    union: Any = pipeline.steps[0][1] if len(getattr(pipeline, "steps", ())) == 2 else None
    if type(union).__name__ != "FeatureUnion" or union.transformer_weights:
        return []
    found = [one for _, one in union.transformer_list]
    return found if all(type(one).__name__ == "TfidfVectorizer" for one in found) else []
