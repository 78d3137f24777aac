"""Which column of a file is Date, Open, High, Low, Close, Volume: names as vendors and languages have them."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from functools import cache

from forecast.errors import UserError

# What a file may hold for us, by the keys of source.columns.
NAMES = ("Date", "Time", "Ticker", "Open", "High", "Low", "Close", "AdjClose", "Volume")
NUMBERS = ("Open", "High", "Low", "Close", "AdjClose", "Volume")
ABSENT = "none"  # source.columns.Volume=none: the file has no such column, and none is wanted

# Best first: of two columns of a file that are both called so, the one named earlier here is taken. A group in
# parentheses is of equal rank: a file that has two of it is refused. Spelling is compared as `spelled` makes it.
_ALIASES: Mapping[str, tuple[str | tuple[str, ...], ...]] = {
    "Date": (
        "date", "datetime", "timestamp", "trade date", "trading date", "trading day", "tradedate", "quote date",
        "business date", "observation_date", "datum", "fecha", "data", "data pregao", "datum/zeit", "tarih", "dato",
        "дата", "日期", "日付", "日付け", "日時", "交易日期", "时间", "날짜", "일자", "gmt time", "local time",
        "open time", "time open", "window_start", "ts_event", "begin", "start time", "bar time", "unix", "unixtime",
        "unix time", "epoch", "ts", "mts", "time", "date/time", "date time", "date_time", "dates", "t", "d",
    ),
    "Time": ("time", "uhrzeit", "zeit", "hora", "heure", "ora", "время", "时间", "時刻", "時間", "시간", "saat", "tid"),
    "Ticker": (
        "ticker", "symbol", "tic", "ts_code", "act_symbol", "secid", "instrument", "ric", "stock", "security", "isin",
        "code", "sym", "pair", "name", "stock symbol", "ticker symbol", "kürzel", "simbolo", "codigo", "papel",
        "тикер", "股票代码", "证券代码", "代码", "銘柄コード", "コード", "종목코드", "sc_code", "codneg",
    ),
    "Open": (
        "open", "open price", "opening price", "opening", "openp", "open_price", "px_open", "prc_open", "eröffnung",
        "eröffnungskurs", "eröffn", "erster", "anfang", "apertura", "abertura", "ouverture", "ouv", "premier",
        "openingskoers", "otwarcie", "öppning", "öppningskurs", "åbning", "açılış", "открытие", "откр", "开盘",
        "开盘价",
        "開盤價", "開盤", "今开", "始値", "시가", "preabe", "o",
    ),
    "High": (
        "high", "high price", "highest", "highest price", "max", "high_price", "px_high", "day high", "hoch",
        "höchstkurs", "tageshoch", "höchst", "máximo", "máxima", "plus haut", "haut", "le plus haut",
        "massimo", "max price",
        "hoog", "hoogste", "najwyższy", "najwyzszy", "högsta", "högst", "högstkurs", "høj", "yüksek",
        "максимум", "макс",
        "最高", "最高价", "最高價", "高", "高値", "고가", "premax", "h",
    ),
    "Low": (
        "low", "low price", "lowest", "lowest price", "min", "low_price", "px_low", "day low", "tief", "tiefstkurs",
        "tagestief", "tiefst", "mínimo", "mínima", "plus bas", "bas", "le plus bas", "minimo", "min price", "laag",
        "laagste", "najniższy", "najnizszy", "lägsta", "lägst", "lägstkurs", "lav", "düşük", "минимум", "мин", "最低",
        "最低价", "最低價", "低", "安値", "저가", "premin", "l",
    ),
    "Close": (
        "close", "close price", "closing price", "close/last", "closing", "close_price", "closep", "schluss",
        "schlusskurs", "cierre", "fechamento", "clôture", "clot", "chiusura", "slotkoers", "slot", "zamknięcie",
        "zamkniecie", "stängning", "stängningskurs", "slutkurs", "kapanış", "закрытие", "закр", "收盘", "收盘价",
        "收盤價",
        "收盤", "終値", "종가", "preult", "legal close price",
        ("last", "last price", "px_last", "settle", "settlement price", "letzter", "zuletzt", "último", "ultimo",
         "dernier", "laatst", "laatste", "price", "kurs", "preis", "precio", "preço", "cours", "prezzo",
         "şimdi", "цена",
         "посл", "最新", "現在値"),
        "c",
    ),
    "AdjClose": (
        "adj close", "adj. close", "adjusted close", "adjusted_close", "adjclose", "adj_close", "close adj", "closeadj",
        "close adjusted", "adjusted closing price", "adjustment close", "adj closing price", "adjusted price",
        "bereinigter schlusskurs", "adj schlusskurs", "schlusskurs bereinigt", "cierre ajustado", "cierre aj",
        "fechamento ajustado", "fechamento aj", "clôture ajustée", "chiusura rettificata", "скорр закрытие",
        "调整后收盘价", "复权收盘价", "調整後終値", "수정종가",
    ),
    "Volume": (
        "volume", "vol", "stück", "stücke", "stuecke", "umsatz stück", "number of shares", "no of shares",
        "no. of shares", "px_volume",
        "shares traded", "shares", "total traded quantity", "total volume", "traded volume", "trading volume",
        "volume traded", "volumen", "volumes", "volym", "wolumen", "umsatz in stück", "hacim", "hac", "объем", "объём",
        "обьем", "成交量", "成交股數", "交易量", "出来高", "거래량", "quatot", "qty", "quantity", "tick volume",
        "tickvol",
        "ticks", "v",
    ),
}  # fmt: skip


@cache
def spelled(name: str) -> str:
    """A name without case, accents, brackets, punctuation and a leading number: "<OPEN>", "1. open" -> "open"."""
    plain = unicodedata.normalize("NFKD", name).casefold()
    plain = "".join(letter for letter in plain if not unicodedata.combining(letter))
    return re.sub(r"[\W_]+", "", re.sub(r"^\s*\d+[.)]\s*", "", plain))


def _without_brackets(name: str) -> str:
    """ "Volume (shares)" -> "Volume "."""
    return re.sub(r"[(\[].*?[)\]]", " ", name)


@cache
def _ranks() -> dict[str, dict[str, float]]:
    """For each of our names: spelling -> rank, 0 the best."""
    table: dict[str, dict[str, float]] = {}
    for ours, groups in _ALIASES.items():
        ranks = table.setdefault(ours, {})
        for rank, group in enumerate(groups):
            for alias in (group,) if isinstance(group, str) else group:
                ranks.setdefault(spelled(alias), float(rank))
    return table


def rank(ours: str, name: str) -> float | None:
    """How well a column's name fits one of ours, 0 best; None = not at all."""
    ranks = _ranks()[ours]
    for form in (spelled(name), spelled(_without_brackets(name))):
        if form in ranks:
            return ranks[form]
    return None


