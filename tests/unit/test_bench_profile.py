"""bench/profile.py: what is made of py-spy's samples."""

from bench.profile import by_function, by_layer, by_thread, layer_of, parse

RAW = """\
run (uvloop/__init__.py:61);carry (event_service/rpc/server.py:120);verify (event_service/identity/tokens.py:9) 3
run (uvloop/__init__.py:61) 5
_bootstrap (threading.py:9);work (event_service/store/threads.py:92);find (pymongo/cursor.py:7);loads (json/x.py:1) 2
"""


def test_a_frame_belongs_to_the_package_it_is_in() -> None:
    assert layer_of("carry (event_service/rpc/server.py:120)") == "event_service.rpc"
    assert layer_of("get (event_service/errors.py:1)") == "event_service.errors"
    assert layer_of("x (event_service/_gen/spaceone/api/a_pb2.py:1)") == "protobuf"
    assert layer_of("decode_all (bson/__init__.py:1)") == "bson"
    assert layer_of("loads (json/x.py:1)") == "other Python"


def test_a_sample_counts_for_its_innermost_layer() -> None:
    assert by_layer(parse(RAW)) == {"event_service.identity": 3, "uvloop": 5, "pymongo": 2}


def test_a_function_has_time_of_its_own_and_of_what_it_calls() -> None:
    stacks = parse(RAW)
    assert by_function(stacks)["run (uvloop/__init__.py)"] == 5
    assert by_function(stacks, inclusive=True)["run (uvloop/__init__.py)"] == 8


def test_threads_of_one_kind_are_summed_up() -> None:
    names = {1: "MainThread", 2: "store-N", 3: "store-N"}
    assert by_thread(names, {1: 1.0, 2: 0.5}, {1: 2.0, 2: 0.75, 3: 0.25}) == {"MainThread": 1.0, "store-N": 0.5}
