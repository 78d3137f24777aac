"""Which column of a file is Date, Open, High, Low, Close, Volume: names as vendors and languages have them."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from functools import cache
from typing import NamedTuple

from forecast.data.sources.layout import FileError

# What a file may hold for us, by the keys of source.columns.
NAMES = ("Date", "Time", "Ticker", "Open", "High", "Low", "Close", "AdjClose", "Volume")
NUMBERS = ("Open", "High", "Low", "Close", "AdjClose", "Volume")
_PRICES = ("Open", "High", "Low", "Close")
ABSENT = "none"  # source.columns.Volume=none: the file has no such column, and none is wanted

# Best first: of two columns of a file that are both called so, the one named earlier here is taken. A group in
# parentheses is of equal rank: a file that has two of it is refused. Spelling is compared as `spelled` makes it.
_ALIASES: Mapping[str, tuple[str | tuple[str, ...], ...]] = {
    "Date": (
        # Seconds since 1970 stand above a text beside them, which may have no zone.
        "unix", "unixtime", "unix time", "unix timestamp", "epoch",
        "date", "datetime", "timestamp", "trade date", "trading date", "trading day", "exchange date", "quote date",
        "business date", "observation_date", "dtyyyymmdd", "yyyymmdd", "datum", "fecha", "data", "data pregao",
        "datum/zeit", "tarih", "dato", "tanggal", "ngày", "päivämäärä", "dátum", "ημερομηνία", "дата", "التاريخ",
        "תאריך", "วันที่", "日期", "日付", "日付け", "日時", "年月日", "交易日期", "时间", "날짜", "일자",
        "gmt time", "local time", "open time", "time open", "window_start", "ts_event", "begin", "start time",
        "start_at", "bar time", "traddt", "datpre", "datadate", "dlycaldt", "snapped_at",
        "ts", "mts", "time", "date/time", "dates", "start", "utc", "gmt", "trddt",
        "วันเดือนปี", "तारीख", "दिनांक", "تاریخ", "t", "d",
    ),
    "Time": ("time", "uhrzeit", "zeit", "hora", "heure", "ora", "время", "时间", "時刻", "時間", "시간", "saat", "tid"),
    "Ticker": (
        "ticker", "symbol", "tic", "ts_code", "act_symbol", "tckrsymb", "secid", "instrument", "ric", "stock",
        "security", "code", "sc_code", "codneg", "sym", "pair", "isin", "name", "stock symbol", "ticker symbol",
        "kürzel", "simbolo", "codigo", "papel", "nazwa", "név", "тикер", "股票代码", "证券代码", "代码", "銘柄コード",
        "コード", "종목코드",
    ),
    "Open": (
        "open", "open price", "opening price", "opening", "openp", "px_open", "prc_open", "opnpric", "preabe", "prcod",
        "dlyopen", "mid.o", "eröffnung", "eröffnungskurs", "eröffnungspreis", "eröffn", "erster", "anfang",
        "anfangskurs", "apertura", "abertura", "ouverture", "ouv", "premier", "openingskoers", "otwarcie",
        "kurs otwarcia", "öppning", "öppningskurs", "öppen", "åbning", "åpning", "avaus", "nyitó", "nyitó ár",
        "otevírací cena", "açılış", "pembukaan", "mở", "mở cửa", "άνοιγμα", "открытие", "откр", "الافتتاح", "פתיחה",
        "เปิด", "开盘", "开盘价", "開盤價", "開盤", "開市", "開市價", "今开", "始値", "시가", "openprc", "opnprc",
        "ราคาเปิด", "खुला", "खुला मूल्य", "o",
    ),
    "High": (
        "high", "high price", "highest", "highest price", "max", "maximum", "px_high", "day high", "hghpric", "premax",
        "prchd", "dlyhigh", "mid.h", "hoch", "höchstkurs", "tageshoch", "höchst", "máximo", "máxima", "plus haut",
        "haut", "le plus haut", "massimo", "max price", "hoog", "hoogste", "najwyższy", "najwyzszy", "kurs max",
        "högsta", "högst", "högstkurs", "høj", "høy", "ylin", "yüksek", "tertinggi", "cao", "cao nhất", "υψηλό",
        "максимум", "макс", "الأعلى", "גבוה", "สูง", "สูงสุด", "最高", "最高价", "最高價", "高", "高値", "고가", "hiprc",
        "askhi", "ราคาสูงสุด", "उच्च", "h",
    ),
    "Low": (
        "low", "low price", "lowest", "lowest price", "min", "minimum", "px_low", "day low", "lwpric", "premin",
        "prcld", "dlylow", "mid.l", "tief", "tiefstkurs", "tagestief", "tiefst", "mínimo", "mínima", "plus bas", "bas",
        "le plus bas", "minimo", "min price", "laag", "laagste", "najniższy", "najnizszy", "kurs min", "lägsta",
        "lägst", "lägstkurs", "lav", "alin", "düşük", "terendah", "thấp", "thấp nhất", "χαμηλό", "минимум", "мин",
        "الأدنى", "נמוך", "ต่ำ", "ต่ำสุด", "最低", "最低价", "最低價", "低", "安値", "저가", "loprc",
        "bidlo", "ราคาต่ำสุด", "निम्न", "l",
    ),
    "Close": (
        "close", "close price", "closing price", "close/last", "closing", "closep", "clspric", "preult", "prccd",
        "dlyclose", "mid.c", "schluss", "schlusskurs", "cierre", "fechamento", "clôture", "clot", "chiusura",
        "slotkoers", "slot", "zamknięcie", "zamkniecie", "kurs zamknięcia", "stängning", "stängningskurs", "slutkurs",
        "záróár", "záró ár", "závěrečná cena", "kapanış", "penutupan", "đóng cửa", "κλείσιμο", "закрытие", "закр",
        "الإغلاق", "סגירה", "ปิด", "收盘", "收盘价", "收盤價", "收盤", "收市", "收市價", "終値", "종가",
        "legal close price", "last close", "clsprc", "prc", "ราคาปิด", "बंद", "बंद मूल्य",
        ("last", "last price", "latest", "px_last", "settle", "settlement price", "letzter", "letzter preis",
         "zuletzt", "último", "ultimo", "dernier", "laatst", "laatste", "ostatnio", "senaste", "siste", "sidste",
         "viimeisin", "terakhir", "lần cuối", "τελευταία", "price", "kurs", "preis", "precio", "preço", "cours",
         "prezzo", "şimdi", "цена", "посл", "שער", "ล่าสุด", "最新", "現在値", "पिछला"),
        "c",
    ),
    "AdjClose": (
        "adj close", "adjusted close", "adj_close", "close adj", "closeadj", "close adjusted",
        "adjusted closing price", "adjustment close", "adj closing price", "adjusted price",
        "bereinigter schlusskurs", "adj schlusskurs", "schlusskurs bereinigt", "cierre ajustado", "cierre aj",
        "fechamento ajustado", "fechamento aj", "clôture ajustée", "chiusura rettificata", "скорр закрытие",
        "adjusted", "调整后收盘价", "复权收盘价", "調整後終値", "終値調整", "終値調整値", "수정종가",
    ),
    "Volume": (
        "quantidade", "quantidade negociada", "cantidad", "quantità",  # beside them Volume is money
        "volume", "vol", "stück", "stücke", "stuecke", "umsatz stück", "umsatz in stück", "number of shares",
        "no of shares", "no_of_shrs", "px_volume", "shares traded", "shares", "total traded quantity", "tottrdqty",
        "ttltradgvol", "cshtrd", "dlyvol", "quatot", "total volume", "traded volume", "trading volume",
        "volume traded", "volumen", "volumes", "volum", "volym", "wolumen", "wol", "gesamtvolumen", "objem",
        "forgalom (db)", "hacim", "hac", "kl", "khối lượng", "όγκος", "όγκ", "वॉल्यूम", "मात्रा",
        "объем", "объём", "обьем", "الحجم", "נפח",
        "ปริมาณ", "成交量", "成交股數", "成交股数", "成交張數", "成交张数",
        "dnshrtrd", "ttl_trd_qnty", "交易量", "出来高", "거래량", "qty", "quantity", "tick volume", "tickvol",
        "ticks", "v",
    ),
}  # fmt: skip

_UTC = re.compile(r"(?<![a-z])(?:utc|gmt)(?![a-z])", re.IGNORECASE)


@cache
def spelled(name: str) -> str:
    """A name without case, accents, brackets, punctuation and a leading number: "<OPEN>", "1a. open" -> "open"."""
    plain = unicodedata.normalize("NFKD", name).casefold()
    plain = "".join(letter for letter in plain if not unicodedata.combining(letter))
    return re.sub(r"[\W_]+", "", re.sub(r"^\s*\d+[a-z]?[.)]\s*", "", plain))


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


@cache
def rank(ours: str, name: str) -> float | None:
    """How well a column's name fits one of ours, 0 best; None = not at all."""
    ranks = _ranks()[ours]
    for form in (name, _without_brackets(name), _UTC.sub("", name)):
        if spelled(form) in ranks:
            return ranks[spelled(form)]
    return None


