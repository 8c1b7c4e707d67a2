"""What one writes first: Flask before the same model, served by Gunicorn. The benchmark's measure, kept plain.

COALMINE_PLAIN_MODEL=pipeline.joblib gunicorn --workers 1 plain_recipe:app
"""

from __future__ import annotations

import os

import joblib
from flask import Flask, jsonify, request
from flask.typing import ResponseReturnValue

app = Flask(__name__)
model = joblib.load(os.environ["COALMINE_PLAIN_MODEL"])


@app.post("/predict")
def predict() -> ResponseReturnValue:
    share = float(model.predict_proba([request.get_json()["text"]])[0, 1])
    return jsonify(label="positive" if share >= 0.5 else "negative", score=share)


@app.get("/readyz")
def ready() -> ResponseReturnValue:
    return "\n"
