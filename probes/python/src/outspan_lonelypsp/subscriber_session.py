"""A lonelypsc client that uses web sockets: its connections to one broadcaster after the other, and what goes on in them.

lonelypsc's state machine keeps the state of the connection in an object, and takes the next from each step (lonelypsc/ws:
CONNECTING, CONFIGURING, OPEN, CLOSING, WAITING_RETRY, CLOSED). `stepped` sees each step's result and tells from what has
changed which points were passed; within OPEN it hands on to Outgoing, Incoming and Compressors.
"""
import asyncio
import base64
from typing import Any, Optional

from lonelypsc.client import PubSubCancelRequested
from lonelypsc.config.ws_config import WebsocketPubSubConfig
from lonelypsc.ws.state import (
    ClosingRetryInformationType,
    OpenRetryInformationType,
    State,
    StateClosing,
    StateConfiguring,
    StateConnecting,
    StateOpen,
    StateType,
    StateWaitingRetry,
    TasksOnceOpen,
)
from lonelypsp.auth.config import AuthResult
from lonelypsp.stateful.constants import BroadcasterToSubscriberStatefulMessageType as Received
from lonelypsp.stateful.messages.confirm_configure import B2S_ConfirmConfigure
from lonelypsp.util.bounded_deque import BoundedDequeFullError

from outspan_lonelypsp import points
from outspan_lonelypsp.exchange import cause_of, observer
from outspan_lonelypsp.subscriber_compressors import Compressors
from outspan_lonelypsp.subscriber_receiving import Incoming
from outspan_lonelypsp.subscriber_sending import Outgoing


def failure_of(task: "asyncio.Task[Any]") -> Optional[BaseException]:
    """What a task that has ended has raised."""
    return task.exception() if task.done() and not task.cancelled() else None


def message_of(task: "asyncio.Task[Any]") -> Any:
    """What a read has brought; None if it has not ended or has failed."""
    return task.result() if task.done() and not task.cancelled() and task.exception() is None else None


def is_gone(task: "asyncio.Task[Any]") -> bool:
    """Whether a read says that the other side has ended the connection or is gone."""
    message = message_of(task)
    return failure_of(task) is not None or message is not None and message["type"] == "websocket.disconnect"


