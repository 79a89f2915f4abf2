"""What is asked of a password, and how it is kept."""

import argon2
import pytest

from ostatok import passwords
from ostatok.passwords import PASSWORD_BYTES_MAX, Passwords, generate, read_name, weakness


def test_a_password_is_kept_as_an_argon2id_hash() -> None:
    """With at least the memory and passes that OWASP asks for, and another salt each time."""
    kept = [Passwords().hash("four words in a row") for _ in range(2)]
    assert kept[0] != kept[1]
    parameters = argon2.extract_parameters(kept[0])
    assert parameters.type is argon2.Type.ID
    assert parameters.memory_cost >= 19_456
    assert (parameters.time_cost, parameters.salt_len >= 16) == (2, True)
    assert "four words" not in kept[0]


def test_only_the_password_itself_fits() -> None:
    """Nobody's fits nothing, not even what it was made of."""
    keeper = Passwords()
    kept = keeper.hash("пять слов подряд, ещё й")
    assert keeper.fits("пять слов подряд, ещё й", kept)
    assert keeper.fits("пять слов подряд, ещё и\u0306", kept)  # As macOS may type it.
    assert not keeper.fits("пять слов подряд, ещё и", kept)
    assert not keeper.fits("", kept)
    assert not keeper.fits("пять слов подряд, ещё й", None)
    assert not keeper.fits("anything", "$argon2id$broken")


def test_a_hash_with_other_parameters_is_outdated() -> None:
    """So that it is hashed anew when its user logs in next."""
    keeper = Passwords()
    weaker = argon2.PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
    kept = weaker.hash("four words in a row")
    assert keeper.fits("four words in a row", kept)
    assert keeper.is_outdated(kept)
    assert not keeper.is_outdated(keeper.hash("four words in a row"))


@pytest.mark.parametrize(
    ("password", "reason"),
    [
        ("", "fewer than 12"),
        ("kR5#mZ9!vQx", "fewer than 12"),
        ("ababababababab", "different"),
        ("anna-1-anna-2", "little more"),
        ("annaannaanna2026", "little more"),
        ("Anna1234567890", "little more"),
        ("qwertyuiop12345", "little more"),
        ("password12345!", "little more"),
        ("пароль-остаток1", "little more"),
        ("йцукенгшщзхъ", "little more"),
        ("1q2w3e4r5t6y7u", "little more"),
        ("0987654321qwerty", "little more"),
    ],
)
def test_what_guessers_try_first_is_refused(password: str, reason: str) -> None:
    """Short ones, the user's name, common words, keys that lie in a row."""
    assert reason in (weakness(password, "anna") or "")


@pytest.mark.parametrize(
    "password",
    [
        "correct horse battery",
        "остывший чай и трамвай",
        "kR5#mZ9!vQxw",
        "x" * 500 + " четыре слова",
    ],
)
def test_a_good_one_may_be_of_anything(password: str) -> None:
    """No character is asked for, and none refused; long ones are taken."""
    assert weakness(password, "anna") is None


def test_a_password_has_a_limit_beyond_what_anybody_types() -> None:
    """So that nobody has megabytes hashed."""
    most = "abcdefgh, ij " * 100
    assert len(most) > 1_000
    assert "more than" in (weakness(most, "anna") or "")
    fits = most[:PASSWORD_BYTES_MAX]
    assert weakness(fits, "anna") is None
    assert passwords.is_short_enough(fits)
    assert not passwords.is_short_enough(fits + "x")


def test_a_generated_one_is_good_and_another_each_time() -> None:
    """Also for who is named like a part of it."""
    made = {generate() for _ in range(100)}
    assert len(made) == 100
    assert all(weakness(one, "anna") is None for one in made)


@pytest.mark.parametrize("name", ["anna", "Анна", "a.b-c_d@bank.example", "x" * 64])
def test_a_name_is_letters_digits_and_few_signs(name: str) -> None:
    """Of any alphabet."""
    assert read_name(name) == name


@pytest.mark.parametrize(
    "name",
    ["", "token crm", "x" * 65, "<script>", "a\nb", "a\x00", "'; DROP TABLE", "a/b", " anna"],
)
def test_what_could_be_taken_for_another_is_no_name(name: str) -> None:
    """In the trail, "token crm" is a token."""
    with pytest.raises(ValueError, match="must be 1 to 64"):
        read_name(name)
