"""lonelypsc's authorization: whatever it signs and checks, over HTTP (TracedAuth) and over one web socket (SessionAuth)."""
from typing import Optional

from lonelypsp.auth.config import AuthConfig, AuthConfigFromParts, AuthResult
from lonelypsp.stateful.messages.confirm_configure import B2S_ConfirmConfigure
from lonelypsp.stateful.messages.disable_zstd_custom import B2S_DisableZstdCustom
from lonelypsp.stateful.messages.enable_zstd_custom import B2S_EnableZstdCustom
from lonelypsp.stateful.messages.enable_zstd_preset import B2S_EnableZstdPreset
from lonelypsp.stateless.make_strong_etag import StrongEtag

from outspan_lonelypsp import subscriber_http
from outspan_lonelypsp.exchange import current
from outspan_lonelypsp.subscriber_requests import missed_checked, missed_confirmed, receive_checked, receive_confirmed
from outspan_lonelypsp.subscriber_session import Session


def signing(url: str, recovery: Optional[str], etag: bytes = b"") -> None:
    """The body of this task's request is being signed."""
    request = subscriber_http.current.get()
    if request is not None:
        request.signing(url, recovery, etag)


def signed(authorization: Optional[str]) -> None:
    """A change is: once, for all broadcasters that it is sent to."""
    request = subscriber_http.current.get()
    if request is not None:
        request.signed(authorization)


class TracedAuth(AuthConfigFromParts):
    """lonelypsc's `auth`: as the one given, with what is signed and checked over HTTP in sight."""

    def __init__(self, auth: AuthConfig) -> None:
        super().__init__(auth, auth)

    async def authorize_subscribe_exact(self, /, *, tracing: bytes, url: str, recovery: Optional[str], exact: bytes,
                                        now: float) -> Optional[str]:
        signing(url, recovery)
        authorization = await super().authorize_subscribe_exact(tracing=tracing, url=url, recovery=recovery, exact=exact, now=now)
        signed(authorization)
        return authorization

    async def authorize_subscribe_glob(self, /, *, tracing: bytes, url: str, recovery: Optional[str], glob: str,
                                       now: float) -> Optional[str]:
        signing(url, recovery)
        authorization = await super().authorize_subscribe_glob(tracing=tracing, url=url, recovery=recovery, glob=glob, now=now)
        signed(authorization)
        return authorization

    async def authorize_set_subscriptions(self, /, *, tracing: bytes, url: str, strong_etag: StrongEtag,
                                          now: float) -> Optional[str]:
        signing(url, None, strong_etag.etag)
        return await super().authorize_set_subscriptions(tracing=tracing, url=url, strong_etag=strong_etag, now=now)

    async def authorize_check_subscriptions(self, /, *, tracing: bytes, url: str, now: float) -> Optional[str]:
        signing(url, None)
        return await super().authorize_check_subscriptions(tracing=tracing, url=url, now=now)

    async def is_receive_allowed(self, /, *, tracing: bytes, url: str, topic: bytes, message_sha512: bytes, identifier: bytes,
                                 now: float, authorization: Optional[str]) -> AuthResult:
        result = await super().is_receive_allowed(tracing=tracing, url=url, topic=topic, message_sha512=message_sha512,
                                                  identifier=identifier, now=now, authorization=authorization)
        exchange = current.get()
        if exchange is not None:
            receive_checked(exchange, topic, identifier, tracing, result)
        return result

    async def authorize_confirm_receive(self, /, *, tracing: bytes, identifier: bytes, num_subscribers: int, url: str,
                                        now: float) -> Optional[str]:
        exchange = current.get()
        if exchange is not None:
            receive_confirmed(exchange, num_subscribers)
        return await super().authorize_confirm_receive(tracing=tracing, identifier=identifier,
                                                       num_subscribers=num_subscribers, url=url, now=now)

    async def is_missed_allowed(self, /, *, tracing: bytes, recovery: str, topic: bytes, now: float,
                                authorization: Optional[str]) -> AuthResult:
        result = await super().is_missed_allowed(tracing=tracing, recovery=recovery, topic=topic, now=now,
                                                 authorization=authorization)
        missed_checked(topic, recovery, tracing, result)
        return result

    async def authorize_confirm_missed(self, /, *, tracing: bytes, topic: bytes, url: str, now: float) -> Optional[str]:
        missed_confirmed()
        return await super().authorize_confirm_missed(tracing=tracing, topic=topic, url=url, now=now)


