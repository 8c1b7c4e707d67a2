"""People's words on predictions: the signed prediction id, the prediction log and the durable store of votes.

Judges nothing and trains nothing: the judge reads the store's file by itself, `steps.collect` through the readers here.
"""
