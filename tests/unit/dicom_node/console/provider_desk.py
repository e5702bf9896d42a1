"""A browser at which somebody signs in to the console by the provider of identities."""

import re
from dataclasses import dataclass

import requests
from console_factory import Person, Served

READER = {"sub": "0001", "preferred_username": "quell", "groups": ["staff", "readers"]}


@dataclass
class Desk:
    """A browser at which somebody signs in."""

    served: Served
    session: requests.Session

    def begin(self, path: str = "/studies") -> str:
        """Return where the console sends the browser."""
        answer = self._get(f"{self.served.url}/sign-in/oidc?next={path}")
        assert answer.status_code == 303, answer.text
        return answer.headers["Location"]

    def at_provider(self, address: str) -> str:
        """Return where the provider sends the browser back."""
        return self._get(address).headers["Location"]

    def back(self, address: str) -> requests.Response:
        return self._get(address)

    def sign_in(self, path: str = "/studies") -> requests.Response:
        return self.back(self.at_provider(self.begin(path)))

    def person(self, answer: requests.Response) -> Person:
        return Person(url=self.served.url, session=self.session, answer=answer)

    def is_signed_in(self) -> bool:
        return self._get(f"{self.served.url}/studies").status_code == 200

    def _get(self, address: str) -> requests.Response:
        return self.session.get(address, timeout=30, allow_redirects=False)


def problem_of(answer: requests.Response) -> str:
    found = re.search(r'class="problem" role="alert">([^<]*)<', answer.text)
    assert found, answer.text
    return found[1]
