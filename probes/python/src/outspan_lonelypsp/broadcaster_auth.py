"""lonelypss's authorization: what is checked of what comes, and what is signed of what goes."""
from typing import Optional, Union

from lonelypsp.auth.config import AuthConfig, AuthConfigFromParts, AuthResult
from lonelypsp.auth.set_subscriptions_info import SetSubscriptionsInfo
from lonelypsp.stateful.messages.configure import S2B_Configure
from lonelypsp.stateful.messages.continue_receive import S2B_ContinueReceive
from lonelypsp.stateless.make_strong_etag import StrongEtag

from outspan_lonelypsp import broadcaster_notify, missed, points, session
from outspan_lonelypsp.changes import SetExchange
from outspan_lonelypsp.exchange import current, find, observer, signature_of

Change = Union[points.handle_subscribe_exact, points.handle_subscribe_glob, points.handle_unsubscribe_exact,
               points.handle_unsubscribe_glob]


def find_change() -> Optional[Change]:
    return (find(points.handle_subscribe_exact) or find(points.handle_subscribe_glob) or
            find(points.handle_unsubscribe_exact) or find(points.handle_unsubscribe_glob))


@observer
def change_checked(url: str, recovery: Optional[str], key: Union[bytes, str], tracing: bytes, result: AuthResult,
                   authorization: Optional[str]) -> None:
    connection, op = session.current.get(), find_change()
    if connection is not None:
        connection.change_checked(url, key, tracing, result)
    elif op is not None and result == AuthResult.OK:
        op.auth_accepted(url, recovery, key, signature_of(authorization), tracing)
    elif op is not None:
        op.bad_auth_result(result)


@observer
def confirming_change() -> None:
    connection, op = session.current.get(), find_change()
    if connection is not None:
        connection.confirming_change()
    elif op is not None:
        op.sending_response()


@observer
def check_checked(url: str, tracing: bytes, result: AuthResult) -> None:
    op = find(points.handle_check_subscriptions)
    if op is not None and result == AuthResult.OK:
        op.auth_accepted(url, tracing)
    elif op is not None:
        op.bad_auth_result(result)


@observer
def set_checked(url: str, etag: bytes, tracing: bytes, result: AuthResult) -> None:
    exchange = current.get()
    if not isinstance(exchange, SetExchange):
        return
    exchange.url, exchange.etag, exchange.tracing = url, etag, tracing
    if result == AuthResult.OK:
        exchange.operation.auth_tentatively_accepted(url, etag)
    else:
        exchange.operation.bad_auth_result(result)


@observer
def receive_checked(topic: bytes, identifier: bytes, tracing: bytes, result: AuthResult) -> None:
    exchange, op = current.get(), find(points.receive_for_websockets)
    if exchange is None or op is None:
        return
    exchange.topic, exchange.identifier, exchange.tracing = topic, identifier, tracing
    op.request_parsed(topic, identifier, exchange.message_length(), tracing)
    if result == AuthResult.OK:
        op.auth_tentatively_accepted()
    else:
        op.bad_auth_result(result)


@observer
def missed_checked(topic: bytes, recovery: str, tracing: bytes, result: AuthResult) -> None:
    op = find(points.missed_for_websockets)
    if op is not None and result == AuthResult.OK:
        op.auth_accepted(topic, recovery, tracing)
    elif op is not None:
        op.bad_auth_result(result)


@observer
def answering_check() -> None:
    op = find(points.handle_check_subscriptions)
    if op is not None:
        op.sending_response()


@observer
def answering_set() -> None:
    op = find(points.handle_set_subscriptions)
    if op is not None:
        op.sending_response()


@observer
def answering_receive(num_subscribers: int) -> None:
    op = find(points.receive_for_websockets)
    if op is not None:
        op.sending_response(num_subscribers)


def over_websocket(url: str) -> Optional[session.Session]:
    """The connection that such a url (websocket:<nonce>:<counter>) speaks of; None if it is no such url."""
    return session.current.get() if url.startswith("websocket:") else None


