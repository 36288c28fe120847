"""Passes every point of every operation, in no order and with arguments of every kind: none may raise or end the process."""
import random

from outspan_lonelypsp import points

VALUES = [None, b"", b"x" * 100000, "text", "\ud800", 0, -1, 1 << 70, 1.5, float("nan"), True, [], {}, object(), Exception,
          b"osp\x01\x01" + bytes(range(1, 25)), points.notify()]
ROUNDS, STEPS = 300, 20


def main() -> None:
    chance, calls = random.Random(1), 0
    kinds = [v for v in vars(points).values() if isinstance(v, type) and v is not points.Operation]
    for kind in kinds:
        methods = [m for m in dir(kind) if not m.startswith("_") and m not in ("ended", "wanted", "silence")]
        for _ in range(ROUNDS):
            op = kind()
            for _ in range(STEPS):
                result = getattr(op, chance.choice(methods))(*chance.choices(VALUES, k=chance.randrange(8)))
                assert result is None or isinstance(result, bytes) and len(result) in (0, 29), result
                calls += 1
    print(f"{len(kinds)} operations, {calls} calls", flush=True)


main()
input()
main()