class Session:
    """One client's session, and all that passes in it."""

    def __init__(self, config: WebsocketPubSubConfig) -> None:
        self.op = points.stateful_session()
        self.op.silence()
        self.outgoing = Outgoing(config)
        self.incoming = Incoming(config)
        self.compressors = Compressors(config, self.op)
        self.config = config
        self.confirmation: Optional[B2S_ConfirmConfigure] = None
        self.result: Optional[AuthResult] = None
        self.configure_sent = self.stable = False
        self.state: Optional[State] = None

    @observer
    def configure_checked(self, message: B2S_ConfirmConfigure, result: AuthResult) -> None:
        self.confirmation, self.result = message, result

    @observer
    def told(self, connection_state: int) -> None:
        """The application was told what has become of its connection."""
        if isinstance(self.state, (StateOpen, StateClosing)):
            self.op.state_changed(connection_state)

    @observer
    def stepped(self, state: State, handlers: int, status_handlers: int) -> None:
        """The state machine has made a step, and is in this state, the same object as before if it is the same state."""
        before, self.state = self.state, state
        if state is not before:
            self._changed(before, state)
        elif isinstance(state, StateOpen) and self._is_quiet(state):
            return
        if isinstance(state, StateOpen):
            if not self.stable and state.retry.type == OpenRetryInformationType.STABLE:
                self.stable = True
                self.op.stable()
            received = self.incoming.seen
            self.outgoing.stepped(state)
            self.incoming.stepped(state, handlers, status_handlers)
            self.compressors.stepped(state, received)
        elif isinstance(state, StateConfiguring) and state.send_task is None and not self.configure_sent:
            self.configure_sent = True
            self.op.configure_sent()

    def _is_quiet(self, state: StateOpen) -> bool:
        """Nothing of what shows a point has changed, as after most steps."""
        return (self.stable and state.receiving is None and self.incoming.seen is None and
                state.sending is self.outgoing.sending and not self.compressors.preparing and
                len(self.outgoing.due) == state.expected_acks.length)

    # ---- from state to state ----

    def _changed(self, before: Optional[State], state: State) -> None:
        if before is None:
            self.op.start()
        elif isinstance(before, StateConnecting):
            self._after_connecting(before, state)
        elif isinstance(before, StateConfiguring) and not isinstance(state, StateOpen):
            self._after_configuring(before, state)
        elif isinstance(before, StateOpen):
            self._after_open(before, state)
        elif isinstance(before, StateClosing):
            self._closed(before.retry.type == ClosingRetryInformationType.WANT_RETRY, before.retry.tasks)
        self._entered(before, state)

    def _entered(self, before: Optional[State], state: State) -> None:
        if isinstance(state, StateConnecting):
            if isinstance(before, (StateConnecting, StateClosing)):
                self.op.next_broadcaster()
            self.op.connecting(state.broadcaster["host"], state.retry.iteration)
        elif isinstance(state, StateConfiguring):
            self.configure_sent, self.confirmation, self.result = False, None, None
            self.op.connected()
            self.op.sending_configure(state.subscriber_nonce, self.config.allow_compression,
                                      self.config.allow_training_compression, self.config.initial_compression_dict_id)
        elif isinstance(state, StateOpen) and isinstance(before, StateConfiguring):
            self._opened(before, state)
        elif isinstance(state, StateWaitingRetry):
            self.op.waiting_to_retry(state.retry_at)
        elif state.type == StateType.CLOSED:
            self._over(before)

    def _opened(self, before: StateConfiguring, state: StateOpen) -> None:
        connection = base64.b64decode(state.nonce_b64)
        self.outgoing.connection = self.incoming.connection = self.compressors.connection = connection
        self.stable = False
        confirmation, tasks = self.confirmation, before.tasks
        self.op.confirm_configure_accepted(confirmation.broadcaster_nonce if confirmation else None, connection,
                                           confirmation.tracing if confirmation else None, len(tasks.exact_subscriptions),
                                           len(tasks.glob_subscriptions), len(state.resending_notifications))
        for topic in tasks.exact_subscriptions:
            self.outgoing.queue_change(points.stateful_subscribe_exact, topic)
        for glob in tasks.glob_subscriptions:
            self.outgoing.queue_change(points.stateful_subscribe_glob, glob)

    def _after_connecting(self, before: StateConnecting, state: State) -> None:
        if isinstance(state, StateConfiguring):
            return
        if before.cancel_requested.is_set():
            self.op.cancel_requested()
            self._closed(False, before.tasks)
        else:
            failure = failure_of(before.websocket_task)
            self.op.connect_failed(cause_of(failure) if failure else 0)

    def _after_configuring(self, before: StateConfiguring, state: State) -> None:
        message = message_of(before.read_task)
        if isinstance(state, StateClosing) and isinstance(state.retry.exception, PubSubCancelRequested):
            self.op.cancel_requested()
        elif self.result is not None and self.result != AuthResult.OK:
            self.op.bad_auth_result(self.result)
        elif message is not None and "bytes" in message and message["bytes"][2:4] != int(Received.CONFIRM_CONFIGURE).to_bytes(2, "big"):
            self.op.unexpected_message(int.from_bytes(message["bytes"][2:4], "big"))
        else:
            self.op.disconnected()

    def _after_open(self, before: StateOpen, state: State) -> None:
        """Why, says the exception's type, or else what was read last. Which message was wrong says only its text."""
        closing = state if isinstance(state, StateClosing) else None
        error: BaseException = closing.retry.exception if closing else asyncio.CancelledError()
        sending = self.outgoing.sending
        if isinstance(error, PubSubCancelRequested):
            self.op.cancel_requested()
        elif isinstance(error, asyncio.QueueFull):
            self.op.queue_full(points.SESSION_QUEUE_RECEIVED)
        elif isinstance(error, BoundedDequeFullError):
            self.op.queue_full(points.SESSION_QUEUE_UNACKNOWLEDGED)
        elif is_gone(before.read_task) or sending is not None and failure_of(sending.task) is not None:
            self.op.disconnected()
        else:
            self.op.protocol_error()
        self.incoming.lost(before, error)
        self.compressors.lost(before)
        self.outgoing.lost(closing is not None and closing.retry.type == ClosingRetryInformationType.WANT_RETRY)

    def _closed(self, can_retry: bool, tasks: Optional[TasksOnceOpen]) -> None:
        self.op.closed(can_retry, len(tasks.resending_notifications) if tasks else 0,
                       tasks.unsent_notifications.qsize() if tasks else 0)

    def _over(self, before: Optional[State]) -> None:
        """There will be no connection any more."""
        if isinstance(before, (StateConnecting, StateClosing, StateWaitingRetry)):
            if before.cancel_requested.is_set():
                self.op.cancelled()
            elif isinstance(before, StateClosing) and before.retry.type == ClosingRetryInformationType.CANNOT_RETRY:
                self.op.retry_prevented()
            elif not isinstance(before, StateWaitingRetry):
                self.op.retries_exhausted()
        self.op.leave()
        self.outgoing.over()