@observer
def signing_receive(url: str, topic: bytes, identifier: bytes, message_sha512: bytes) -> None:
    connection, message = over_websocket(url), broadcaster_notify.find()
    if connection is not None:
        connection.deliveries.signing(session.counter_of(url), topic, identifier, message_sha512)
    elif message is not None:
        message.sending_receive(identifier)


@observer
def confirm_checked(url: str, identifier: bytes, num_subscribers: int, tracing: bytes, result: AuthResult) -> None:
    connection, message = over_websocket(url), broadcaster_notify.find()
    if connection is not None:
        connection.confirmed(url, identifier, num_subscribers, tracing, result)
    elif message is not None:
        message.receive_checked(result, tracing, num_subscribers)


@observer
def signing_missed(recovery: str, topic: bytes) -> None:
    connection = over_websocket(recovery)
    if connection is not None:
        connection.deliveries.signing_missed(session.counter_of(recovery), topic)
    else:
        missed.sending()


@observer
def enabling(url: str, identifier: int, level: int, min_size: int, max_size: int) -> None:
    connection = session.current.get()
    if connection is not None:
        connection.compressors.enabling(session.counter_of(url), identifier, level, min_size, max_size)


@observer
def disabling(url: str, identifier: int) -> None:
    connection = session.current.get()
    if connection is not None:
        connection.compressors.disabling(session.counter_of(url), identifier)


@observer
def answering_missed() -> None:
    op = find(points.missed_for_websockets)
    if op is not None:
        op.sending_response()


