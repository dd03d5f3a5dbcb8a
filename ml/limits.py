"""What an image may be, for those who must not load numpy to know it."""

MAX_BYTES = 20_000_000
MAX_PIXELS = 50_000_000
MIN_SIDE = 24


class UnreadableImage(ValueError):
    """An image that is refused; its text is a sentence for people, `code` a word for programs."""

    def __init__(self, code: str, sentence: str) -> None:
        super().__init__(sentence)
        self.code = code

    def __reduce__(self) -> tuple[type, tuple[str, str]]:
        return type(self), (self.code, str(self))
