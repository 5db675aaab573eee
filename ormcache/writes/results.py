"""Results that are read after their statement has returned: of several statements in one text, of
procedures. MySQL runs what comes next while the first result is read."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def until_read(
    cursor: Any, over: Callable[[], None], is_refusal: Callable[[Exception], bool]
) -> None:
    """Call ``over`` when the last result of a cursor has been read, or the cursor was closed.

    ``cursor`` is Django's around that of the driver. Not called when the outcome is not known.
    """
    driver = cursor.cursor

    def read(step: Callable[[], Any]) -> Any:
        try:
            found = step()
        except Exception as error:
            if is_refusal(error):
                over()
            raise
        if not found:
            over()
        return found

    # On the object, and without a reference to it: in a cycle it would wait for the collector.
    cursor.nextset = lambda: read(driver.nextset)
    cursor.close = lambda: read(driver.close)
