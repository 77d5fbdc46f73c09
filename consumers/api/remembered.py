"""What a service has asked for itself a moment ago, which the tables may not have yet."""

from collections import OrderedDict
from typing import TypeVar

V = TypeVar("V")

REMEMBERED_MAX = 10_000


class Remembered(OrderedDict[str, V]):
    """The last REMEMBERED_MAX that were taken in, by name."""

    def __setitem__(self, name: str, value: V) -> None:
        super().__setitem__(name, value)
        if len(self) > REMEMBERED_MAX:
            self.popitem(last=False)
