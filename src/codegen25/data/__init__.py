"""Documents to shards: sources, filters, deduplication, decontamination."""
