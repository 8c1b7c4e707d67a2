"""The steps from data to a Bento: collect, validate, train, evaluate, register, package; each a function and a command.

Records in, records out. Puts nothing into production: no alias `champion`, no release file, no push.
"""
