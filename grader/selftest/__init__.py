"""The kit's own tests: they prove that the reference passes, that known bugs fail, and that the wall holds."""
