"""How the shop grows, and which process grows with it."""

from benchmarks.figures import FALLS_SHORT, REACHED
from benchmarks.rows.growth import MIB, memory_lines, next_size, remade_lines


def steps(end: int) -> list[int]:
    sizes = [0]
    while sizes[-1] < end:
        sizes.append(next_size(sizes[-1], end))
    return sizes[1:]


def test_the_shop_doubles_with_a_halt_at_half_of_its_end() -> None:
    assert steps(10_000) == [1_000, 2_000, 4_000, 5_000, 10_000]
    assert steps(1_000) == [500, 1_000]


def test_a_process_grows_with_the_shop_when_it_is_larger_with_all_products_than_with_half() -> None:
    memory = [
        {"products": 500, "resident": {"api": 50 * MIB, "query": 50 * MIB}},
        {"products": 1_000, "resident": {"api": 100 * MIB, "query": 60 * MIB}},
        {"products": 2_000, "resident": {"api": 105 * MIB, "query": 90 * MIB}},
    ]
    api, query = memory_lines(memory)
    assert api.verdict == REACHED
    assert query.verdict == FALLS_SHORT


def test_a_read_that_failed_or_waited_during_the_rebuild_at_the_end_falls_short() -> None:
    def verdicts(failed: int, slowest: float) -> list[str]:
        reads = {"latency": {"0.99": 0.01, "1.0": slowest}}
        rebuilt = {"rate": 1000.0, "failed": failed, "reads": reads}
        remade = {"events": 10, "rebuild": rebuilt, "verify": {"seconds": 2.0}}
        return [line.verdict for line in remade_lines(remade) if line.reach]

    assert verdicts(0, 0.1) == [REACHED, REACHED]
    assert verdicts(1, 0.6) == [FALLS_SHORT, FALLS_SHORT]
