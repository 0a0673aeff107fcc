"""Text shards to a checkpoint: recipe, rows, optimizer, schedule, loop."""
