"""Judges a canary while it takes traffic: ROLLBACK, PROMOTE, CONTINUE or INCONCLUSIVE, valid however often one looks.

It judges and records. It moves no weight, no alias and no commit, and it needs no other part of Coalmine.
"""