@cache
def is_number_name(name: str) -> bool:
    """Whether a cell of a header names a price or a volume."""
    return any(rank(ours, name) is not None for ours in NUMBERS)


@cache
def is_date_name(name: str) -> bool:
    """Whether a cell of a header names the dates."""
    return rank("Date", name) is not None


def recognised(header: Sequence[str], *, chosen: Mapping[str, str | int], origin: str) -> dict[str, str]:
    """Our names -> the names in a header, as far as they are known ones.

    Args:
        header: names of a file's columns, as they stand there.
        chosen: what source.columns says: a name, or a place counted from 1; none = there is no such column.
        origin: the file, named in errors.

    Raises:
        UserError: a chosen column is not there, or two columns may equally be meant.
    """
    found: dict[str, str] = {}
    for ours in NAMES:
        if ours in chosen:
            name = _chosen(ours, chosen[ours], header, origin)
            if name is not None:
                found[ours] = name
    taken = set(found.values())
    for ours in NAMES:
        if ours in chosen:
            continue
        name = _best(ours, [name for name in header if name not in taken], origin)
        if name is not None:
            found[ours] = name
            taken.add(name)
    return found


def _chosen(ours: str, value: str | int, header: Sequence[str], origin: str) -> str | None:
    if isinstance(value, int):
        if not 1 <= value <= len(header):
            raise UserError(
                f"{origin}: source.columns.{ours}={value}: the file has {len(header)} columns; "
                "counted from 1, or write the column's name"
            )
        return header[value - 1]
    if value == ABSENT:
        return None
    for same in (value, *(name for name in header if spelled(name) == spelled(value))):
        if same in header:
            return same
    shown = ", ".join(name or "''" for name in header[:12])
    raise UserError(
        f"{origin}: source.columns.{ours}={value}: no such column; it has {shown}"
        + (", ..." if len(header) > 12 else "")
    )


def _best(ours: str, header: Sequence[str], origin: str) -> str | None:
    ranked = sorted((place, name) for name in header if (place := rank(ours, name)) is not None)
    if not ranked:
        ranked = [(0.0, name) for name in header if _begins_as(ours, name)]
    if not ranked:
        return None
    best = [name for place, name in ranked if place == ranked[0][0]]
    if len(best) > 1:
        raise UserError(
            f"{origin}: {' and '.join(best)} may each be {ours}; say which with source.columns.{ours}={best[0]!r}"
            if len(set(best)) > 1
            else f"{origin}: has the column {best[0]} twice; remove one"
        )
    return best[0]


def _begins_as(ours: str, name: str) -> bool:
    """Whether a name is ours with something behind it, as Volume BTC or Open USD."""
    first = spelled(re.split(r"[\s_(/]", name.strip(), maxsplit=1)[0])
    return (
        ours in NUMBERS
        and first == ours.casefold()
        and not re.search(r"interest|int\b|ratio|%|change", name, re.IGNORECASE)
    )
