"""How text is cut before byte-pair encoding, in training and in encoding alike.

Special tokens are cut out first; the text between them is split into *pre-tokens* by GPT-2's pattern, and no
merge ever crosses the border of a pre-token. The pattern is the whole definition.
"""

# GPT-2's pattern. The first alternative that fits wins: a contraction; a run of letters, of digits, or of
# other visible characters, each with at most one space in front; white space. White space before a visible
# character leaves its last character behind, so that a word gets its space.
PRETOKEN_PATTERN = r"""'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"""
