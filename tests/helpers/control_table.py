"""A table of controls without a show."""


class Table:
    """Controls of a show that only remembers what was asked."""

    def __init__(self):
        self.asked, self.tell = [], None

    def table(self):
        return [{"name": "style", "kind": "text", "value": "any", "help": ""}]

    def request(self, name, value=None, surface=""):
        self.asked.append((name, value, surface))

    def subscribe(self, callback):
        self.tell = callback
        subscribed = [callback]

        def end():
            subscribed.remove(callback)  # as a show's table does, once
            self.tell = None

        return end


class Change:
    name, value, accepted, message = "style", "salsa", True, ""
