"""The latest bars of a ticker, asked of the source that the served model was trained on."""
