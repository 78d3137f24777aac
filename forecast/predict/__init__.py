"""Forecast the sessions that follow the last bar: python -m forecast.predict run=DIRECTORY; forecast.future()."""
