"""Names of devices that are counted, not stored."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, overload

_PREFIX: Final = "device-"


@dataclass(frozen=True)
class Numbered(Sequence[str]):
    """The names "device-01", "device-02", … of `total` devices, all equally long: they sort as they count."""

    total: int

    def __len__(self) -> int:
        return self.total

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> list[str]: ...
    def __getitem__(self, index: int | slice) -> str | list[str]:
        if isinstance(index, slice):
            return [self._name(position) for position in range(self.total)[index]]
        return self._name(range(self.total)[index])

    def __iter__(self) -> Iterator[str]:
        return map(self._name, range(self.total))

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and self._position(name) is not None

    def position(self, name: str) -> int:
        """Where a name stands, from 0; without a search.

        Raises:
            KeyError: No device has this name.
        """
        found = self._position(name)
        if found is None:
            raise KeyError(name)
        return found

    def _name(self, position: int) -> str:
        return f"{_PREFIX}{position + 1:0{len(str(self.total))}d}"

    def _position(self, name: str) -> int | None:
        try:
            position = int(name.removeprefix(_PREFIX)) - 1
        except ValueError:
            return None
        return position if position in range(self.total) and self._name(position) == name else None


@dataclass(frozen=True, eq=False)
class Alone(Mapping[str, str]):
    """The groups of devices of which no two belong together: each is a group of its own."""

    names: Numbered

    def __getitem__(self, name: str) -> str:
        return self.names[self.names.position(name)]

    def __len__(self) -> int:
        return len(self.names)

    def __iter__(self) -> Iterator[str]:
        return iter(self.names)

    def __contains__(self, name: object) -> bool:
        return name in self.names
