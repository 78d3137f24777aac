"""Does anything look ahead? Checks run on a config's own source, strategy, evaluation and model."""
