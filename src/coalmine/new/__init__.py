"""`coalmine new`: the folders of a model of one's own, from the template in `templates/`.

The template is real files that the tests generate and run: `common/` for every model, and one folder for each task.
They lie where they will lie in the project; `modelname` and `ModelName` stand for the name. Nothing here reads the
template's meaning, and nothing that exists is ever changed.
"""
