"""Text beyond ASCII, in output, names and an error."""
größe = "naïve ☃ 𝕏"
print(größe, ascii(größe))
raise ValueError(f"ungültig: {größe}")
