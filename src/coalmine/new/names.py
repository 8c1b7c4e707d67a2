"""Whether a name can be a model's: it becomes a folder and so a module, a namespace, an image, a Service.

Hence no hyphen: of two folders whose names are no modules' mypy takes the files for the same ones.
"""

from __future__ import annotations

import importlib.util
import keyword
import re
import sys

from coalmine.errors import BadInput

LONGEST = 40  # Flagger and the gateway append up to 20 characters, and 63 is a label's limit
_NAME = re.compile(r"[a-z][a-z0-9]*\Z")
# Namespaces and folders that are there already.
_TAKEN = {
    "argocd", "bench", "bentos", "coalmine", "default", "flagger", "gitops", "infra", "model", "modelname", "models",
    "monitoring", "new", "nginx", "pipelines", "platform", "release", "tenant",
}  # fmt: skip


def check(name: str) -> str:
    """The name. Raises BadInput saying what is wrong with it."""
    if not _NAME.match(name) or len(name) > LONGEST:
        remedy = f"lower-case letters and digits, a letter first, {LONGEST} at most: for example delivery"
        raise BadInput(f"{name!r} can be no model's name", where="name", remedy=remedy)
    if name in _TAKEN:
        raise BadInput(f"{name!r} is the name of something else here", where="name", remedy="choose another")
    if keyword.iskeyword(name) or name in sys.stdlib_module_names or importlib.util.find_spec(name) is not None:
        what = f"{name!r} is a name of Python's or of a package: wherever bentos/ is on the path, it would be imported"
        raise BadInput(what, where="name", remedy="choose another, for example what the model predicts")
    return name


def class_name(name: str) -> str:
    """delivery -> Delivery."""
    return name.capitalize()
