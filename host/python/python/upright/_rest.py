"""The rest of a streamed answer whose caller has a part of it, over one or several attempts.

Each function is there twice, equal but for `await`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Protocol

from upright._drive import following, following_async
from upright._exchange import Exchange
from upright._native import Attempt


class Source(Protocol):
    """An answer on its way from the server."""

    pieces: Iterator[bytes]

    def again(self) -> None:
        """Sends the request again. Its answer takes this one's place."""

    def drop(self) -> None:
        """Closes the connection, which may be broken."""


class AsyncSource(Protocol):
    """`Source` of an asynchronous client."""

    pieces: AsyncIterator[bytes]

    async def again(self) -> None:
        """Sends the request again. Its answer takes this one's place."""

    async def drop(self) -> None:
        """Closes the connection, which may be broken."""


def following_piece(pieces: Iterator[bytes]) -> tuple[bytes | None, Exception | None]:
    """The next piece of an answer; `None` where it has ended, or broke off with this exception."""
    try:
        return next(pieces, None), None
    except Exception as broke:
        return None, broke


async def following_piece_async(pieces: AsyncIterator[bytes]) -> tuple[bytes | None, Exception | None]:
    """`following_piece` of an asynchronous answer."""
    try:
        return await anext(pieces, None), None
    except Exception as broke:
        return None, broke


def rest(exchange: Exchange, source: Source, held: list[bytes]) -> Iterator[bytes]:
    """What is held of an answer, and the rest, as it comes. Raises at its end what is missing."""
    yield from held
    while True:
        piece, broke = following_piece(source.pieces)
        new, error = exchange.took(piece, broke)
        if new:
            yield new
        if error is not None:
            may_follow = exchange.broke(error)
            source.drop()
            if not (may_follow and _comes_again(exchange, source)):
                words, error = exchange.cut()
                if words:
                    yield words
                raise error
        elif piece is None:
            exchange.succeeded()
            return


async def rest_async(exchange: Exchange, source: AsyncSource, held: list[bytes]) -> AsyncIterator[bytes]:
    """`rest` of an asynchronous client."""
    for new in held:
        yield new
    while True:
        piece, broke = await following_piece_async(source.pieces)
        new, error = exchange.took(piece, broke)
        if new:
            yield new
        if error is not None:
            may_follow = exchange.broke(error)
            await source.drop()
            if not (may_follow and await _comes_again_async(exchange, source)):
                words, error = exchange.cut()
                if words:
                    yield words
                raise error
        elif piece is None:
            exchange.succeeded()
            return


def _comes_again(exchange: Exchange, source: Source) -> bool:
    """Whether another attempt has an answer."""
    while isinstance(following(exchange), Attempt):
        try:
            source.again()
            return True
        except Exception as error:
            source.drop()
            exchange.failed(error)
    return False


async def _comes_again_async(exchange: Exchange, source: AsyncSource) -> bool:
    """`_comes_again` of an asynchronous client."""
    while isinstance(await following_async(exchange), Attempt):
        try:
            await source.again()
            return True
        except Exception as error:
            await source.drop()
            exchange.failed(error)
    return False
