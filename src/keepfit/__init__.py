"""keepfit keeps models fit: the whole MLOps loop in one package, with a model always in production."""
