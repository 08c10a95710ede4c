"""The accounts of a Hugging Face Hub in miniature: whoami for tokens, and an OpenID provider for logins."""

import base64
import time
from contextlib import contextmanager
from urllib.parse import parse_qs, urlencode, urlsplit

from joserfc import jwt
from joserfc.jwk import RSAKey
from little_server import Handler, serving

CLIENT_ID, CLIENT_SECRET = "the-client-of-these-tests", "the-client-secret-of-these-tests"
TOKEN_OF_ADA = "hf_" + "TheTokenOfAdaInTheseTests00000000"
ADA = "5dd96eb166059660ed1ee413"


class Accounts:
    """`users` maps a token to its user's id; `status` is answered to whoami where it is not 200."""

    def __init__(self):
        self.users = {TOKEN_OF_ADA: ADA}
        self.status = 200
        self.asked: list[str] = []
        self.endpoint = ""
        self.nonces: dict[str, str] = {}
        self.key = RSAKey.generate_key(2048, {"kid": "1", "use": "sig", "alg": "RS256"})


@contextmanager
def serve_accounts():
    """Accounts that answer at `.endpoint` until the block ends."""
    accounts = Accounts()

    class Answer(Handler):
        def do_GET(self):
            path, query = urlsplit(self.path).path, parse_qs(urlsplit(self.path).query)
            if path == "/api/whoami-v2":
                self.whoami()
            elif path == "/.well-known/openid-configuration":
                self.say(openid_configuration(accounts.endpoint))
            elif path == "/oauth/jwks":
                self.say({"keys": [accounts.key.as_dict(private=False)]})
            elif path == "/oauth/authorize":  # the user agrees at once
                accounts.nonces["the-code"] = query["nonce"][0]
                back = urlencode({"code": "the-code", "state": query["state"][0]})
                target = query["redirect_uri"][0]
                self.send_response(302)
                self.send_header("Location", f"{target}{'&' if '?' in target else '?'}{back}")
                self.end_headers()
            else:
                self.say({}, 404)

        def do_POST(self):
            body = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
            client = base64.b64decode(self.headers.get("Authorization", "Basic Og==").split()[1]).decode()
            if self.path != "/oauth/token" or client != f"{CLIENT_ID}:{CLIENT_SECRET}":
                return self.say({"error": "invalid_client"}, 401)
            claims = {
                "iss": accounts.endpoint, "sub": ADA, "aud": CLIENT_ID, "iat": int(time.time()),
                "exp": int(time.time()) + 3600, "nonce": accounts.nonces[body["code"][0]],
                "name": "Ada", "preferred_username": "ada", "profile": "https://hub.example/ada", "picture": "",
            }  # fmt: skip
            id_token = jwt.encode({"alg": "RS256", "kid": "1"}, claims, accounts.key)
            self.say(
                {"access_token": TOKEN_OF_ADA, "token_type": "bearer", "expires_in": 3600, "scope": "openid profile",
                 "id_token": id_token}
            )  # fmt: skip

        def whoami(self):
            token = self.headers.get("Authorization", "").removeprefix("Bearer ")
            accounts.asked.append(token)
            if accounts.status != 200:
                self.say({"error": "not now"}, accounts.status)
            elif token not in accounts.users:
                self.say({"error": "Invalid username or password."}, 401)
            else:
                self.say({"type": "user", "id": accounts.users[token], "name": "ada"})

    with serving(Answer) as accounts.endpoint:
        yield accounts


def openid_configuration(endpoint: str) -> dict:
    """What a login's client asks first."""
    return {
        "issuer": endpoint,
        "authorization_endpoint": f"{endpoint}/oauth/authorize",
        "token_endpoint": f"{endpoint}/oauth/token",
        "jwks_uri": f"{endpoint}/oauth/jwks",
        "id_token_signing_alg_values_supported": ["RS256"],
    }
