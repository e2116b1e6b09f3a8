"""The tests, a folder a room, and in `helpers` what they share."""

import pytest

pytest.register_assert_rewrite("tests.helpers")
