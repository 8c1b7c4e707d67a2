"""Coalmine: the release loop of a machine-learning model, arrow by arrow.

feedback + predictions -> steps.collect -> dataset -> steps.train -> steps.evaluate -> candidate
  -> steps.register -> model version -> steps.package -> Bento -> release.file -> one-line commit -> git push
  -> release.check -> rollout.run (edge.split: weight 0 -> ... -> 100) <-> judge.service -> promoted | rolled back
  -> release.closer: alias moved, report written | git healed, release quarantined -> feedback on what now serves

`records` holds what crosses the arrows, `errors` what can go wrong, `settings` where things are.
"""
