"""A checkpoint in other formats; the checkpoint itself is a Hugging Face directory already."""
