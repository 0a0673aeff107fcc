"""What clients speak: each module maps one dialect's JSON to an `Ask` and back."""
