"""The functions that hear of events. The events themselves are imported with the first of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from upright._log import logger

if TYPE_CHECKING:
    from upright._events import Event, Hook

registered: tuple[Hook, ...] = ()


def add_hook(hook: Hook) -> None:
    """Calls `hook` with each event from now on, in the thread and context of the guarded call.

    A success at the first attempt is no event. A hook that fails is logged, and changes no call.
    """
    global registered
    registered = (*registered, hook)


def remove_hook(hook: Hook) -> None:
    """Calls `hook` no longer. Raises `ValueError` for one that was not added."""
    global registered
    hooks = list(registered)
    try:
        hooks.remove(hook)
    except ValueError:
        raise ValueError(f"{hook!r} is no hook; expected one that was added") from None
    registered = tuple(hooks)


def tell(event: Event) -> None:
    """Calls all hooks."""
    for hook in registered:
        try:
            hook(event)
        except Exception:
            logger.exception("the hook %r failed", hook)