def says_utc(name: str) -> bool:
    """Whether the name of a column of times says that they are written in UTC."""
    return _UTC.search(name) is not None


@cache
def is_number_name(name: str) -> bool:
    """Whether a cell of a header names a price or a volume."""
    return any(rank(ours, name) is not None for ours in NUMBERS)


@cache
def is_date_name(name: str) -> bool:
    """Whether a cell of a header names the dates."""
    return rank("Date", name) is not None


class Label(NamedTuple):
    """What a file calls a column."""

    name: str
    ticker: str | None = None  # of several that the header names


def split_tickers(names: Sequence[str]) -> list[Label]:
    """Labels of columns; of Close_AAPL or "MSFT Open", where two tickers and more have all prices, with the ticker."""
    whole = [Label(name) for name in names]
    if all(any(rank(ours, name) is not None for name in names) for ours in _PRICES):
        return whole
    pairs, has = _with_words(names)
    found = [ticker for ticker, own in has.items() if len(own) == len(_PRICES)]
    if len(found) < 2:
        return whole
    return [pairs[text] if text in pairs and pairs[text].ticker in found else Label(text) for text in names]


def _with_words(names: Sequence[str]) -> tuple[dict[str, Label], dict[str, set[str]]]:
    """Of Close_AAPL and Trade Open, the known name and the word beside it; and the prices of each such word."""
    pairs: dict[str, Label] = {}
    has: dict[str, set[str]] = {}
    for text in names:
        cuts = [(text[: cut.start()], text[cut.end() :]) for cut in re.finditer(r"[\s_.|:-]+", text)]
        for word, name in [*((last, first) for first, last in reversed(cuts)), *cuts]:  # the longest name
            if word and is_number_name(name):
                pairs[text] = Label(name, word)
                has.setdefault(word, set()).update(ours for ours in _PRICES if rank(ours, name) is not None)
                break
    return pairs, has