class SessionAuth(AuthConfigFromParts):
    """The authorization of one client that uses web sockets, with what is signed and checked in sight."""

    def __init__(self, auth: AuthConfig, session: Session) -> None:
        super().__init__(auth, auth)
        self.session = session

    async def is_stateful_confirm_configure_allowed(self, /, *, message: B2S_ConfirmConfigure, now: float) -> AuthResult:
        result = await super().is_stateful_confirm_configure_allowed(message=message, now=now)
        self.session.configure_checked(message, result)
        return result

    async def authorize_subscribe_exact(self, /, *, tracing: bytes, url: str, recovery: Optional[str], exact: bytes,
                                        now: float) -> Optional[str]:
        self.session.outgoing.signing_change(url)
        return await super().authorize_subscribe_exact(tracing=tracing, url=url, recovery=recovery, exact=exact, now=now)

    async def authorize_subscribe_glob(self, /, *, tracing: bytes, url: str, recovery: Optional[str], glob: str,
                                       now: float) -> Optional[str]:
        self.session.outgoing.signing_change(url)
        return await super().authorize_subscribe_glob(tracing=tracing, url=url, recovery=recovery, glob=glob, now=now)

    async def authorize_notify(self, /, *, tracing: bytes, topic: bytes, identifier: bytes, message_sha512: bytes,
                               now: float) -> Optional[str]:
        authorization = await super().authorize_notify(tracing=tracing, topic=topic, identifier=identifier,
                                                       message_sha512=message_sha512, now=now)
        self.session.outgoing.signed_notify(message_sha512, authorization)
        return authorization

    async def is_receive_allowed(self, /, *, tracing: bytes, url: str, topic: bytes, message_sha512: bytes, identifier: bytes,
                                 now: float, authorization: Optional[str]) -> AuthResult:
        result = await super().is_receive_allowed(tracing=tracing, url=url, topic=topic, message_sha512=message_sha512,
                                                  identifier=identifier, now=now, authorization=authorization)
        self.session.incoming.checked(result)
        return result

    async def is_missed_allowed(self, /, *, tracing: bytes, recovery: str, topic: bytes, now: float,
                                authorization: Optional[str]) -> AuthResult:
        result = await super().is_missed_allowed(tracing=tracing, recovery=recovery, topic=topic, now=now,
                                                 authorization=authorization)
        self.session.incoming.checked(result)
        return result

    async def is_stateful_enable_zstd_preset_allowed(self, /, *, url: str, message: B2S_EnableZstdPreset,
                                                     now: float) -> AuthResult:
        self.session.compressors.offered(url, message, 0)
        result = await super().is_stateful_enable_zstd_preset_allowed(url=url, message=message, now=now)
        self.session.compressors.offer_checked(url, message, result)
        return result

    async def is_stateful_enable_zstd_custom_allowed(self, /, *, url: str, message: B2S_EnableZstdCustom,
                                                     now: float) -> AuthResult:
        self.session.compressors.offered(url, message, len(message.dictionary))
        result = await super().is_stateful_enable_zstd_custom_allowed(url=url, message=message, now=now)
        self.session.compressors.offer_checked(url, message, result)
        return result

    async def is_stateful_disable_zstd_custom_allowed(self, /, *, url: str, message: B2S_DisableZstdCustom,
                                                      now: float) -> AuthResult:
        self.session.compressors.disabling(url, message)
        result = await super().is_stateful_disable_zstd_custom_allowed(url=url, message=message, now=now)
        self.session.compressors.disable_checked(result)
        return result
