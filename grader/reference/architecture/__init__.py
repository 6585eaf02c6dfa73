"""The architecture lab (optional): the variants that modern language models are made of.

Each is built from the pieces of the base model, so that what it changes is all that there is to write.
"""