def recognised(header: Sequence[str], *, chosen: Mapping[str, str | int]) -> dict[str, str]:
    """Our names -> the names in a header, as far as they are known ones.

    Args:
        header: names of a file's columns, as they stand there.
        chosen: what source.columns says: a name, or a place counted from 1; none = there is no such column.

    Raises:
        FileError: a chosen column is not there, or two columns may equally be meant.
    """
    found: dict[str, str] = {}
    plain = _without_shared_word(header)
    for ours in NAMES:
        if ours in chosen:
            name = _chosen(ours, chosen[ours], header)
            if name is not None:
                found[ours] = name
    taken = set(found.values())
    for ours in NAMES:
        if ours in chosen:
            continue
        name = _best(ours, [(name, plain.get(name, name)) for name in header if name not in taken])
        if name is not None:
            found[ours] = name
            taken.add(name)
    return found


def _chosen(ours: str, value: str | int, header: Sequence[str]) -> str | None:
    if isinstance(value, int):
        if not 1 <= value <= len(header):
            raise FileError(
                f"source.columns.{ours}={value}: the file has {len(header)} columns; "
                "counted from 1, or write the column's name"
            )
        return header[value - 1]
    if value == ABSENT:
        return None
    for same in (value, *(name for name in header if spelled(name) == spelled(value))):
        if same in header:
            return same
    shown = ", ".join(name or "''" for name in header[:12])
    raise FileError(
        f"source.columns.{ours}={value}: no such column; it has {shown}"
        + (", ..." if len(header) > 12 else "")
    )


def _without_shared_word(names: Sequence[str]) -> dict[str, str]:
    """Names without the word that all prices share where none goes without it: AAPL.Open, Trade High, Close_USD."""
    pairs, has = _with_words(names)
    whole = [word for word, prices in has.items() if len(prices) == len(_PRICES)]
    if len(whole) != 1 or any(rank(ours, name) is not None for ours in _PRICES for name in names):
        return {}
    return {text: name for text, (name, word) in pairs.items() if word == whole[0]}


def _best(ours: str, header: Sequence[tuple[str, str]]) -> str | None:
    """The column that is ours, of names as written and names to be known by."""
    ranked = sorted((place, name) for name, plain in header if (place := rank(ours, plain)) is not None)
    if not ranked:
        ranked = [(0.0, name) for name, _ in header if _begins_as(ours, name)]
    if not ranked:
        return None
    best = [name for place, name in ranked if place == ranked[0][0]]
    if len(best) > 1:
        raise FileError(
            f"{' and '.join(best)} may each be {ours}; say which with source.columns.{ours}={best[0]!r}"
            if len(set(best)) > 1
            else f"has the column {best[0]} twice; remove one"
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