class TracedAuth(AuthConfigFromParts):
    """lonelypss's `auth`: as the one given, with what passes it in sight."""

    def __init__(self, auth: AuthConfig) -> None:
        super().__init__(auth, auth)

    async def is_subscribe_exact_allowed(self, /, *, tracing: bytes, url: str, recovery: Optional[str], exact: bytes,
                                         now: float, authorization: Optional[str]) -> AuthResult:
        result = await super().is_subscribe_exact_allowed(tracing=tracing, url=url, recovery=recovery, exact=exact, now=now,
                                                          authorization=authorization)
        change_checked(url, recovery, exact, tracing, result, authorization)
        return result

    async def is_subscribe_glob_allowed(self, /, *, tracing: bytes, url: str, recovery: Optional[str], glob: str,
                                        now: float, authorization: Optional[str]) -> AuthResult:
        result = await super().is_subscribe_glob_allowed(tracing=tracing, url=url, recovery=recovery, glob=glob, now=now,
                                                         authorization=authorization)
        change_checked(url, recovery, glob, tracing, result, authorization)
        return result

    async def authorize_confirm_subscribe_exact(self, /, *, tracing: bytes, url: str, recovery: Optional[str],
                                                exact: bytes, now: float) -> Optional[str]:
        confirming_change()
        return await super().authorize_confirm_subscribe_exact(tracing=tracing, url=url, recovery=recovery, exact=exact,
                                                               now=now)

    async def authorize_confirm_subscribe_glob(self, /, *, tracing: bytes, url: str, recovery: Optional[str], glob: str,
                                               now: float) -> Optional[str]:
        confirming_change()
        return await super().authorize_confirm_subscribe_glob(tracing=tracing, url=url, recovery=recovery, glob=glob, now=now)

    async def is_check_subscriptions_allowed(self, /, *, tracing: bytes, url: str, now: float,
                                             authorization: Optional[str]) -> AuthResult:
        result = await super().is_check_subscriptions_allowed(tracing=tracing, url=url, now=now, authorization=authorization)
        check_checked(url, tracing, result)
        return result

    async def authorize_check_subscriptions_response(self, /, *, tracing: bytes, strong_etag: StrongEtag,
                                                     now: float) -> Optional[str]:
        answering_check()
        return await super().authorize_check_subscriptions_response(tracing=tracing, strong_etag=strong_etag, now=now)

    async def is_set_subscriptions_allowed(self, /, *, tracing: bytes, url: str, strong_etag: StrongEtag,
                                           subscriptions: SetSubscriptionsInfo, now: float,
                                           authorization: Optional[str]) -> AuthResult:
        result = await super().is_set_subscriptions_allowed(tracing=tracing, url=url, strong_etag=strong_etag,
                                                            subscriptions=subscriptions, now=now, authorization=authorization)
        set_checked(url, strong_etag.etag, tracing, result)
        return result

    async def authorize_set_subscriptions_response(self, /, *, tracing: bytes, strong_etag: StrongEtag,
                                                   now: float) -> Optional[str]:
        answering_set()
        return await super().authorize_set_subscriptions_response(tracing=tracing, strong_etag=strong_etag, now=now)

    async def is_receive_allowed(self, /, *, tracing: bytes, url: str, topic: bytes, message_sha512: bytes, identifier: bytes,
                                 now: float, authorization: Optional[str]) -> AuthResult:
        result = await super().is_receive_allowed(tracing=tracing, url=url, topic=topic, message_sha512=message_sha512,
                                                  identifier=identifier, now=now, authorization=authorization)
        receive_checked(topic, identifier, tracing, result)
        return result

    async def authorize_confirm_receive(self, /, *, tracing: bytes, identifier: bytes, num_subscribers: int, url: str,
                                        now: float) -> Optional[str]:
        answering_receive(num_subscribers)
        return await super().authorize_confirm_receive(tracing=tracing, identifier=identifier,
                                                       num_subscribers=num_subscribers, url=url, now=now)

    async def authorize_missed(self, /, *, tracing: bytes, recovery: str, topic: bytes, now: float) -> Optional[str]:
        signing_missed(recovery, topic)
        return await super().authorize_missed(tracing=tracing, recovery=recovery, topic=topic, now=now)

    async def is_confirm_missed_allowed(self, /, *, tracing: bytes, topic: bytes, url: str, now: float,
                                        authorization: Optional[str]) -> AuthResult:
        result = await super().is_confirm_missed_allowed(tracing=tracing, topic=topic, url=url, now=now,
                                                         authorization=authorization)
        missed.checked(result, tracing)
        return result

    async def is_missed_allowed(self, /, *, tracing: bytes, recovery: str, topic: bytes, now: float,
                                authorization: Optional[str]) -> AuthResult:
        result = await super().is_missed_allowed(tracing=tracing, recovery=recovery, topic=topic, now=now,
                                                 authorization=authorization)
        missed_checked(topic, recovery, tracing, result)
        return result

    async def authorize_confirm_missed(self, /, *, tracing: bytes, topic: bytes, url: str, now: float) -> Optional[str]:
        answering_missed()
        return await super().authorize_confirm_missed(tracing=tracing, topic=topic, url=url, now=now)

    async def is_stateful_configure_allowed(self, /, *, message: S2B_Configure, now: float) -> AuthResult:
        result = await super().is_stateful_configure_allowed(message=message, now=now)
        connection = session.current.get()
        if connection is not None:
            connection.configured(result, message.subscriber_nonce, message.enable_zstd, message.enable_training,
                                  message.initial_dict, message.tracing)
        return result

    async def authorize_stateful_confirm_configure(self, /, *, broadcaster_nonce: bytes, tracing: bytes,
                                                   now: float) -> Optional[str]:
        connection = session.current.get()
        if connection is not None:
            connection.confirming(broadcaster_nonce)
        return await super().authorize_stateful_confirm_configure(broadcaster_nonce=broadcaster_nonce, tracing=tracing,
                                                                  now=now)

    # ---- over web sockets ----

    async def is_notify_allowed(self, /, *, tracing: bytes, topic: bytes, identifier: bytes, message_sha512: bytes, now: float,
                                authorization: Optional[str]) -> AuthResult:
        connection = session.current.get()  # None: over HTTP, with a tracer of its own
        if connection is not None:
            connection.notify_received(topic, identifier, tracing)
        result = await super().is_notify_allowed(tracing=tracing, topic=topic, identifier=identifier,
                                                 message_sha512=message_sha512, now=now, authorization=authorization)
        if connection is not None:
            connection.notify_checked(result)
        return result

    async def authorize_stateful_continue_notify(self, /, *, tracing: bytes, identifier: bytes, part_id: int,
                                                 now: float) -> Optional[str]:
        message = broadcaster_notify.find()
        if message is not None:
            message.continuing(part_id)
        return await super().authorize_stateful_continue_notify(tracing=tracing, identifier=identifier, part_id=part_id,
                                                                now=now)

    async def authorize_confirm_notify(self, /, *, tracing: bytes, identifier: bytes, subscribers: int, topic: bytes,
                                       message_sha512: bytes, now: float) -> Optional[str]:
        message = broadcaster_notify.find()
        if message is not None:
            message.confirming(subscribers)
        return await super().authorize_confirm_notify(tracing=tracing, identifier=identifier, subscribers=subscribers,
                                                      topic=topic, message_sha512=message_sha512, now=now)

    async def authorize_receive(self, /, *, tracing: bytes, url: str, topic: bytes, message_sha512: bytes, identifier: bytes,
                                now: float) -> Optional[str]:
        signing_receive(url, topic, identifier, message_sha512)
        authorization = await super().authorize_receive(tracing=tracing, url=url, topic=topic, message_sha512=message_sha512,
                                                        identifier=identifier, now=now)
        connection = over_websocket(url)
        if connection is not None:
            connection.deliveries.signed()
        return authorization

    async def is_confirm_receive_allowed(self, /, *, tracing: bytes, identifier: bytes, num_subscribers: int, url: str,
                                         now: float, authorization: Optional[str]) -> AuthResult:
        result = await super().is_confirm_receive_allowed(tracing=tracing, identifier=identifier,
                                                          num_subscribers=num_subscribers, url=url, now=now,
                                                          authorization=authorization)
        confirm_checked(url, identifier, num_subscribers, tracing, result)
        return result

    async def is_stateful_continue_receive_allowed(self, /, *, url: str, message: S2B_ContinueReceive,
                                                   now: float) -> AuthResult:
        result = await super().is_stateful_continue_receive_allowed(url=url, message=message, now=now)
        connection = over_websocket(url)
        if connection is not None:
            connection.continued(url, message.identifier, message.part_id, message.tracing, result)
        return result

    async def authorize_stateful_enable_zstd_preset(self, /, *, tracing: bytes, url: str, compressor_identifier: int,
                                                    compression_level: int, min_size: int, max_size: int,
                                                    now: float) -> Optional[str]:
        enabling(url, compressor_identifier, compression_level, min_size, max_size)
        return await super().authorize_stateful_enable_zstd_preset(
            tracing=tracing, url=url, compressor_identifier=compressor_identifier, compression_level=compression_level,
            min_size=min_size, max_size=max_size, now=now)

    async def authorize_stateful_enable_zstd_custom(self, /, *, tracing: bytes, url: str, compressor_identifier: int,
                                                    compression_level: int, min_size: int, max_size: int, sha512: bytes,
                                                    now: float) -> Optional[str]:
        enabling(url, compressor_identifier, compression_level, min_size, max_size)
        return await super().authorize_stateful_enable_zstd_custom(
            tracing=tracing, url=url, compressor_identifier=compressor_identifier, compression_level=compression_level,
            min_size=min_size, max_size=max_size, sha512=sha512, now=now)

    async def authorize_stateful_disable_zstd_custom(self, /, *, tracing: bytes, compressor_identifier: int, url: str,
                                                     now: float) -> Optional[str]:
        disabling(url, compressor_identifier)
        return await super().authorize_stateful_disable_zstd_custom(tracing=tracing, url=url, now=now,
                                                                    compressor_identifier=compressor_identifier)
