"""How text is split before byte-pair encoding, both in training and in encoding.

Special tokens are cut out first. GPT-2's pattern splits the text between them into *pre-tokens*, and no merge ever
crosses the boundary of a pre-token. The pattern is the whole definition.
"""

# GPT-2's pattern. The first alternative that matches wins: a contraction; a run of letters, of digits, or of other
# visible characters, each with at most one space in front; white space. A run of white space before a visible
# character does not include its last character, so that a word gets its space.
PRETOKEN_PATTERN = r"""'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"""
