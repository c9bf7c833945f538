"""Models with their tokenizers, for a task: text in; text, vectors or classes out."""
