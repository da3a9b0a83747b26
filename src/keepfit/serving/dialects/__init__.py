"""The languages the endpoint speaks: each file turns requests into rows, and answers into what its clients expect.

`routes(answering)` of each gives its paths; `serving.routes` lists them.
"""
