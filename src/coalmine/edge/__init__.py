"""How traffic enters: renders nginx, sets weights and certificates without a reload.

Knows a release as a name on a slot only. Must not start arms, read policy or judge; imports records, errors and
settings, nothing else of Coalmine.
"""
