"""What went wrong at Yahoo, in the user's words."""

from __future__ import annotations

from forecast.errors import SourceError


class YahooError(SourceError):
    """Yahoo gave no bars."""

    reason: str = ""  # what happened, without the way out
    first_wait_s: float = 1.0  # before the first retry


_OFFLINE = "or work from cached bars with source.offline=true"


def classify(error: BaseException, symbol: str, status: int | None = None) -> YahooError:
    """Name a failure of the client.

    Args:
        error: whatever the client raised. Told by the names of its classes: curl_cffi's errors and those of
            requests, which the client falls back on, are called alike.
        symbol: the ticker asked for.
        status: HTTP status of Yahoo's answer about that ticker, where it is known.
    """
    names = {cls.__name__ for cls in type(error).__mro__}
    detail = " ".join(str(error).split())[:200]
    if status == 429 or "YFRateLimitError" in names:
        return yahoo_error(
            symbol,
            "Yahoo limits the rate of requests (HTTP 429)",
            f"wait some minutes, raise source.pace_s, {_OFFLINE}",
            may_pass=True,
            first_wait_s=5.0,
        )
    if status == 404:
        return yahoo_error(
            symbol,
            "Yahoo knows no such ticker, or no longer",
            "check the spelling (finance.yahoo.com/lookup); it may be delisted",
            unknown=True,
        )
    if status is not None and status >= 400:
        advice = f"try again later, {_OFFLINE}"
        return yahoo_error(symbol, f"Yahoo refuses to answer (HTTP {status})", advice, may_pass=True)
    if "YFInvalidPeriodError" in names:
        return yahoo_error(symbol, f"Yahoo rejects the period ({detail})", "ask for data.period=max")
    if names & {"YFPricesMissingError", "YFTzMissingError"}:
        return _no_bars(symbol, getattr(error, "yahoo_reason", None))
    if isinstance(error, OSError):
        return _network(symbol, names, detail)
    if names & {"JSONDecodeError", "YFDataException"}:
        advice = f"try again later, {_OFFLINE}"
        return yahoo_error(symbol, "Yahoo answers with something that is no data", advice, may_pass=True)
    if type(error).__module__.partition(".")[0] in {"peewee", "sqlite3", "_pickle"}:
        advice = "delete that folder and run again"
        return yahoo_error(symbol, f"the folder `client` in source.cache_dir is damaged ({detail})", advice)
    reason = f"Yahoo's answer cannot be read ({type(error).__name__}: {detail})"
    # A cookie of an unforeseen shape in that folder would fail every later run too.
    advice = f"try again later, delete the folder `client` in source.cache_dir, {_OFFLINE}"
    return yahoo_error(symbol, reason, advice, may_pass=True)


def _no_bars(symbol: str, said: str | None) -> YahooError:
    if said is None:
        return yahoo_error(
            symbol,
            "Yahoo has no daily bars for it",
            "check the ticker; it may be new or delisted",
            unknown=True,
        )
    lasting = any(text in said.lower() for text in ("no data found", "doesn't exist", "not available"))
    advice = "check the ticker; it may be delisted" if lasting else f"try again later, {_OFFLINE}"
    return yahoo_error(symbol, f"Yahoo gives no bars ({said})", advice, may_pass=not lasting, unknown=lasting)


def _network(symbol: str, names: set[str], detail: str) -> YahooError:
    if "CertificateVerifyError" in names:
        advice = "a proxy in between may need its certificate: set SSL_CERT_FILE or CURL_CA_BUNDLE"
        return yahoo_error(symbol, f"Yahoo's certificate is not accepted ({detail})", advice)
    if "ProxyError" in names:
        reason, advice = f"the proxy fails ({detail})", f"check HTTPS_PROXY, {_OFFLINE}"
    elif "DNSError" in names:
        reason, advice = "Yahoo's address cannot be found", f"check the network, {_OFFLINE}"
    elif names & {"Timeout", "TimeoutError"}:
        reason, advice = (
            "Yahoo does not answer in time",
            f"check the network, raise source.timeout_s, {_OFFLINE}",
        )
    else:
        reason, advice = f"the connection to Yahoo fails ({detail})", f"check the network, {_OFFLINE}"
    return yahoo_error(symbol, reason, advice, may_pass=True)


def yahoo_error(
    symbol: str,
    reason: str,
    advice: str,
    *,
    may_pass: bool = False,
    unknown: bool = False,
    first_wait_s: float = 1.0,
) -> YahooError:
    """An error that names the ticker, what happened and the way out."""
    error = YahooError(f"data.tickers={symbol}: {reason}; {advice}")
    error.reason, error.may_pass, error.unknown, error.first_wait_s = reason, may_pass, unknown, first_wait_s
    return error
