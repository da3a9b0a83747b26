"""gRPC on a port of its own, in the gateway's event loop."""

from __future__ import annotations

import contextlib
import logging
import os
import time
from collections.abc import AsyncIterator, Mapping
from typing import Any

from keepfit.core.errors import ServingError, UsageError
from keepfit.serving.access import Access
from keepfit.serving.dialects.rpc import SERVICE, Call
from keepfit.serving.http import Seen
from keepfit.serving.problems import Rejection
from keepfit.serving.settings import Limits

os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")  # nobody here forks without exec
try:
    import grpc
    from grpc import aio
except ImportError as problem:
    raise UsageError("gRPC needs grpcio, which is not installed", hint="pip install 'keepfit[grpc]'") from problem

_CODES = {
    400: grpc.StatusCode.INVALID_ARGUMENT,
    401: grpc.StatusCode.UNAUTHENTICATED,
    404: grpc.StatusCode.NOT_FOUND,
    413: grpc.StatusCode.RESOURCE_EXHAUSTED,
    422: grpc.StatusCode.INVALID_ARGUMENT,
    429: grpc.StatusCode.RESOURCE_EXHAUSTED,
    503: grpc.StatusCode.UNAVAILABLE,
}
GRACE = 60.0
"""Seconds that calls which have begun may take at the end."""

_logger = logging.getLogger("keepfit.serving")


@contextlib.asynccontextmanager
async def speaking_grpc(
    calls: Mapping[str, Call], access: Access, limits: Limits, seen: Seen, *, host: str, port: int
) -> AsyncIterator[None]:
    """Answer these calls for the block; what has begun by its end is answered still.

    Raises ServingError when the address cannot be had.
    """
    server = aio.server(
        maximum_concurrent_rpcs=limits.requests,
        options=[("grpc.max_receive_message_length", limits.body), ("grpc.so_reuseport", 0)],
    )
    handlers = {name: _handler(name, call, access, seen) for name, call in calls.items()}
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler(SERVICE, handlers)])
    try:
        taken = server.add_insecure_port(f"{host}:{port}")
    except RuntimeError:
        taken = 0
    if not taken:
        raise ServingError(
            f"cannot listen on {host}:{port} for gRPC",
            hint="free the port, or write another `grpc` under [serve] in keepfit.toml",
        )
    await server.start()
    try:
        yield
    finally:
        await server.stop(GRACE)


def _handler(name: str, call: Call, access: Access, seen: Seen) -> Any:
    async def answer(message: bytes, context: Any) -> bytes:
        begun, status = time.perf_counter(), 200
        try:
            told = dict(context.invocation_metadata())
            if not call.open and (refused := access.check_token(_bytes(told.get("authorization", "")))):
                raise refused
            return await call.answer(message, b"log=off" if told.get("keepfit-log") == "off" else b"")
        except Rejection as refused:
            status = refused.status
            code = _CODES.get(status, grpc.StatusCode.INTERNAL)
            await context.abort(code, refused.problem.sentence)
            raise
        except Exception as problem:
            status = 500
            _logger.error("answering %s", name, exc_info=problem)
            await context.abort(grpc.StatusCode.INTERNAL, "this is a fault of the endpoint, not of the request")
            raise
        finally:
            seen(f"/{SERVICE}/{name}", status, time.perf_counter() - begun)

    return grpc.unary_unary_rpc_method_handler(answer)


def _bytes(value: str | bytes) -> bytes:
    return value if isinstance(value, bytes) else value.encode()
